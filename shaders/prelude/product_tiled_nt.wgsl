    let top = w.y * {32 * R}u;
    let left = w.x * 64u;
    let start = start_apart(left + t.x);
//: for i in 0..4 * R
    var c{i} = start;
//: end
    for (var k = 0u; k < p.k; k += 16u) {
//: for s in 0..R
        {
            let quad = t.y + {8 * s}u;
            let row = top + quad;
            a_tile[t.x * {8 * R + 1}u + quad] = vec4<f32>(
                a1(row, k + t.x),
                a1(row + {8 * R}u, k + t.x),
                a1(row + {16 * R}u, k + t.x),
                a1(row + {24 * R}u, k + t.x),
            );
        }
//: end
//: for s in 0..2
        {
            let quad = t.y + {8 * s}u;
            let col = left + quad;
            b_tile[t.x * 17u + quad] = vec4<f32>(
                b1(col, k + t.x),
                b1(col + 16u, k + t.x),
                b1(col + 32u, k + t.x),
                b1(col + 48u, k + t.x),
            );
        }
//: end
        workgroupBarrier();
//: for deep in 0..16
        let b{deep} = b_tile[{17 * deep}u + t.x];
//: for s in 0..R
        let a{deep}_{s} = a_tile[{(8 * R + 1) * deep + 8 * s}u + t.y];
//: for i in 0..4
        c{4 * s + i} = fma(vec4<f32>(a{deep}_{s}[{i}]), b{deep}, c{4 * s + i});
//: end
//: end
//: end
        workgroupBarrier();
    }
    // The row to finish is always the first and the others move up: written out row by row, this
    // would take a driver longer to compile than all the rest.
    for (var i = 0u; i < {4 * R}u; i++) {
        let row = top + t.y + i / 4u * 8u + i % 4u * {8 * R}u;
        if row < p.m {
            finish_apart(row, left + t.x, c0);
        }
//: for i in 1..4 * R
        c{i - 1} = c{i};
//: end
    }
