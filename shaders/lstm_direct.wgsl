// gates[t] = σ|σ|tanh|σ(xp[t] + U h[t-1] + b), c[t] = f c[t-1] + i g, h[t] = o tanh(c[t]): one
// timestep of an LSTM, its cell worked out by the threads that sum the gates.
//
// For any device, with the loop of `matmul_direct_nt`.
//: include numbers
//: include gates
//: include lstm

@compute @workgroup_size(8, {Y})
fn lstm_direct(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_direct_nt
}
