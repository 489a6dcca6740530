// `a` as its rows lie along k.
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
