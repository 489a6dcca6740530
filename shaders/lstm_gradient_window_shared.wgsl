// dh[t] = dy[t] + Uᵀ dgates[t+1], then dgates[t] over gates[t] and dc[t-1]: a window of an LSTM backward, of a row by
// a workgroup.
//
// For graphics processors, where a timestep of few units is quicker than the dispatch that would make it.
//: include numbers
//: include behind
//: include factor_b_nn
//: include lstm_gradient
//: include finish
//: include parts

@compute @workgroup_size({X * S})
fn lstm_gradient_window_shared(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include window_shared_nn
}
