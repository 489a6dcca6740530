    // Neighbours make sums side by side, so that they read what lies side by side in a row of the weight.
    let across = t % {X}u;
    let part = t / {X}u;
    for (var s = p.since; s < p.since + p.steps; s++) {
        go_to(s);
        // Nothing was made before the first.
        let depth = select(p.k, 0u, s == 0u);
        for (var block = 0u; block * {4 * X}u < p.n; block++) {
            let col = block * {4 * X}u + 4u * across;
            var sum = vec4<f32>(0.0);
            for (var k = 4u * part; k < depth; k += {4 * S}u) {
                let a = a4(group.x, k);
//: for q in 0..4
                sum = fma(vec4<f32>(a[{q}]), b4(k + {q}u, col), sum);
//: end
            }
            parts[t] = sum;
            workgroupBarrier();
            if t < {X}u {
                var all = parts[t];
                for (var i = 1u; i < {S}u; i++) { all += parts[t + i * {X}u]; }
                finish(group.x, block * {4 * X}u + 4u * t, all);
            }
            workgroupBarrier();
        }
        // All see what was made.
        storageBarrier();
    }
