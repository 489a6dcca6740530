// dh[t] = dy[t] + Uᵀ dgates[t+1], then dgates[t] over gates[t] and dc[t-1]: a window of an LSTM backward, of TM rows by
// one subgroup.
//
// For software adapters, where a few timesteps are quicker than the dispatches that would make them.
//: include numbers
//: include behind
//: include factor_b_nn
//: include lstm_gradient
//: include finish

@compute @workgroup_size({L})
fn lstm_gradient_window_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include window_subgroup_nn
}
