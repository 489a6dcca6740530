// The right factor of a product, whose rows run along its columns; see `matmul_factors_nn`.
//: numbers 1 b HB V reads (k, n)

//: if V == 4
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> { return get_b(p.b + k * p.n + min(col, p.n - 4u)); }
//: else
fn b1(k: u32, col: u32) -> f32 {
    let x = get_b(p.b + min(k, p.k - 1u) * p.n + min(col, p.n - 1u));
    return select(0.0, x, k < p.k);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> {
    return vec4<f32>(b1(k, col), b1(k, col + 1u), b1(k, col + 2u), b1(k, col + 3u));
}
//: end
