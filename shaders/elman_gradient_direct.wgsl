// dp[t] = (dy[t] + Wᵀ dp[t+1]) f'(y[t]) over dy[t], or 0 where a row has ended: one timestep of Elman's
// recurrence backward over rows of unequal lengths.
//
// For any device, with the loop of `matmul_direct_nn`.
//: include numbers
//: include matmul_factors_nn
//: include elman_gradient
//: include finish

@compute @workgroup_size(8, {Y})
fn elman_gradient_direct(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_direct_nn
}
