// r|z = σ(xp[t] + U h[t-1] + b), q = U_n h[t-1] + b_n, n = tanh(xp_n[t] + r q), h[t] = (1 - z) n + z h[t-1]: a window of a
// GRU, of R rows by one subgroup.
//
// For software adapters, where a few timesteps are quicker than the dispatches that would make them.
//: include numbers
//: include gates
//: include gru

@compute @workgroup_size({L})
fn gru_window_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include window_subgroup_nt
}
