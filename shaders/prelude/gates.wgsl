// The factors of a recurrent product, the weight's rows in such an order that a thread has all gates of its units.
// Where UNITS is 1, its four sums are those of one unit: three where G is 3, whose last is there twice. Where UNITS is 4, it
// sums for four units side by side, so that a cell reads and writes four at once: each of its Q quads, as many as gates, is
// of another gate.
//
// Past the last row or unit is that row or unit again, for nothing made of it is kept; past the last k
// is 0. p.k and p.n are both H, and a multiple of 4 where V is 4.
//: if W == 1
//: include state
//: else
//: numbers 0 a HA V reads (B, H) = (m, k), h of the step before
//: end
//: numbers 1 b HB V reads (G H, H), the weight

//: if UNITS == 4
alias Units = vec4<f32>;
fn logistics(x: Units) -> Units { return 1.0 / (1.0 + exp(-x)); }
fn hyperbolic(x: Units) -> Units { return Units(tangent(x.x), tangent(x.y), tangent(x.z), tangent(x.w)); }
fn unit_of(col: u32) -> u32 { return col / {4 * L * Q}u * {4 * L}u + col % {4 * L}u; }
fn gate_of(col: u32) -> u32 { return col % {4 * L * Q}u / {4 * L}u; }
//: else
alias Units = f32;
fn logistics(x: Units) -> Units { return logistic(x); }
fn hyperbolic(x: Units) -> Units { return tangent(x); }
fn unit_of(col: u32) -> u32 { return col / 4u; }
fn gate_of(col: u32) -> u32 { return min(col % 4u, {G - 1}u); }
//: end
fn row_of(col: u32) -> u32 { return gate_of(col) * p.n + min(unit_of(col), p.n - 1u); }

//: if V == 4
//: if W == 0
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> { return get_a(p.a + min(row, p.m - 1u) * p.k + k); }
//: if UNITS == 4
fn h_before(row: u32, unit: u32) -> Units { return get_a(p.a + row * p.n + unit); }
//: else
fn h_before(row: u32, unit: u32) -> Units {
    let i = p.a + row * p.n + unit;
    return get_a(i / 4u * 4u)[i % 4u];
}
//: end
//: end
// b[row_of(col), k..k+4]
fn b4(col: u32, k: u32) -> vec4<f32> { return get_b(p.b + row_of(col) * p.k + k); }
//: else
//: if W == 0
fn a1(row: u32, k: u32) -> f32 {
    let x = get_a(p.a + min(row, p.m - 1u) * p.k + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// a[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(a1(row, k), a1(row, k + 1u), a1(row, k + 2u), a1(row, k + 3u));
}
fn h_before(row: u32, unit: u32) -> f32 { return get_a(p.a + row * p.n + unit); }
//: end
fn b1(col: u32, k: u32) -> f32 {
    let x = get_b(p.b + row_of(col) * p.k + min(k, p.k - 1u));
    return select(0.0, x, k < p.k);
}
// b[row_of(col), k..k+4]
fn b4(col: u32, k: u32) -> vec4<f32> {
    return vec4<f32>(b1(col, k), b1(col, k + 1u), b1(col, k + 2u), b1(col, k + 3u));
}
//: end

//: if UNITS == 4
fn start(col: u32) -> vec4<f32> { return bias_of(gate_of(col), min(unit_of(col), p.n - 4u)); }
fn finish_units(row: u32, left: u32, x: Units, y: Units, z: Units, w: Units) {
    let unit = unit_of(left);
    if unit < p.n { cell(row, unit, x, y, z, w); }
}
//: else
fn start(col: u32) -> vec4<f32> {
    let unit = min(unit_of(col), p.n - 1u);
    return vec4<f32>(bias_of(0u, unit), bias_of(1u, unit), bias_of(2u, unit), bias_of({G - 1}u, unit));
}
fn finish(row: u32, col: u32, sum: vec4<f32>) {
    let unit = unit_of(col);
    if unit < p.n { cell(row, unit, sum.x, sum.y, sum.z, sum.w); }
}
//: end

// What a gate's sum starts from.
fn bias_of(gate: u32, unit: u32) -> Units {
    if (p.flags & BIAS) == 0u { return Units(0.0); }
    return get_bias(p.bias + gate * p.n + unit);
}
