// The gradient of one timestep of an LSTM, given the product (B, 4 H) by (4 H, H) of the pre-activations'
// gradients of the step after and the weight:
//
//   dh = sum + dy + carried dh,   dc = carried dc + dh o (1 - tanh(c)²),   c = f c_before + i g
//   di|df|dg|do = dc g i (1 - i) | dc c_before f (1 - f) | dc i (1 - g²) | dh tanh(c) o (1 - o)
//
// which go where the gates were. dc f is carried on; of a held row dh and dc are, and its pre-activations
// have no gradient.
//
// m: B, n: H, k: 4 H, or 0 where nothing comes after; a and all after it: where each operand begins in
// what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32, t: u32,
    a: u32, b: u32, dy: u32, gates: u32, before: u32, carry: u32, lengths: u32,
}
var<immediate> p: Params;

const LENGTHS = 2u; // there are lengths

@group(0) @binding(2) var<storage, read_write> dy: array<Unit>;       // (B, H)
@group(0) @binding(3) var<storage, read_write> gates: array<Unit>;    // (B, 4 H) i|f|g|o, then their gradients
@group(0) @binding(4) var<storage, read_write> c_before: array<Unit>; // (B, H)
@group(0) @binding(5) var<storage, read_write> carry: array<Unit>;    // (2, B, H) dh, dc
@group(0) @binding(6) var<storage, read_write> lengths: array<u32>;   // (B)

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let gate = p.gates + row * 4u * p.n + col;
    let of_h = (p.carry + at) / {V}u;
    let of_c = (p.carry + p.m * p.n + at) / {V}u;
    let at_i = gate / {V}u;
    let at_f = (gate + p.n) / {V}u;
    let at_g = (gate + 2u * p.n) / {V}u;
    let at_o = (gate + 3u * p.n) / {V}u;
    let dh = sum + Num(dy[(p.dy + at) / {V}u]) + Num(carry[of_h]);
    if (p.flags & LENGTHS) != 0u && p.t >= lengths[p.lengths + row] {
        carry[of_h] = Unit(dh);
        gates[at_i] = Unit(Num(0.0));
        gates[at_f] = Unit(Num(0.0));
        gates[at_g] = Unit(Num(0.0));
        gates[at_o] = Unit(Num(0.0));
        return;
    }
    let i = Num(gates[at_i]);
    let f = Num(gates[at_f]);
    let g = Num(gates[at_g]);
    let o = Num(gates[at_o]);
    let before = Num(c_before[(p.before + at) / {V}u]);
    let tanh_c = tangents(fma(f, before, i * g));
    let dc = Num(carry[of_c]) + dh * o * (1.0 - tanh_c * tanh_c);
    carry[of_h] = Unit(Num(0.0));
    carry[of_c] = Unit(dc * f);
    gates[at_i] = Unit(dc * g * i * (1.0 - i));
    gates[at_f] = Unit(dc * before * f * (1.0 - f));
    gates[at_g] = Unit(dc * i * (1.0 - g * g));
    gates[at_o] = Unit(dh * tanh_c * o * (1.0 - o));
}
