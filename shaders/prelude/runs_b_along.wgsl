// `b` as its rows lie along k.
const B_STRIDE = {D / 4 + 2}u;
fn raw_b(left: u32, k: u32, i: u32) -> Raw {
    let at = k + 4u * (i % {D / 4}u);
    if at >= p.k { return Raw(); }
//: if V == 4
    return b[(p.b + min(left + i / {D / 4}u, p.n - 1u) * p.k + at) / 4u];
//: else
    return b4(left + i / {D / 4}u, at);
//: end
}
fn spot_b(i: u32) -> u32 { return i / {D / 4}u * B_STRIDE + i % {D / 4}u; }
fn at_b(k: u32, col: u32) -> u32 { return col * B_STRIDE + k / 4u; }
