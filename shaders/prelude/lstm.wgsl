// The cell of one timestep t of an LSTM: i, f, o = σ and g = tanh of (xp + sum), the sum begun with
// the bias, then c = f c_before + i g and h = o tanh(c).
//
// A row at or past its end is held: c and h are those before, as if f were 1 and the others 0, and that
// is what its gates are.
//
// m: B, n and k: H, stride: unused; since and steps: which of the window's `time` timesteps, in the order in which they
// are made; a and all after it: where each operand begins in what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32,
//: if W == 1
    since: u32, steps: u32, time: u32,
//: else
    t: u32,
//: end
    a: u32, b: u32, bias: u32, gates: u32, before: u32, c: u32, y: u32, lengths: u32,
//: if HG == 1
    xp: u32,
//: end
}
var<immediate> p: Params;
//: include moment

const BIAS = 1u; // there is a bias

//: numbers 2 bias 0 UNITS reads (4 H)
//: numbers 3 gates H UNITS updates (B, 4 H) i|f|g|o, over xp
//: numbers 4 c_before H UNITS reads (B, H)
//: numbers 5 c H UNITS writes (B, H)
//: numbers 6 y H UNITS writes (B, H)
@group(0) @binding(7) var<storage, read_write> lengths: array<u32>;     // (B) if LEN is 1
// HG: 1 where what is there before is read from the texture.
//: if HG == 1
//: numbers 8 xp 4 UNITS reads (B, 4 H)
fn xp_at(i: u32) -> Units { return get_xp(p.xp + i); }
//: else
fn xp_at(i: u32) -> Units { return get_gates(of_now(p.gates, 4u * p.n) + i); }
//: end

// Finishes units from `unit` on, given the sums of i, f, g and o.
fn cell(row: u32, unit: u32, sum_i: Units, sum_f: Units, sum_g: Units, sum_o: Units) {
    let at = row * p.n + unit;
    let sums = row * 4u * p.n + unit;
    let gate = of_now(p.gates, 4u * p.n) + sums;
    let before = c_before_at(at);
    var i = Units(0.0);
    var f = Units(1.0);
    var g = Units(0.0);
    var o = Units(0.0);
    var c_now = before;
    var h_now = Units(0.0);
    if is_held(row) {
        h_now = h_before(row, unit);
    } else {
        i = logistics(xp_at(sums) + sum_i);
        f = logistics(xp_at(sums + p.n) + sum_f);
        g = hyperbolic(xp_at(sums + 2u * p.n) + sum_g);
        o = logistics(xp_at(sums + 3u * p.n) + sum_o);
        c_now = fma(f, before, i * g);
        h_now = o * hyperbolic(c_now);
    }
    put_gates(gate, i);
    put_gates(gate + p.n, f);
    put_gates(gate + 2u * p.n, g);
    put_gates(gate + 3u * p.n, o);
    put_c(of_now(p.c, p.n) + at, c_now);
    let to = of_now(p.y, p.n) + at;
    put_y(to, h_now);
//: if W == 1
    h_after(row, unit, get_y(to));
//: end
}
//: if W == 1
fn c_before_at(at: u32) -> Units {
    if begins { return get_c_before(p.before + at); }
    return get_c(p.c + behind * p.m * p.n + at);
}
//: else
fn c_before_at(at: u32) -> Units { return get_c_before(p.before + at); }
//: end
