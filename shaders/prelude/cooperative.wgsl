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

// What a thread loads of a slice is four neighbours, of which `raw_a` and `raw_b` have the i-th as it is kept, so that
// nothing waits for it before it is shared; `spot_a` and `spot_b` say where it goes. A slice of each factor lies in shared
// memory as it does in the factor, in halves, four to a vector; eight more than a row has keep threads out of each
// other's banks. Strides and places are counted in vectors. Past the last k is 0.
