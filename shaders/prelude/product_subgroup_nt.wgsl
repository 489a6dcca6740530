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
//: for i in 0..TM / L
        let part{i} = a4(top + {i * L}u + lane, k);
//: end
//: for j in 0..Q
//: for n in 0..4
        let r{n}_{j} = b4(left + {4 * L * j + n}u, k);
//: end
        let b0_{j} = vec4<f32>(r0_{j}.x, r1_{j}.x, r2_{j}.x, r3_{j}.x);
        let b1_{j} = vec4<f32>(r0_{j}.y, r1_{j}.y, r2_{j}.y, r3_{j}.y);
        let b2_{j} = vec4<f32>(r0_{j}.z, r1_{j}.z, r2_{j}.z, r3_{j}.z);
        let b3_{j} = vec4<f32>(r0_{j}.w, r1_{j}.w, r2_{j}.w, r3_{j}.w);
//: end
//: for i in 0..TM
//: for q in 0..4
        let a{i}_{q} = vec4<f32>(subgroupBroadcast(part{i / L}[{q}], {i % L}u));
//: end
//: for j in 0..Q
//: for q in 0..4
        c{i}_{j} = fma(a{i}_{q}, b{q}_{j}, c{i}_{j});
//: end
//: end
//: end
    }
//: include finish_rows
