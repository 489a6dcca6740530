// r|z = σ(xp[t] + U h[t-1] + b), q = U_n h[t-1] + b_n, n = tanh(xp_n[t] + r q),
// h[t] = (1 - z) n + z h[t-1]: one timestep of a GRU, its cell worked out by the threads that sum the gates.
//
// For graphics processors, with the loop of `matmul_tiled_nt`.
//: include numbers
//: include gates
//: include gru

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn gru_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_tiled_nt
}
