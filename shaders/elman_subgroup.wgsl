// y[t] = f(xp[t] + W y[t-1] + b), or y[t-1] where a row has ended: one timestep of Elman's recurrence over
// rows of unequal lengths.
//
// For software adapters, with the loop of `matmul_subgroup_nt`.
//: include numbers
//: include matmul_factors_nt
//: include elman
//: include finish

@compute @workgroup_size({L})
fn elman_subgroup(@builtin(workgroup_id) w: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include product_subgroup_nt
}
