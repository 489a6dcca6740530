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
//: for i in 0..8
        let x{i} = a4(top + {i}u, k);
//: end
//: for j in 0..Q
//: for q in 0..4
        let b{q}_{j} = b4(k + {q}u, left + {32 * j}u);
//: end
//: end
//: for i in 0..8
//: for j in 0..Q
//: for q in 0..4
        c{i}_{j} = fma(vec4<f32>(x{i}[{q}]), b{q}_{j}, c{i}_{j});
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
