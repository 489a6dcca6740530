// dp[t] = (dy[t] + Wᵀ dp[t+1]) f'(y[t]) over dy[t], or 0 where a row has ended: a window of Elman's recurrence
// backward, of a row by a workgroup.
//
// For graphics processors, where a timestep of few units is quicker than the dispatch that would make it.
//: include numbers
//: include behind
//: include factor_b_nn
//: include elman_gradient
//: include finish
//: include parts

@compute @workgroup_size({X * S})
fn elman_gradient_window_shared(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include window_shared_nn
}
