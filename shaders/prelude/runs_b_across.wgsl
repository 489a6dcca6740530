// `b` as its rows lie across k.
const B_STRIDE = {4 * C * X + 2}u;
alias RawB = Raw;
fn raw_b(left: u32, k: u32, i: u32) -> RawB {
    let at = k + i / {4 * C * X}u;
    let col = left + 4u * (i % {4 * C * X}u);
    if at >= p.k { return Raw(); }
//: if V == 4
    return b[(p.b + at * p.n + min(col, p.n - 4u)) / 4u];
//: else
    return b4(at, col);
//: end
}
fn share_b(i: u32, raw: RawB) {
    b_tile[i / {4 * C * X}u * B_STRIDE + i % {4 * C * X}u] = numbers_of(raw);
}
fn at_b(k: u32, col: u32) -> u32 { return k * B_STRIDE + col / 4u; }
