// r|z = σ(xp[t] + U h[t-1] + b), q = U_n h[t-1] + b_n, n = tanh(xp_n[t] + r q),
// h[t] = (1 - z) n + z h[t-1]: one timestep of a GRU, its cell worked out by the threads that sum the gates.
//
// For software adapters, with the loop of `matmul_subgroup_nt`.
//: include numbers
//: include gates
//: include gru

@compute @workgroup_size({L})
fn gru_subgroup(@builtin(workgroup_id) w: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include product_subgroup_nt
}
