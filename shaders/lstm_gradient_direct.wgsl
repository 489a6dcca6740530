// dh[t] = dy[t] + Uᵀ dgates[t+1], then dgates[t] over gates[t] and dc[t-1]: one timestep of an LSTM
// backward, its cell worked out by the threads that sum dh.
//
// For any device, with the loop of `matmul_direct_nn`.
//: include numbers
//: include matmul_factors_nn
//: include lstm_gradient
//: include finish

@compute @workgroup_size(8, {Y})
fn lstm_gradient_direct(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_direct_nn
}
