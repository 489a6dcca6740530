// gates[t] = σ|σ|tanh|σ(xp[t] + U h[t-1] + b), c[t] = f c[t-1] + i g, h[t] = o tanh(c[t]): one
// timestep of an LSTM, its cell worked out by the threads that sum the gates.
//
// For graphics processors, with the loop of `matmul_tiled_nt`.
//: include numbers
//: include gates
//: include lstm

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn lstm_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_tiled_nt
}
