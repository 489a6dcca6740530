// The left factor of a product, whose rows run along k; see `matmul_factors_nn`.
//: numbers 0 a HA V reads (m, k), rows `stride` apart

//: if V == 4
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> { return get_a(p.a + min(row, p.m - 1u) * p.stride + k); }
//: else
fn a1(row: u32, k: u32) -> f32 {
    let x = get_a(p.a + min(row, p.m - 1u) * p.stride + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row, k + 1u), a1(row, k + 2u), a1(row, k + 3u));
}
//: end
