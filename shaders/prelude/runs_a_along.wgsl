// `a` as its rows lie along k.
const A_STRIDE = {D / 4 + 2}u;
fn raw_a(top: u32, k: u32, i: u32) -> Raw {
    let at = k + 4u * (i % {D / 4}u);
    if at >= p.k { return Raw(); }
//: if V == 4
    // Past the last row is that row, found in such a way that what a driver keeps for each load is a sum of few numbers.
    return a[(p.a + at + min((top + i / {D / 4}u) * p.stride, (p.m - 1u) * p.stride)) / 4u];
//: else
    return a4(top + i / {D / 4}u, at);
//: end
}
fn share_a(i: u32, raw: Raw) {
    a_tile[i / {D / 4}u * A_STRIDE + i % {D / 4}u] = numbers_of(raw);
}
fn at_a(row: u32, k: u32) -> u32 { return row * A_STRIDE + k / 4u; }
