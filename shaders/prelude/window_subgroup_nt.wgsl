    begin(group.x * {TM}u, lane, {L}u);
    workgroupBarrier();
    for (var s = p.since; s < p.since + p.steps; s++) {
        go_to(s);
        for (var block = 0u; block * {4 * L * Q}u < p.n * {C}u; block++) {
            let w = vec2<u32>(block, group.x);
//: include product_subgroup_nt
        }
        // All have read the state of before, and see that of after.
        workgroupBarrier();
        turn();
    }
