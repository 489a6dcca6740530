// r|z = σ(xp[t] + U h[t-1] + b), q = U_n h[t-1] + b_n, n = tanh(xp_n[t] + r q),
// h[t] = (1 - z) n + z h[t-1]: one timestep of a GRU, its cell worked out by the threads that sum the gates.
//
// For graphics processors, with the loop of `matmul_tiled_nt`.
//: include numbers
//: include gates
//: include gru
//: include blocks_nt
//: include tiles

@compute @workgroup_size({X * Y * S})
fn gru_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include product_tiled
}
