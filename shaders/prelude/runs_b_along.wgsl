// `b` as its rows lie along k. It is turned on the way, in blocks of four by four, as matrices that are loaded column by
// column take a driver twice as long; neighbours read what lies side by side.
const B_STRIDE = {4 * C * X + 2}u;
alias RawB = array<Raw, 4>;
fn quad_b(i: u32) -> u32 { return i / {D / 4}u; }
fn deep_b(i: u32) -> u32 { return 4u * (i % {D / 4}u); }
fn raw_b(left: u32, k: u32, i: u32) -> RawB {
    let at = k + deep_b(i);
    let col = left + 4u * quad_b(i);
    if at >= p.k { return RawB(); }
//: if V == 4
    return RawB(
//: for q in 0..4
        b[(p.b + min(col + {q}u, p.n - 1u) * p.k + at) / 4u],
//: end
    );
//: else
    return RawB(b4(col, at), b4(col + 1u, at), b4(col + 2u, at), b4(col + 3u, at));
//: end
}
fn share_b(i: u32, raw: RawB) {
    let to = deep_b(i) * B_STRIDE + quad_b(i);
//: for q in 0..4
    let col{q} = numbers_of(raw[{q}]);
//: end
//: for q in 0..4
    b_tile[to + {q}u * B_STRIDE] = vec4<f16>(col0[{q}], col1[{q}], col2[{q}], col3[{q}]);
//: end
}
fn at_b(k: u32, col: u32) -> u32 { return k * B_STRIDE + col / 4u; }
