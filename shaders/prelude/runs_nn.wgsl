// What a thread loads of a slice is four neighbours, of which `raw_a` and `raw_b` have the i-th as it is kept, so that
// nothing waits for it before it is shared; `spot_a` and `spot_b` say where it goes. A slice of each factor lies in shared
// memory as it does in the factor, in halves, four to a vector; eight more than a row has keep threads out of each
// other's banks. Strides and places are counted in vectors. Past the last k is 0.
const A_STRIDE = {D / 4 + 2}u;
fn raw_a(top: u32, k: u32, i: u32) -> Raw {
    let at = k + 4u * (i % {D / 4}u);
    if at >= p.k { return Raw(); }
//: if V == 4
    return a[(p.a + min(top + i / {D / 4}u, p.m - 1u) * p.stride + at) / 4u];
//: else
    return a4(top + i / {D / 4}u, at);
//: end
}
fn spot_a(i: u32) -> u32 { return i / {D / 4}u * A_STRIDE + i % {D / 4}u; }
fn at_a(row: u32, k: u32) -> u32 { return row * A_STRIDE + k / 4u; }

const B_STRIDE = {4 * C * X + 2}u;
fn raw_b(left: u32, k: u32, i: u32) -> Raw {
    let at = k + i / {4 * C * X}u;
    let col = left + 4u * (i % {4 * C * X}u);
    if at >= p.k { return Raw(); }
//: if V == 4
    return b[(p.b + at * p.n + min(col, p.n - 4u)) / 4u];
//: else
    return b4(at, col);
//: end
}
fn spot_b(i: u32) -> u32 { return i / {4 * C * X}u * B_STRIDE + i % {4 * C * X}u; }
fn at_b(k: u32, col: u32) -> u32 { return k * B_STRIDE + col / 4u; }
