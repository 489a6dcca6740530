// The left factor of a product backward in a window: what the timestep made just before has left, whose element `at` is
// read by `made`, rows `stride` apart. Past the last row is that row again, past the last k 0.
fn made_from(row: u32) -> u32 { return min(row, p.m - 1u) * p.stride; }
//: if V == 4
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> { return made(made_from(row) + k); }
//: else
fn a1(row: u32, k: u32) -> f32 {
    let x = made(made_from(row) + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row, k + 1u), a1(row, k + 2u), a1(row, k + 3u));
}
//: end
