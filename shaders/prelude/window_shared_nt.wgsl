    // Neighbours share a sum, so that they read what lies side by side in a row of the weight.
    let part = t % {S}u;
    let across = t / {S}u;
    begin(group.x, t, {X * S}u);
    workgroupBarrier();
    for (var s = p.since; s < p.since + p.steps; s++) {
        go_to(s);
        for (var block = 0u; block * {4 * X}u < p.n * {C}u; block++) {
            let col = block * {4 * X}u + 4u * across;
            var sum = select(vec4<f32>(0.0), start(col), part == 0u);
            for (var k = 4u * part; k < p.k; k += {4 * S}u) {
                let a = a4(group.x, k);
//: for i in 0..4
                let r{i} = b4(col + {i}u, k);
//: end
//: for q in 0..4
                sum = fma(vec4<f32>(a[{q}]), vec4<f32>(r0[{q}], r1[{q}], r2[{q}], r3[{q}]), sum);
//: end
            }
            parts[t] = sum;
            workgroupBarrier();
            if t < {X}u {
                var all = parts[t * {S}u];
                for (var i = 1u; i < {S}u; i++) { all += parts[t * {S}u + i]; }
                finish(group.x, block * {4 * X}u + 4u * t, all);
            }
            // All have read the parts, and after the last block the state of before, and see that of after.
            workgroupBarrier();
        }
        turn();
    }
