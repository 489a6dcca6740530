// `a` as its rows lie across k.
const A_STRIDE = {4 * R * Y + 2}u;
fn raw_a(top: u32, k: u32, i: u32) -> Raw {
    let at = k + i / {4 * R * Y}u;
    let row = top + 4u * (i % {4 * R * Y}u);
    if at >= p.k { return Raw(); }
//: if V == 4
    return a[(p.a + at * p.stride + min(row, p.m - 4u)) / 4u];
//: else
    return a4(row, at);
//: end
}
fn share_a(i: u32, raw: Raw) {
    a_tile[i / {4 * R * Y}u * A_STRIDE + i % {4 * R * Y}u] = numbers_of(raw);
}
fn at_a(row: u32, k: u32) -> u32 { return k * A_STRIDE + row / 4u; }
