// dh[t] = dy[t] + Uᵀ [dr|dz|dq][t+1] + z dh of the step after, then dgates[t] over gates[t] and dq[t] over
// q[t]: one timestep of a GRU backward, its cell worked out by the threads that sum dh.
//
// For software adapters, with the loop of `matmul_subgroup_nn`.
//: include numbers
//: include gru_gradient
//: include finish

@compute @workgroup_size({L})
fn gru_gradient_subgroup(@builtin(workgroup_id) w: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include product_subgroup_nn
}
