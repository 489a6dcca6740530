// The cell of one timestep t of Elman's recurrence: y = f(xp + sum), the sum begun with the bias. A row at
// or past its end is held: y is what it was before.
//
// m: B, n and k: H, stride: from one row of `a` to the next; a and all after it: where each operand
// begins in what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32, t: u32,
    a: u32, b: u32, bias: u32, y: u32, lengths: u32,
}
var<immediate> p: Params;

const BIAS = 1u;     // there is a bias
const FUNCTION = 8u; // f is the number from this bit on

//: numbers 2 bias 0 V reads (H)
//: numbers 3 y H V updates (B, H), over xp
@group(0) @binding(4) var<storage, read_write> lengths: array<u32>; // (B)

fn first(col: u32) -> Num {
    if (p.flags & BIAS) != 0u { return get_bias(p.bias + col); }
    return Num(0.0);
}

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let now = p.y + at;
    if p.t >= lengths[p.lengths + row] {
        put_y(now, get_a(p.a + at));
        return;
    }
    put_y(now, activates(p.flags >> FUNCTION, get_y(now) + sum));
}
