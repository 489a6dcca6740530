    let top = w.y * {16 * R * Y}u;
    let left = w.x * {16 * C * X}u;
    // There are no more, and if there were, none would leave its memory.
    let which = min(subgroup, {X * Y - 1}u);
    let down = which / {X}u * {16 * R}u;
    let across = which % {X}u * {16 * C}u;
    let own = which * 64u;
    for (var i = lane; i < 64u; i += {L}u) { patch_of[own + i] = vec4<f32>(0.0); }
    workgroupBarrier();
    let nothing = coopLoadT<coop_mat16x16<f32, C>>(&patch_of[own], 4u);
//: for i in 0..R
//: for j in 0..C
    var c{i}_{j} = nothing;
//: end
//: end
    // What comes next is on its way while what is there is multiplied.
//: for s in 0..PA
    var a_next{s} = raw_a(top, 0u, t + {L * X * Y * s}u);
//: end
//: for s in 0..PB
    var b_next{s} = raw_b(left, 0u, t + {L * X * Y * s}u);
//: end
    for (var k = 0u; k < p.k; k += {D}u) {
//: for s in 0..PA
        share_a(t + {L * X * Y * s}u, a_next{s});
//: end
//: for s in 0..PB
        share_b(t + {L * X * Y * s}u, b_next{s});
//: end
        workgroupBarrier();
        if k + {D}u < p.k {
//: for s in 0..PA
            a_next{s} = raw_a(top, k + {D}u, t + {L * X * Y * s}u);
//: end
//: for s in 0..PB
            b_next{s} = raw_b(left, k + {D}u, t + {L * X * Y * s}u);
//: end
        }
//: for q in 0..D / 16
        {
//: for i in 0..R
//: if AA == 1
            let a{i} = coopLoadT<coop_mat16x16<f16, A>>(&a_tile[at_a(down + {16 * i}u, {16 * q}u)], A_STRIDE);
//: else
            let a{i} = coopLoad<coop_mat16x16<f16, A>>(&a_tile[at_a(down + {16 * i}u, {16 * q}u)], A_STRIDE);
//: end
//: end
//: for j in 0..C
            let b{j} = coopLoadT<coop_mat16x16<f16, B>>(&b_tile[at_b({16 * q}u, across + {16 * j}u)], B_STRIDE);
//: end
//: for i in 0..R
//: for j in 0..C
            c{i}_{j} = coopMultiplyAdd(a{i}, b{j}, c{i}_{j});
//: end
//: end
        }
//: end
        workgroupBarrier();
    }
    let stride = 4u;
//: for i in 0..R
//: for j in 0..C
    coopStoreT(c{i}_{j}, &patch_of[own], stride);
    workgroupBarrier();
    for (var at = lane; at < 64u; at += {L}u) {
        let row = top + down + {16 * i}u + at / 4u;
        let col = left + across + {16 * j}u + at % 4u * 4u;
        if row < p.m { finish(row, col, start(col) + patch_of[own + at]); }
    }
    workgroupBarrier();
//: end
//: end
