// What the kernels of cooperative matrices have in common: halves multiplied, in full precision summed, 16 by 16 by 16,
// by a subgroup together. A workgroup of X by Y subgroups of L lanes makes a tile of 16RY rows of 16CX columns, a
// subgroup R by C matrices of it, from slices D deep.
var<workgroup> a_tile: array<vec4<f16>, {AN}>;
var<workgroup> b_tile: array<vec4<f16>, {BN}>;
// A matrix of each subgroup, on its way.
var<workgroup> patch_of: array<vec4<f32>, {64 * X * Y}>;

// Four neighbours as they are kept: two words of halves or, loaded one by one, numbers.
//: if V == 4
alias Raw = vec2<u32>;
fn numbers_of(raw: Raw) -> vec4<f16> {
    return vec4<f16>(vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)));
}
//: else
alias Raw = vec4<f32>;
fn numbers_of(raw: Raw) -> vec4<f16> { return vec4<f16>(raw); }
//: end

// What a thread loads of a slice is four neighbours, of which `raw_a` has the i-th as it is kept, so that nothing waits for
// it before `share_a` puts it where it goes; `raw_b` and `share_b` likewise, or four by four. A slice lies in shared memory
// in halves, four to a vector; eight more than a row has keep threads out of each other's banks. Strides and places are
// counted in vectors. Past the last k is 0. (With a second slice, to be filled meanwhile, all of it is slower.)
