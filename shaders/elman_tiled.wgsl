// y[t] = f(xp[t] + W y[t-1] + b), or y[t-1] where a row has ended: one timestep of Elman's recurrence over
// rows of unequal lengths.
//
// For graphics processors, with the loop of `matmul_tiled_nt`.
//: include numbers
//: include matmul_factors_nt
//: include elman
//: include finish
//: include blocks_nt
//: include tiles

@compute @workgroup_size({X * Y * S})
fn elman_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include product_tiled
}
