// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[m,k] * b[k,n]), or (c[m,n] + sum) * f'(y[m,n]);
// c is read, a bias is added and f is applied only where the flags say so.
//
// For software adapters, where a subgroup of L lanes is one vector register, a load costs more than
// a dozen multiplications, and shared memory is no faster than any other. A workgroup is one
// subgroup and makes TM rows of Q * 4L columns, each lane 4Q of them. Of `a`, every lane loads other
// elements and hands them to all the others, so that no element is loaded twice.

// a4(row, k) is a[row, k..k+4], b4(k, col) is b[k, col..col+4]; finish(row, col, sum) stores four.
//: include numbers
//: include matmul_params
//: include matmul_factors_nn
//: include matmul_finish
//: include finish

@compute @workgroup_size({L})
fn matmul_subgroup_nn(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
//: include product_subgroup_nn
}
