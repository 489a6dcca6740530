// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[k,m] * b[k,n]), or (c[m,n] + sum) * f'(y[m,n]);
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

// a1(row, k) is a[k, row], b1(k, col) is b[k, col]; finish_apart(row, col, sum) stores
// four, 16 columns apart.
//: include numbers
//: include matmul_params
//: include matmul_factors_tn
//: include matmul_finish
//: include finish

var<workgroup> a_tile: array<vec4<f32>, {16 * (8 * R + 1)}>;
var<workgroup> b_tile: array<vec4<f32>, {16 * 17}>;

@compute @workgroup_size(16, 8)
fn matmul_tiled_tn(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) t: vec3<u32>,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
    let top = w.y * {32 * R}u;
    let left = w.x * 64u;
    let start = start_apart(left + t.x);
//: for i in 0..4 * R
    var c{i} = start;
//: end
    for (var k = 0u; k < p.k; k += 16u) {
//: for s in 0..R
        {
            let i = (t.y + {8 * s}u) * 16u + t.x;
            let deep = i / {8 * R}u;
            let quad = i % {8 * R}u;
            let row = top + quad;
            a_tile[deep * {8 * R + 1}u + quad] = vec4<f32>(
                a1(row, k + deep),
                a1(row + {8 * R}u, k + deep),
                a1(row + {16 * R}u, k + deep),
                a1(row + {24 * R}u, k + deep),
            );
        }
//: end
//: for s in 0..2
        {
            let deep = t.y + {8 * s}u;
            let col = left + t.x;
            b_tile[deep * 17u + t.x] = vec4<f32>(
                b1(k + deep, col),
                b1(k + deep, col + 16u),
                b1(k + deep, col + 32u),
                b1(k + deep, col + 48u),
            );
        }
//: end
        workgroupBarrier();
//: for deep in 0..16
        let b{deep} = b_tile[{17 * deep}u + t.x];
//: for s in 0..R
        let a{deep}_{s} = a_tile[{(8 * R + 1) * deep + 8 * s}u + t.y];
//: for i in 0..4
        c{4 * s + i} = fma(vec4<f32>(a{deep}_{s}[{i}]), b{deep}, c{4 * s + i});
//: end
//: end
//: end
        workgroupBarrier();
    }
    // The row to finish is always the first and the others move up: written out row by row, this
    // would take a driver longer to compile than all the rest.
    for (var i = 0u; i < {4 * R}u; i++) {
        let row = top + t.y + i / 4u * 8u + i % 4u * {8 * R}u;
        if row < p.m {
            finish_apart(row, left + t.x, c0);
        }
//: for i in 1..4 * R
        c{i - 1} = c{i};
//: end
    }
}
