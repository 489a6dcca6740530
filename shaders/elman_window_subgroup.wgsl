// y[t] = f(xp[t] + W y[t-1] + b), or y[t-1] where a row has ended: a window of Elman's recurrence, of R rows by
// one subgroup.
//
// For software adapters, where a few timesteps are quicker than the dispatches that would make them.
//: include numbers
//: include state
//: include factor_b_nt
//: include elman
//: include finish

@compute @workgroup_size({L})
fn elman_window_subgroup(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
//: include window_subgroup_nt
}
