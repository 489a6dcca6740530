// The factors of a product, by elements and by fours. Past the last row or column is that row or
// column again, for nothing made of it is kept; past the last k is 0.
//: numbers 0 a HA V reads (k, m), rows `stride` apart
//: numbers 1 b HB V reads (k, n)

//: if V == 4
// a[k, row..row+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    let quad = get_a(p.a + min(k, p.k - 1u) * p.stride + min(row, p.m - 4u));
    return select(vec4<f32>(0.0), quad, k < p.k);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> {
    let quad = get_b(p.b + min(k, p.k - 1u) * p.n + min(col, p.n - 4u));
    return select(vec4<f32>(0.0), quad, k < p.k);
}
//: else
fn a1(row: u32, k: u32) -> f32 {
    let x = get_a(p.a + min(k, p.k - 1u) * p.stride + min(row, p.m - 1u));
    return select(0.0, x, k < p.k);
}
// a[k, row..row+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row + 1u, k), a1(row + 2u, k), a1(row + 3u, k));
}
fn b1(k: u32, col: u32) -> f32 {
    let x = get_b(p.b + min(k, p.k - 1u) * p.n + min(col, p.n - 1u));
    return select(0.0, x, k < p.k);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> {
    return vec4<f32>(b1(k, col), b1(k, col + 1u), b1(k, col + 2u), b1(k, col + 3u));
}
//: end
