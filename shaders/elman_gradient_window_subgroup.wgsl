// dp[t] = (dy[t] + Wᵀ dp[t+1]) f'(y[t]) over dy[t], or 0 where a row has ended: a window of Elman's recurrence
// backward, of TM rows by one subgroup.
//
// For software adapters, where a few timesteps are quicker than the dispatches that would make them.
//: include numbers
//: include behind
//: include factor_b_nn
//: include elman_gradient
//: include finish

@compute @workgroup_size({L})
fn elman_gradient_window_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include window_subgroup_nn
}
