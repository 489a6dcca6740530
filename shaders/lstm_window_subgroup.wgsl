// gates[t] = σ|σ|tanh|σ(xp[t] + U h[t-1] + b), c[t] = f c[t-1] + i g, h[t] = o tanh(c[t]): a window of an LSTM, of R
// rows by one subgroup.
//
// For software adapters, where a few timesteps are quicker than the dispatches that would make them.
//: include numbers
//: include gates
//: include lstm

@compute @workgroup_size({L})
fn lstm_window_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include window_subgroup_nt
}
