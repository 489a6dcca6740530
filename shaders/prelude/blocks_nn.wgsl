// Four rows of `a` and four columns of `b`, at four k each: a vector for each k. Past the last k is 0.
fn a_block(row: u32, k: u32) -> mat4x4<f32> {
    if k >= p.k { return mat4x4<f32>(); }
    return transpose(mat4x4<f32>(a4(row, k), a4(row + 1u, k), a4(row + 2u, k), a4(row + 3u, k)));
}
fn b_block(k: u32, col: u32) -> mat4x4<f32> {
    if k >= p.k { return mat4x4<f32>(); }
    return mat4x4<f32>(b4(k, col), b4(k + 1u, col), b4(k + 2u, col), b4(k + 3u, col));
}
