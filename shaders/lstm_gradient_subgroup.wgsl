// dh[t] = dy[t] + Uᵀ dgates[t+1], then dgates[t] over gates[t] and dc[t-1]: one timestep of an LSTM
// backward, its cell worked out by the threads that sum dh.
//
// For software adapters, with the loop of `matmul_subgroup_nn`.
//: include numbers
//: include matmul_factors_nn
//: include lstm_gradient
//: include finish

@compute @workgroup_size({L})
fn lstm_gradient_subgroup(@builtin(workgroup_id) w: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include product_subgroup_nn
}
