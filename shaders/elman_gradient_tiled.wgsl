// dp[t] = (dy[t] + Wᵀ dp[t+1]) f'(y[t]) over dy[t], or 0 where a row has ended: one timestep of Elman's
// recurrence backward over rows of unequal lengths.
//
// For graphics processors, with the loop of `matmul_tiled_nn`.
//: include numbers
//: include matmul_factors_nn
//: include elman_gradient
//: include finish
//: include blocks_nn
//: include tiles

@compute @workgroup_size({X * Y * S})
fn elman_gradient_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include product_tiled
}
