// gates[t] = σ|σ|tanh|σ(xp[t] + U h[t-1] + b), c[t] = f c[t-1] + i g, h[t] = o tanh(c[t]): one
// timestep of an LSTM, its cell worked out by the threads that sum the gates.
//
// For graphics processors, with the loop of `matmul_tiled_nt`.
//: include numbers
//: include gates
//: include lstm
//: include blocks_nt
//: include tiles

@compute @workgroup_size({X * Y * S})
fn lstm_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include product_tiled
}
