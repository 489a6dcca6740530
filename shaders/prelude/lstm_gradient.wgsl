// The gradient of one timestep of an LSTM, given the product (B, 4 H) by (4 H, H) of the pre-activations'
// gradients of the step after and the weight:
//
//   dh = sum + dy + carried dh,   dc = carried dc + dh o (1 - tanh(c)²),   c = f c_before + i g
//   di|df|dg|do = dc g i (1 - i) | dc c_before f (1 - f) | dc i (1 - g²) | dh tanh(c) o (1 - o)
//
// which go where the gates were. dc f is carried on; of a held row dh and dc are, and its pre-activations
// have no gradient.
//
// In a window (W is 1) what the step after made is where its gates were, and `origin` is c before all timesteps.
//
// m: B, n: H, k: 4 H, or 0 where nothing comes after; since and steps: which of the window's `time` timesteps, in the order
// in which they are made; a and all after it: where each operand begins in what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32,
//: if W == 1
    since: u32, steps: u32, time: u32,
//: else
    t: u32,
//: end
//: if W == 1
    origin: u32, b: u32, dy: u32, gates: u32, before: u32, carry: u32, lengths: u32, a: u32,
//: else
    a: u32, b: u32, dy: u32, gates: u32, before: u32, carry: u32, lengths: u32,
//: end
//: if HG == 1
    made: u32,
//: end
}
var<immediate> p: Params;
//: include moment

//: numbers 2 dy H V reads (B, H)
//: numbers 3 gates H V updates (B, 4 H) i|f|g|o, then their gradients
//: if W == 1
//: numbers 0 origin H V reads (B, H)
//: numbers 4 c H V reads (T, B, H)
//: numbers 7 a H V reads (B, 4 H), where another dispatch made the step after
//: else
//: numbers 4 c H V reads (B, H), of the timestep before
//: end
//: numbers 5 carry 0 V updates (2, B, H) dh, dc
@group(0) @binding(6) var<storage, read_write> lengths: array<u32>;   // (B) if LEN is 1
// HG: 1 where gates are read from the texture.
//: if HG == 1
//: numbers 7 made 4 V reads (B, 4 H)
fn gate_at(i: u32) -> Num { return get_made(p.made + i); }
//: else
fn gate_at(i: u32) -> Num { return get_gates(of_these(p.gates, 4u * p.n) + i); }
//: end

fn first(col: u32) -> Num { return Num(0.0); }

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let of_row = row * 4u * p.n + col;
    let gate = of_these(p.gates, 4u * p.n) + of_row;
    let of_h = p.carry + at;
    let of_c = of_h + p.m * p.n;
    let dh = sum + get_dy(of_these(p.dy, p.n) + at) + get_carry(of_h);
    if is_held(row) {
        put_carry(of_h, dh);
        put_gates(gate, Num(0.0));
        put_gates(gate + p.n, Num(0.0));
        put_gates(gate + 2u * p.n, Num(0.0));
        put_gates(gate + 3u * p.n, Num(0.0));
        return;
    }
    let i = gate_at(of_row);
    let f = gate_at(of_row + p.n);
    let g = gate_at(of_row + 2u * p.n);
    let o = gate_at(of_row + 3u * p.n);
    let before = c_before(at);
    let tanh_c = tangents(fma(f, before, i * g));
    let dc = get_carry(of_c) + dh * o * (1.0 - tanh_c * tanh_c);
    put_carry(of_h, Num(0.0));
    put_carry(of_c, dc * f);
    put_gates(gate, dc * g * i * (1.0 - i));
    put_gates(gate + p.n, dc * before * f * (1.0 - f));
    put_gates(gate + 2u * p.n, dc * i * (1.0 - g * g));
    put_gates(gate + 3u * p.n, dh * tanh_c * o * (1.0 - o));
}
//: if W == 1
fn c_before(at: u32) -> Num {
    if ends { return get_origin(p.origin + at); }
    return get_c(p.before + ahead * p.m * p.n + at);
}
fn made(at: u32) -> Num {
    if resumes { return get_a(p.a + at); }
    return get_gates(p.gates + (behind - earliest()) * p.m * p.stride + at);
}
//: else
fn c_before(at: u32) -> Num { return get_c(p.before + at); }
//: end
