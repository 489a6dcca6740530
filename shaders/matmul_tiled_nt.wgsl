// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[m,k] * b[n,k]), or (c[m,n] + sum) * f'(y[m,n]);
// c is read, a bias is added and f is applied only where the flags say so.
//
// For graphics processors. A workgroup of 16 by 8 threads makes a tile of 32R rows of 64 columns
// from slices 16 deep, which it stages in shared memory; each thread makes 4R rows of 4 columns.
//
//   a_tile[k][quad]  .x row quad   .y row quad + 8R   .z row quad + 16R   .w row quad + 24R
//   b_tile[k][quad]  .x col quad   .y col quad + 16   .z col quad + 32    .w col quad + 48
//
// so that neighbouring threads read and write neighbours in device memory, while four numbers are
// one read of shared memory. A spare quad after each k keeps threads that write along k out of
// each other's banks.

// a1(row, k) is a[row, k], b1(col, k) is b[col, k]; finish_apart(row, col, sum) stores
// four, 16 columns apart.
//: include numbers
//: include matmul_params
//: include matmul_factors_nt
//: include matmul_finish
//: include finish

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn matmul_tiled_nt(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) t: vec3<u32>,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
//: include product_tiled_nt
}
