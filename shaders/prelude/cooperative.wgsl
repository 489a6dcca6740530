// What the kernels of cooperative matrices have in common: halves multiplied, in full precision summed, 16 by 16 by 16,
// by a subgroup together. A workgroup of X by Y subgroups of L lanes makes a tile of 16RY rows of 16CX columns, a
// subgroup R by C matrices of it, from slices D deep.
//
// A number that is kept in full is split into a half and what is left of it as another, which are multiplied one after
// the other: it counts to within 3e-8, or 2^-21 of it where that is more, up to 65504. TA and TB: 1 where `a` or `b` is
// split so.
var<workgroup> a_tile: array<vec4<f16>, {AN}>;
var<workgroup> b_tile: array<vec4<f16>, {BN}>;
//: if TA == 1
var<workgroup> a_rest: array<vec4<f16>, {AN}>;
//: end
//: if TB == 1
var<workgroup> b_rest: array<vec4<f16>, {BN}>;
//: end
// A matrix of each subgroup, on its way.
var<workgroup> patch_of: array<vec4<f32>, {64 * X * Y}>;

// Four neighbours of `a` as they are kept: two words of halves or, also of what is loaded one by one, numbers.
//: if RA == 1
alias RawA = vec2<u32>;
fn numbers_a(raw: RawA) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)); }
//: else
alias RawA = vec4<f32>;
fn numbers_a(raw: RawA) -> vec4<f32> { return raw; }
//: end
//: if RB == 1
alias RawB = vec2<u32>;
fn numbers_b(raw: RawB) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)); }
//: else
alias RawB = vec4<f32>;
fn numbers_b(raw: RawB) -> vec4<f32> { return raw; }
//: end

// The halves of smaller size next to numbers, found by their bits: of a conversion there and back drivers make nothing.
fn in_halves(x: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) & vec4<u32>(0xffffe000u)); }
