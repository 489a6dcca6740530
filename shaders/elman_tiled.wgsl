// y[t] = f(xp[t] + W y[t-1] + b), or y[t-1] where a row has ended: one timestep of Elman's recurrence over
// rows of unequal lengths.
//
// For graphics processors, with the loop of `matmul_tiled_nt`.
//: include numbers
//: include matmul_factors_nt
//: include elman
//: include finish

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn elman_tiled(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) t: vec3<u32>) {
//: include product_tiled_nt
}
