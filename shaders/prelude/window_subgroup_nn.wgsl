    for (var s = p.since; s < p.since + p.steps; s++) {
        go_to(s);
        // Nothing was made before the first.
        let extents = Extents(p.m, p.n, select(p.k, 0u, s == 0u));
        for (var block = 0u; block * {4 * L * Q}u < p.n; block++) {
            let w = vec2<u32>(block, group.x);
            let p = extents;
//: include product_subgroup_nn
        }
        // All see what was made.
        storageBarrier();
    }
