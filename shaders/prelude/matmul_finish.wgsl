// What the sums of a product start from, and what becomes of them: c = f(c + bias + sum), or
// (c + sum) * f'(y), of which the flags say what there is.
//
// E: 1 goes by the flags. 0 is for one epilogue alone, because a software adapter goes through everything that a branch
// goes around: A and S say whether it adds to c and has slopes, F is the number of f.
//: numbers 2 extra HE V reads (n) or (m, n)
//: numbers 3 c HC V updates (m, n)

fn first(col: u32) -> Num {
    if (p.flags & BIAS) != 0u { return get_extra(p.extra + col); }
    return Num(0.0);
}

fn keep(row: u32, col: u32, sum: Num) {
    let i = row * p.n + col;
    var v = sum;
//: if E == 0
//: if A == 1
    v += get_c(p.was + i);
//: end
//: if S == 1
    v *= slopes({F}u, get_extra(p.extra + i));
//: else
    v = activates({F}u, v);
//: end
//: else
    let f = p.flags >> FUNCTION;
    if (p.flags & ACCUMULATE) != 0u { v += get_c(p.was + i); }
    if (p.flags & SLOPE) != 0u {
        v *= slopes(f, get_extra(p.extra + i));
    } else {
        v = activates(f, v);
    }
//: end
    put_c(p.c + i, v);
}
