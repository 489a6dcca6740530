// dh[t] = dy[t] + Uᵀ dgates[t+1], then dgates[t] over gates[t] and dc[t-1]: one timestep of an LSTM
// backward, its cell worked out by the threads that sum dh.
//
// For graphics processors, with the loop of `matmul_tiled_nn`.
//: include numbers
//: include matmul_factors_nn
//: include lstm_gradient
//: include finish

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn lstm_gradient_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_tiled_nn
}
