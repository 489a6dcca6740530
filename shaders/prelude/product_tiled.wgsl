    let top = w.y * {4 * R * Y}u;
    let left = w.x * {4 * C * X}u;
    let u = t % {X * Y}u;
    let part = t / {X * Y}u;
    let across = across_of(u);
    let down = down_of(u);
//: for j in 0..C
//: if S == 1
    let start{j} = start(left + 4u * across + {4 * X * j}u);
//: else
    let start{j} = select(vec4<f32>(0.0), start(left + 4u * across + {4 * X * j}u), part == 0u);
//: end
//: for i in 0..4 * R
    var c{i}_{j} = start{j};
//: end
//: end
    // What comes next is on its way while what is there is multiplied.
//: for s in 0..P
    var next{s} = fetch(top, left, 0u, t + {X * Y * S * s}u);
//: end
    for (var k = 0u; k < p.k; k += {D}u) {
//: for s in 0..P
        share(t + {X * Y * S * s}u, next{s});
//: end
        workgroupBarrier();
        if k + {D}u < p.k {
//: for s in 0..P
            next{s} = fetch(top, left, k + {D}u, t + {X * Y * S * s}u);
//: end
        }
//: if S == 1
        for (var deep = 0u; deep < {D}u; deep += {U}u) {
//: else
        for (var deep = part * {D / S}u; deep < part * {D / S}u + {D / S}u; deep += {U}u) {
//: end
            let a_from = deep * {R * Y}u + place_a(down, deep);
            let b_from = {D * R * Y}u + deep * {C * X}u + place_b(across, deep);
//: for q in 0..U
//: for i in 0..R
            let a{q}_{i} = tile[a_from + {q * R * Y + Y * i}u];
//: end
//: for j in 0..C
            let b{q}_{j} = tile[b_from + {q * C * X + X * j}u];
//: end
//: for i in 0..4 * R
//: for j in 0..C
            c{i}_{j} = fma(vec4<f32>(a{q}_{i / 4}[{i % 4}]), b{q}_{j}, c{i}_{j});
//: end
//: end
//: end
        }
        workgroupBarrier();
    }
//: if S == 1
    // The row to finish is always the first and the others move up: written out row by row, this
    // would take a driver longer to compile than all the rest.
    for (var i = 0u; i < {4 * R}u; i++) {
        let row = top + 4u * (down + i / 4u * {Y}u) + i % 4u;
        if row < p.m {
//: for j in 0..C
            finish(row, left + 4u * across + {4 * X * j}u, c0_{j});
//: end
        }
//: for i in 1..4 * R
//: for j in 0..C
        c{i - 1}_{j} = c{i}_{j};
//: end
//: end
    }
//: else
    // The parts' sums, added in their order.
//: for i in 0..4
    tile[(part * 4u + {i}u) * {X * Y}u + u] = c{i}_0;
//: end
    workgroupBarrier();
    for (var at = t; at < {4 * X * Y}u; at += {X * Y * S}u) {
        var sum = tile[at];
        for (var s = 1u; s < {S}u; s++) { sum += tile[at + s * {4 * X * Y}u]; }
        let row = top + 4u * down_of(at % {X * Y}u) + at / {X * Y}u;
        if row < p.m { finish(row, left + 4u * across_of(at % {X * Y}u), sum); }
    }
//: end
