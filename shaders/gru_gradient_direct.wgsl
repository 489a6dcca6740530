// dh[t] = dy[t] + Uᵀ [dr|dz|dq][t+1] + z dh of the step after, then dgates[t] over gates[t] and dq[t] over
// q[t]: one timestep of a GRU backward, its cell worked out by the threads that sum dh.
//
// For any device, with the loop of `matmul_direct_nn`.
//: include numbers
//: include gru_gradient
//: include finish

@compute @workgroup_size(8, {Y})
fn gru_gradient_direct(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_direct_nn
}
