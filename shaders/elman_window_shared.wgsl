// y[t] = f(xp[t] + W y[t-1] + b), or y[t-1] where a row has ended: a window of Elman's recurrence, of a row
// by a workgroup.
//
// For graphics processors, where a timestep of few units is quicker than the dispatch that would make it.
//: include numbers
//: include state
//: include factor_b_nt
//: include elman
//: include finish
//: include parts

@compute @workgroup_size({X * S})
fn elman_window_shared(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
//: include window_shared_nt
}
