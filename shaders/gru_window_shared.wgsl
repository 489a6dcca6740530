// r|z = σ(xp[t] + U h[t-1] + b), q = U_n h[t-1] + b_n, n = tanh(xp_n[t] + r q), h[t] = (1 - z) n + z h[t-1]: a window of a
// GRU, of a row by a workgroup.
//
// For graphics processors, where a timestep of few units is quicker than the dispatch that would make it.
//: include numbers
//: include gates
//: include gru
//: include parts

@compute @workgroup_size({X * S})
fn gru_window_shared(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include window_shared_nt
}
