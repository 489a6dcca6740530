// y[t] = f(xp[t] + W y[t-1] + b), or y[t-1] where a row has ended: one timestep of Elman's recurrence over
// rows of unequal lengths.
//
// For any device, with the loop of `matmul_direct_nt`.
//: include numbers
//: include matmul_factors_nt
//: include elman
//: include finish

@compute @workgroup_size(8, {Y})
fn elman_direct(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_direct_nt
}
