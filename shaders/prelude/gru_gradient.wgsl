// The gradient of one timestep of a GRU, given the product (B, 3 H) by (3 H, H) of the step after's
// dr|dz|dq and the weight:
//
//   dh = sum + dy + carried dh
//   dn = dh (1 - z) (1 - n²),   dr|dz = dn q r (1 - r) | dh (h_before - n) z (1 - z),   dq = dn r
//
// dr|dz|dn go where the gates were and dq where q was; dh z is carried on. Of a held row z is 1 and r, n
// and q are 0, so that dh is carried on and all else is 0.
//
// In a window (W is 1) what the step after made is where its gates and its q were, but for what another dispatch made,
// which then is `a` and `dq_after`. The dispatch that makes the last of all timesteps back makes the first as well, and
// has h before the window in `a`.
//
// m: B, n: H, k: 3 H, or 0 where nothing comes after; since and steps: which of the window's `time` timesteps, in the order
// in which they are made; a and all after it: where each operand begins in what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32,
//: if W == 1
    since: u32, steps: u32, time: u32,
//: else
    t: u32,
//: end
//: if W == 1
    a: u32, b: u32, dy: u32, gates: u32, q: u32, before: u32, carry: u32, after: u32,
//: else
    a: u32, b: u32, after: u32, dy: u32, gates: u32, q: u32, before: u32, carry: u32,
//: end
//: if HG == 1
    made: u32,
//: end
}
var<immediate> p: Params;
//: include moment

//: numbers 0 a HA V reads (B, 3 H), the step after's dr|dz|dn
//: numbers 2+5*W dq_after HA V reads (B, H), the step after's dq
//: numbers 1 b HB V reads (3 H, H), the weight
//: numbers 3-W dy H V reads (B, H)
//: numbers 4-W gates H V updates (B, 3 H) r|z|n, then their gradients
//: numbers 5-W q H V updates (B, H), then its gradient
//: numbers 6-W h H V reads (B, H), of the timestep before
//: numbers 7-W carry 0 V updates (B, H) dh
// HG: 1 where gates are read from the texture.
//: if HG == 1
//: numbers 8 made 4 V reads (B, 3 H)
fn gate_at(i: u32) -> Num { return get_made(p.made + i); }
//: else
fn gate_at(i: u32) -> Num { return get_gates(of_these(p.gates, 3u * p.n) + i); }
//: end

//: if W == 1
// Where another dispatch made the step after, what it left is bound on its own.
fn gates_after(row: u32, k: u32) -> Num {
    if resumes { return get_a(p.a + row * p.stride + k); }
    return get_gates(p.gates + ((behind - earliest()) * p.m + row) * p.stride + k);
}
fn q_after(row: u32, k: u32) -> Num {
    if resumes { return get_dq_after(p.after + row * p.n + k); }
    return get_q(p.q + ((behind - earliest()) * p.m + row) * p.n + k);
}
fn h_before(at: u32) -> Num {
    if ends { return get_a(p.a + at); }
    return get_h(p.before + ahead * p.m * p.n + at);
}
//: else
fn gates_after(row: u32, k: u32) -> Num { return get_a(p.a + row * p.stride + k); }
fn q_after(row: u32, k: u32) -> Num { return get_dq_after(p.after + row * p.n + k); }
fn h_before(at: u32) -> Num { return get_h(p.before + at); }
//: end

// Past the last row or column is that row or column again, for nothing made of it is kept; past the last
// k is 0. H is a multiple of 4 where V is 4, so that no four elements are of both dz and dq.
//: if V == 4
// dr|dz|dq[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    let r = min(row, p.m - 1u);
    if k < 2u * p.n { return gates_after(r, k); }
    return q_after(r, k - 2u * p.n);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> { return get_b(p.b + k * p.n + min(col, p.n - 4u)); }
//: else
fn a1(row: u32, k: u32) -> f32 {
    let r = min(row, p.m - 1u);
    if k < 2u * p.n { return gates_after(r, k); }
    if k < p.k { return q_after(r, k - 2u * p.n); }
    return 0.0;
}
// dr|dz|dq[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row, k + 1u), a1(row, k + 2u), a1(row, k + 3u));
}
fn b1(k: u32, col: u32) -> f32 {
    let x = get_b(p.b + min(k, p.k - 1u) * p.n + min(col, p.n - 1u));
    return select(0.0, x, k < p.k);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> {
    return vec4<f32>(b1(k, col), b1(k, col + 1u), b1(k, col + 2u), b1(k, col + 3u));
}
//: end

fn first(col: u32) -> Num { return Num(0.0); }

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let of_row = row * 3u * p.n + col;
    let gate = of_these(p.gates, 3u * p.n) + of_row;
    let at_q = of_these(p.q, p.n) + at;
    let carried = p.carry + at;
    let r = gate_at(of_row);
    let z = gate_at(of_row + p.n);
    let n = gate_at(of_row + 2u * p.n);
    let dh = sum + get_dy(of_these(p.dy, p.n) + at) + get_carry(carried);
    let dn = dh * (1.0 - z) * (1.0 - n * n);
    put_gates(gate, dn * get_q(at_q) * r * (1.0 - r));
    put_gates(gate + p.n, dh * (h_before(at) - n) * z * (1.0 - z));
    put_gates(gate + 2u * p.n, dn);
    put_q(at_q, dn * r);
    put_carry(carried, dh * z);
}
