// The cell of one timestep t of a GRU: r|z = σ(xp + sum), q = sum_n, n = tanh(xp_n + r q) and
// h = (1 - z) n + z h_before, the sums begun with the bias.
//
// A row at or past its end is held: h is that before, as if z were 1 and r, n and q 0, and that is what
// is kept, so that nothing need be known of lengths on the way back.
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
    a: u32, b: u32, bias: u32, gates: u32, q: u32, y: u32, lengths: u32,
//: if HG == 1
    xp: u32,
//: end
}
var<immediate> p: Params;
//: include moment

const BIAS = 1u; // there is a bias

//: numbers 2 bias 0 UNITS reads (3 H)
//: numbers 3 gates H UNITS updates (B, 3 H) r|z|n, over xp
//: numbers 4 q H UNITS writes (B, H)
//: numbers 5 y H UNITS writes (B, H)
@group(0) @binding(6) var<storage, read_write> lengths: array<u32>;  // (B) if LEN is 1
// HG: 1 where what is there before is read from the texture.
//: if HG == 1
//: numbers 7 xp 4 UNITS reads (B, 3 H)
fn xp_at(i: u32) -> Units { return get_xp(p.xp + i); }
//: else
fn xp_at(i: u32) -> Units { return get_gates(of_now(p.gates, 3u * p.n) + i); }
//: end

// Finishes units from `unit` on, given the sums of r, z and n, and a fourth that is nothing.
fn cell(row: u32, unit: u32, sum_r: Units, sum_z: Units, sum_n: Units, none: Units) {
    let at = row * p.n + unit;
    let sums = row * 3u * p.n + unit;
    let gate = of_now(p.gates, 3u * p.n) + sums;
    let before = h_before(row, unit);
    var r = Units(0.0);
    var z = Units(1.0);
    var n = Units(0.0);
    var linear = Units(0.0);
    var h_now = before;
    if !is_held(row) {
        linear = sum_n;
        r = logistics(xp_at(sums) + sum_r);
        z = logistics(xp_at(sums + p.n) + sum_z);
        n = hyperbolic(fma(r, linear, xp_at(sums + 2u * p.n)));
        h_now = fma(z, before - n, n);
    }
    put_gates(gate, r);
    put_gates(gate + p.n, z);
    put_gates(gate + 2u * p.n, n);
    put_q(of_now(p.q, p.n) + at, linear);
    let i = of_now(p.y, p.n) + at;
    put_y(i, h_now);
//: if W == 1
    h_after(row, unit, get_y(i));
//: end
}
