// dh[t] = dy[t] + Uᵀ [dr|dz|dq][t+1] + z dh of the step after, then dgates[t] over gates[t] and dq[t] over q[t]: a
// window of a GRU backward, of a row by a workgroup.
//
// For graphics processors, where a timestep of few units is quicker than the dispatch that would make it.
//: include numbers
//: include gru_gradient
//: include finish
//: include parts

@compute @workgroup_size({X * S})
fn gru_gradient_window_shared(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include window_shared_nn
}
