// What the sums of a product start from, and what becomes of them: c = f(c + bias + sum), or
// (c + sum) * f'(y), of which the flags say what there is.
//
// F: 0 leaves f out, because a software adapter works f out even where a branch goes around it.
//: numbers 2 extra HE V reads (n) or (m, n)
//: numbers 3 c HC V updates (m, n)

fn first(col: u32) -> Num {
    if (p.flags & BIAS) != 0u { return get_extra(p.extra + col); }
    return Num(0.0);
}

fn keep(row: u32, col: u32, sum: Num) {
    let i = row * p.n + col;
    let f = p.flags >> FUNCTION;
    var v = sum;
    if (p.flags & ACCUMULATE) != 0u { v += get_c(p.c + i); }
    if (p.flags & SLOPE) != 0u {
        v *= slopes(f, get_extra(p.extra + i));
    } else {
//: if F == 1
        v = activates(f, v);
//: end
    }
    put_c(p.c + i, v);
}
