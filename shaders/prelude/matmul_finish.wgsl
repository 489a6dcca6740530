// What becomes of the sums of a product: c = f(c + sum + bias), or (c + sum) * f'(y), of which the
// flags say what there is. Past the last column nothing is stored.
//
// F: 0 leaves f out, because a software adapter works f out even where a branch goes around it.
@group(0) @binding(2) var<storage, read_write> extra: array<Unit>; // (n) or (m, n)
@group(0) @binding(3) var<storage, read_write> c: array<Unit>;     // (m, n)

//: if V == 4
fn finish(row: u32, col: u32, sum: vec4<f32>) {
    if col < p.n {
        let i = row * p.n + col;
        let f = p.flags >> FUNCTION;
        var v = sum;
        if (p.flags & ACCUMULATE) != 0u { v += vec4<f32>(c[(p.c + i) / 4u]); }
        if (p.flags & BIAS) != 0u { v += vec4<f32>(extra[(p.extra + col) / 4u]); }
        if (p.flags & SLOPE) != 0u {
            let y = vec4<f32>(extra[(p.extra + i) / 4u]);
            v *= vec4<f32>(slope(f, y.x), slope(f, y.y), slope(f, y.z), slope(f, y.w));
        } else {
//: if F == 1
            v = vec4<f32>(activate(f, v.x), activate(f, v.y), activate(f, v.z), activate(f, v.w));
//: end
        }
        c[(p.c + i) / 4u] = vec4<Stored>(v);
    }
}
//: else
fn finish1(row: u32, col: u32, sum: f32) {
    if col < p.n {
        let i = row * p.n + col;
        let f = p.flags >> FUNCTION;
        var v = sum;
        if (p.flags & ACCUMULATE) != 0u { v += load(c[p.c + i]); }
        if (p.flags & BIAS) != 0u { v += load(extra[p.extra + col]); }
        if (p.flags & SLOPE) != 0u {
            v *= slope(f, load(extra[p.extra + i]));
        } else {
//: if F == 1
            v = activate(f, v);
//: end
        }
        c[p.c + i] = store(v);
    }
}
fn finish(row: u32, col: u32, sum: vec4<f32>) {
    finish1(row, col, sum.x);
    finish1(row, col + 1u, sum.y);
    finish1(row, col + 2u, sum.z);
    finish1(row, col + 3u, sum.w);
}
//: end
