// Two numbers as the halves of a word. What a number too large for a half becomes, WGSL leaves open, and
// hardware that cuts off makes it the greatest half; here it is never finite, which loss scaling has to see.
fn halves(x: vec2<f32>) -> u32 {
    let past = (bitcast<vec2<u32>>(x) & vec2(0x7fffffffu)) >= vec2(0x477ff000u); // 65520, which rounds up
    let exponents = select(vec2(0u), vec2(0x7c00u, 0x7c000000u), past);
    return pack2x16float(x) | exponents.x | exponents.y;
}
// Without exp's overflow at large |x| and without its cancellation at small |x|.
fn tangent(x: f32) -> f32 {
    let a = abs(x);
    let s = x * x;
    let near = x * (1.0 + s * (-0.33333334 + s * (0.13333334 + s * (-0.053968254 + s * 0.021869488))));
    let far = sign(x) * (1.0 - 2.0 / (exp(2.0 * a) + 1.0));
    return select(far, near, a < 0.3);
}
fn logistic(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
// f: 0 identity, 1 tanh, 2 relu, 3 sigmoid
fn activate(f: u32, x: f32) -> f32 {
    if f == 1u { return tangent(x); }
    if f == 2u { return select(x, 0.0, x < 0.0); } // not max, which would hide a NaN
    if f == 3u { return logistic(x); }
    return x;
}
// d activate / dx where the activation gave y
fn slope(f: u32, y: f32) -> f32 {
    if f == 1u { return 1.0 - y * y; }
    if f == 2u { return select(0.0, 1.0, y > 0.0); }
    if f == 3u { return y * (1.0 - y); }
    return 1.0;
}
