// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[k,m] * b[k,n]), or (c[m,n] + sum) * f'(y[m,n]);
// c is read, a bias is added and f is applied only where the flags say so.
//
// For processors with matrix units, where both factors are kept in halves (`prelude/cooperative.wgsl`).
//: include numbers
//: include matmul_params
//: include matmul_factors_tn
//: include cooperative
//: include runs_a_across
//: include runs_b_across
//: include matmul_finish
//: include finish

@compute @workgroup_size({L * X * Y})
fn matmul_cooperative_tn(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
//: include product_cooperative
}
