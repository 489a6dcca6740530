// dp[t] = (dy[t] + Wᵀ dp[t+1]) f'(y[t]) over dy[t], or 0 where a row has ended: one timestep of Elman's
// recurrence backward over rows of unequal lengths.
//
// For software adapters, with the loop of `matmul_subgroup_nn`.
//: include numbers
//: include matmul_factors_nn
//: include elman_gradient
//: include finish

@compute @workgroup_size({L})
fn elman_gradient_subgroup(@builtin(workgroup_id) w: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include product_subgroup_nn
}
