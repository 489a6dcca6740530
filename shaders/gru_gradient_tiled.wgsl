// dh[t] = dy[t] + Uᵀ [dr|dz|dq][t+1] + z dh of the step after, then dgates[t] over gates[t] and dq[t] over
// q[t]: one timestep of a GRU backward, its cell worked out by the threads that sum dh.
//
// For graphics processors, with the loop of `matmul_tiled_nn`.
//: include numbers
//: include gru_gradient
//: include finish
//: include blocks_nn
//: include tiles

@compute @workgroup_size({X * Y * S})
fn gru_gradient_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include product_tiled
}
