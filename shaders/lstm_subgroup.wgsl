// gates[t] = σ|σ|tanh|σ(xp[t] + U h[t-1] + b), c[t] = f c[t-1] + i g, h[t] = o tanh(c[t]): one
// timestep of an LSTM, its cell worked out by the threads that sum the gates.
//
// For software adapters, with the loop of `matmul_subgroup_nt`.
//: include numbers
//: include gates
//: include lstm

@compute @workgroup_size({L})
fn lstm_subgroup(@builtin(workgroup_id) w: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include product_subgroup_nt
}
