// The factors of a product, by elements and by fours. Past the last row or column is that row or
// column again, for nothing made of it is kept; past the last k is 0. A k that rows run along is a
// multiple of 4 where V is 4, and nothing is past it.
//: numbers 0 a HA V reads (m, k), rows `stride` apart
//: numbers 1 b HB V reads (n, k)

//: if V == 4
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> { return get_a(p.a + min(row, p.m - 1u) * p.stride + k); }
// b[col, k..k+4]
fn b4(col: u32, k: u32) -> vec4<f32> { return get_b(p.b + min(col, p.n - 1u) * p.k + k); }
//: else
fn a1(row: u32, k: u32) -> f32 {
    let x = get_a(p.a + min(row, p.m - 1u) * p.stride + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row, k + 1u), a1(row, k + 2u), a1(row, k + 3u));
}
fn b1(col: u32, k: u32) -> f32 {
    let x = get_b(p.b + min(col, p.n - 1u) * p.k + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// b[col, k..k+4]
fn b4(col: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(b1(col, k), b1(col, k + 1u), b1(col, k + 2u), b1(col, k + 3u));
}
//: end
