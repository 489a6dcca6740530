// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[k,m] * b[k,n]), or (c[m,n] + sum) * f'(y[m,n]);
// c is read, a bias is added and f is applied only where the flags say so.
//
// For devices without subgroups of one known size and without room to share memory. A thread makes
// 8 rows of 4Q columns; a workgroup has 8 by Y threads.

// a4(row, k) is a[k, row..row+4], b4(k, col) is b[k, col..col+4]; finish(row, col, sum) stores four.
//: include numbers
//: include matmul_params
//: include matmul_factors_tn
//: include matmul_finish
//: include finish

@compute @workgroup_size(8, {Y})
fn matmul_direct_tn(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) t: vec3<u32>,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
    let top = (w.y * {Y}u + t.y) * 8u;
    let left = w.x * {32 * Q}u + t.x * 4u;
//: for j in 0..Q
    let start{j} = start(left + {32 * j}u);
//: end
//: for i in 0..8
//: for j in 0..Q
    var c{i}_{j} = start{j};
//: end
//: end
    for (var k = 0u; k < p.k; k += 4u) {
//: for q in 0..4
        let x0_{q} = a4(top, k + {q}u);
        let x4_{q} = a4(top + 4u, k + {q}u);
//: end
//: for j in 0..Q
//: for q in 0..4
        let b{q}_{j} = b4(k + {q}u, left + {32 * j}u);
//: end
//: end
//: for i in 0..8
//: for j in 0..Q
//: for q in 0..4
        c{i}_{j} = fma(vec4<f32>(x{i / 4 * 4}_{q}[{i % 4}]), b{q}_{j}, c{i}_{j});
//: end
//: end
//: end
    }
    // The row to finish is always the first and the others move up: written out row by row, this
    // would take a driver longer to compile than all the rest.
    let end = min(top + 8u, p.m);
    for (var row = top; row < end; row++) {
//: for j in 0..Q
        finish(row, left + {32 * j}u, c0_{j});
//: for i in 1..8
        c{i - 1}_{j} = c{i}_{j};
//: end
//: end
    }
}
