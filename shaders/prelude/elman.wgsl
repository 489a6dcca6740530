// The cell of one timestep t of Elman's recurrence: y = f(xp + sum), f being number F, the sum begun with the bias. A row
// at or past its end is held: y is what it was before.
//
// m: B, n and k: H, stride: from one row of `a` to the next; since and steps: which of the window's `time` timesteps, in
// the order in which they are made; a and all after it: where each operand begins in what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32,
//: if W == 1
    since: u32, steps: u32, time: u32,
//: else
    t: u32,
//: end
    a: u32, b: u32, bias: u32, y: u32, lengths: u32,
}
var<immediate> p: Params;
//: include moment

const BIAS = 1u; // there is a bias

//: numbers 2 bias 0 V reads (H)
//: numbers 3 y H V updates (B, H), over xp
@group(0) @binding(4) var<storage, read_write> lengths: array<u32>; // (B) if LEN is 1

fn first(col: u32) -> Num {
    if (p.flags & BIAS) != 0u { return get_bias(p.bias + col); }
    return Num(0.0);
}

fn keep(row: u32, col: u32, sum: Num) {
    let i = of_now(p.y, p.n) + row * p.n + col;
    var y = activates({F}u, get_y(i) + sum);
    if is_held(row) { y = held(row, col); }
    put_y(i, y);
//: if W == 1
    keep_h(row, col, get_y(i));
//: end
}
// y of the timestep before.
//: if W == 0
fn held(row: u32, col: u32) -> Num { return get_a(p.a + row * p.n + col); }
//: else
//: if V == 4
fn held(row: u32, col: u32) -> Num { return a4(row, col); }
fn keep_h(row: u32, col: u32, y: Num) {
    for (var i = 0u; i < 4u; i++) { h_after(row, col + i, y[i]); }
}
//: else
fn held(row: u32, col: u32) -> Num { return h_before(row, col); }
fn keep_h(row: u32, col: u32, y: Num) { h_after(row, col, y); }
//: end
//: end
