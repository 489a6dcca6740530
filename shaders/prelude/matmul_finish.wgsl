// What becomes of the sums of a product: c = f(c + sum + bias), or (c + sum) * f'(y), of which the
// flags say what there is.
//
// F: 0 leaves f out, because a software adapter works f out even where a branch goes around it.
@group(0) @binding(2) var<storage, read_write> extra: array<Unit>; // (n) or (m, n)
@group(0) @binding(3) var<storage, read_write> c: array<Unit>;     // (m, n)

fn keep(row: u32, col: u32, sum: Num) {
    let i = row * p.n + col;
    let f = p.flags >> FUNCTION;
    var v = sum;
    if (p.flags & ACCUMULATE) != 0u { v += Num(c[(p.c + i) / {V}u]); }
    if (p.flags & BIAS) != 0u { v += Num(extra[(p.extra + col) / {V}u]); }
    if (p.flags & SLOPE) != 0u {
        v *= slopes(f, Num(extra[(p.extra + i) / {V}u]));
    } else {
//: if F == 1
        v = activates(f, v);
//: end
    }
    c[(p.c + i) / {V}u] = Unit(v);
}
