// dh[t] = dy[t] + Uᵀ [dr|dz|dq][t+1] + z dh of the step after, then dgates[t] over gates[t] and dq[t] over q[t]: a
// window of a GRU backward, of TM rows by one subgroup.
//
// For software adapters, where a few timesteps are quicker than the dispatches that would make them.
//: include numbers
//: include gru_gradient
//: include finish

@compute @workgroup_size({L})
fn gru_gradient_window_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include window_subgroup_nn
}
