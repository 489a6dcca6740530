// dh[t] = dy[t] + Uᵀ dgates[t+1], then dgates[t] over gates[t] and dc[t-1]: one timestep of an LSTM
// backward, its cell worked out by the threads that sum dh.
//
// For graphics processors, with the loop of `matmul_tiled_nn`.
//: include numbers
//: include matmul_factors_nn
//: include lstm_gradient
//: include finish
//: include blocks_nn
//: include tiles

@compute @workgroup_size({X * Y * S})
fn lstm_gradient_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include product_tiled
}
