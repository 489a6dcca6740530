// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[m,k] * b[k,n]), or (c[m,n] + sum) * f'(y[m,n]);
// c is read, a bias is added and f is applied only where the flags say so.
//
// For devices without subgroups of one known size and without room to share memory. A thread makes
// 8 rows of 4Q columns; a workgroup has 8 by Y threads.

// a4(row, k) is a[row, k..k+4], b4(k, col) is b[k, col..col+4]; finish(row, col, sum) stores four.
//: include numbers
//: include matmul_params
//: include matmul_factors_nn
//: include matmul_finish
//: include finish

@compute @workgroup_size(8, {Y})
fn matmul_direct_nn(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) t: vec3<u32>,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
//: include product_direct_nn
}
