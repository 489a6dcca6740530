// c[m,n] = f(c[m,n] + bias[n] + sum over k of a[k,m] * b[k,n]), or (c[m,n] + sum) * f'(y[m,n]);
// c is read, a bias is added and f is applied only where the flags say so.
//
// For software adapters, where a subgroup of L lanes is one vector register, a load costs more than
// a dozen multiplications, and shared memory is no faster than any other. A workgroup is one
// subgroup and makes TM rows of Q * 4L columns, each lane 4Q of them. Of `a`, every lane loads other
// elements and hands them to all the others, so that no element is loaded twice.

// a4(row, k) is a[k, row..row+4], b4(k, col) is b[k, col..col+4]; finish(row, col, sum) stores four.
//: include numbers
//: include matmul_params
//: include matmul_factors_tn
//: include matmul_finish
//: include finish

@compute @workgroup_size({L})
fn matmul_subgroup_tn(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Tiles along columns and rows, of which one dimension may not hold all of the latter.
    let w = vec2<u32>(group.x, group.z * groups.y + group.y);
    let top = w.y * {TM}u;
    let left = w.x * {4 * L * Q}u + lane * 4u;
//: for j in 0..Q
    let start{j} = start(left + {4 * L * j}u);
//: end
//: for i in 0..TM
//: for j in 0..Q
    var c{i}_{j} = start{j};
//: end
//: end
    for (var k = 0u; k < p.k; k += 4u) {
        // Every L / 4 lanes load L rows of one k.
//: for i in 0..TM / L
        let part{i} = a4(top + {i * L}u + lane % {L / 4}u * 4u, k + lane / {L / 4}u);
//: end
//: for j in 0..Q
//: for q in 0..4
        let b{q}_{j} = b4(k + {q}u, left + {4 * L * j}u);
//: end
//: end
//: for i in 0..TM
//: for q in 0..4
        let a{i}_{q} = vec4<f32>(subgroupBroadcast(part{i / L}[{i % 4}], {q * (L / 4) + i % L / 4}u));
//: end
//: for j in 0..Q
//: for q in 0..4
        c{i}_{j} = fma(a{i}_{q}, b{q}_{j}, c{i}_{j});
//: end
//: end
//: end
    }
//: include finish_rows
}
