// dh[t] = dy[t] + Uᵀ [dr|dz|dq][t+1] + z dh of the step after, then dgates[t] over gates[t] and dq[t] over
// q[t]: one timestep of a GRU backward, its cell worked out by the threads that sum dh.
//
// For graphics processors, with the loop of `matmul_tiled_nn`.
//: include numbers
//: include gru_gradient
//: include finish

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn gru_gradient_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_tiled_nn
}
