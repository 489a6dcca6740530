// The gradient of one timestep of a GRU, given the product (B, 3 H) by (3 H, H) of the step after's
// dr|dz|dq and the weight:
//
//   dh = sum + dy + carried dh
//   dn = dh (1 - z) (1 - n²),   dr|dz = dn q r (1 - r) | dh (h_before - n) z (1 - z),   dq = dn r
//
// dr|dz|dn go where the gates were and dq where q was; dh z is carried on. Of a held row z is 1 and r, n
// and q are 0, so that dh is carried on and all else is 0.
//
// m: B, n: H, k: 3 H, or 0 where nothing comes after; a and all after it: where each operand begins in
// what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32, t: u32,
    a: u32, b: u32, after: u32, dy: u32, gates: u32, q: u32, before: u32, carry: u32,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> a: array<Unit>;        // (B, 3 H), the step after's dr|dz|dn
@group(0) @binding(1) var<storage, read_write> b: array<Unit>;        // (3 H, H), the weight
@group(0) @binding(2) var<storage, read_write> dq_after: array<Unit>; // (B, H), the step after's dq
@group(0) @binding(3) var<storage, read_write> dy: array<Unit>;       // (B, H)
@group(0) @binding(4) var<storage, read_write> gates: array<Unit>;    // (B, 3 H) r|z|n, then their gradients
@group(0) @binding(5) var<storage, read_write> q: array<Unit>;        // (B, H), then its gradient
@group(0) @binding(6) var<storage, read_write> h_before: array<Unit>; // (B, H)
@group(0) @binding(7) var<storage, read_write> carry: array<Unit>;    // (B, H) dh

// Past the last row or column is that row or column again, for nothing made of it is kept; past the last
// k is 0. H is a multiple of 4 where V is 4, so that no four elements are of both dz and dq.
//: if V == 4
// dr|dz|dq[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    let r = min(row, p.m - 1u);
    if k < 2u * p.n { return vec4<f32>(a[(p.a + r * p.stride + k) / 4u]); }
    return vec4<f32>(dq_after[(p.after + r * p.n + k - 2u * p.n) / 4u]);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> { return vec4<f32>(b[(p.b + k * p.n + min(col, p.n - 4u)) / 4u]); }
//: else
fn a1(row: u32, k: u32) -> f32 {
    let r = min(row, p.m - 1u);
    if k < 2u * p.n { return load(a[p.a + r * p.stride + k]); }
    if k < p.k { return load(dq_after[p.after + r * p.n + k - 2u * p.n]); }
    return 0.0;
}
// dr|dz|dq[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row, k + 1u), a1(row, k + 2u), a1(row, k + 3u));
}
fn b1(k: u32, col: u32) -> f32 {
    let x = load(b[p.b + min(k, p.k - 1u) * p.n + min(col, p.n - 1u)]);
    return select(0.0, x, k < p.k);
}
// b[k, col..col+4]
fn b4(k: u32, col: u32) -> vec4<f32> {
    return vec4<f32>(b1(k, col), b1(k, col + 1u), b1(k, col + 2u), b1(k, col + 3u));
}
//: end

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let gate = p.gates + row * 3u * p.n + col;
    let at_r = gate / {V}u;
    let at_z = (gate + p.n) / {V}u;
    let at_n = (gate + 2u * p.n) / {V}u;
    let at_q = (p.q + at) / {V}u;
    let carried = (p.carry + at) / {V}u;
    let r = Num(gates[at_r]);
    let z = Num(gates[at_z]);
    let n = Num(gates[at_n]);
    let dh = sum + Num(dy[(p.dy + at) / {V}u]) + Num(carry[carried]);
    let dn = dh * (1.0 - z) * (1.0 - n * n);
    gates[at_r] = Unit(dn * Num(q[at_q]) * r * (1.0 - r));
    gates[at_z] = Unit(dh * (Num(h_before[(p.before + at) / {V}u]) - n) * z * (1.0 - z));
    gates[at_n] = Unit(dn);
    q[at_q] = Unit(dn * r);
    carry[carried] = Unit(dh * z);
}
