// The right factor of a product, whose rows run along k; see `matmul_factors_nt`.
//: numbers 1 b HB V reads (n, k)

//: if V == 4
// b[col, k..k+4]
fn b4(col: u32, k: u32) -> vec4<f32> { return get_b(p.b + min(col, p.n - 1u) * p.k + k); }
//: else
fn b1(col: u32, k: u32) -> f32 {
    let x = get_b(p.b + min(col, p.n - 1u) * p.k + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// b[col, k..k+4]
fn b4(col: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(b1(col, k), b1(col, k + 1u), b1(col, k + 2u), b1(col, k + 3u));
}
//: end
