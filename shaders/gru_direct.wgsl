// r|z = σ(xp[t] + U h[t-1] + b), q = U_n h[t-1] + b_n, n = tanh(xp_n[t] + r q),
// h[t] = (1 - z) n + z h[t-1]: one timestep of a GRU, its cell worked out by the threads that sum the gates.
//
// For any device, with the loop of `matmul_direct_nt`.
//: include numbers
//: include gates
//: include gru

@compute @workgroup_size(8, {Y})
fn gru_direct(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_direct_nt
}
