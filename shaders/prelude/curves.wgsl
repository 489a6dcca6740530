// The share of a normal distribution below x, (1 + erf(z)) / 2 with z = x / sqrt 2: by Maclaurin's series
// of erf near 0, and further out by the Chebyshev fit of erfc of Press et al., Numerical Recipes, 2nd ed.,
// section 6.2, whose error is a share of the result, so that the lower tail keeps its digits. In f32
// the result is off by 1.1e-7 at most. The argument of exp is bounded because WGSL promises no infinity.
fn normal_cdf(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let s = z * z;
    let last = -1.0 / 1320.0 + s * (1.0 / 9360.0 + s * (-1.0 / 75600.0 + s * (1.0 / 685440.0 - s / 6894720.0)));
    let series = 1.0 + s * (-1.0 / 3.0 + s * (1.0 / 10.0 + s * (-1.0 / 42.0 + s * (1.0 / 216.0 + s * last))));
    let near = 0.5 + 0.39894228 * x * series;
    let t = 1.0 / (1.0 + 0.5 * z);
    let high = 0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)));
    let fit = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * high))));
    let tail = 0.5 * t * exp(fit - min(s, 200.0));
    return select(select(1.0 - tail, tail, x < 0.0), near, z < 1.0);
}
fn normal_density(x: f32) -> f32 { return 0.3989422804 * exp(-min(0.5 * x * x, 200.0)); }
// ln(1 + e) for e from 0 to 1, by the series of 2 artanh(e / (2 + e)): ln alone would lose a small e.
fn log_1_plus(e: f32) -> f32 {
    let r = e / (2.0 + e);
    let s = r * r;
    let high = 0.14285714 + s * (0.11111111 + s * (0.09090909 + s * (0.07692308 + s * 0.06666667)));
    return 2.0 * r * (1.0 + s * (0.33333333 + s * (0.2 + s * high)));
}
// Twice the argument of tanh in GELU's approximation, (1 + tanh u) / 2 being logistic(2u).
fn gelu_argument(x: f32) -> f32 { return 1.5957691216 * x * (1.0 + 0.044715 * x * x); }
// f: 0 gelu, 1 gelu by tanh, 2 silu, 3 softplus(beta a, threshold b), 4 leaky relu(slope a)
fn curve(f: u32, a: f32, b: f32, x: f32) -> f32 {
    if f == 0u { return x * normal_cdf(x); }
    if f == 1u { return x * logistic(gelu_argument(x)); }
    if f == 2u { return x * logistic(x); }
    if f == 3u {
        let z = a * x;
        if z > b { return x; }
        return (select(0.0, z, z > 0.0) + log_1_plus(exp(-abs(z)))) / a;
    }
    return select(a * x, x, x > 0.0);
}
// d curve / dx. 1 - logistic(z) is taken as logistic(-z), which does not cancel.
fn curve_slope(f: u32, a: f32, b: f32, x: f32) -> f32 {
    if f == 0u { return normal_cdf(x) + x * normal_density(x); }
    if f == 1u {
        let z = gelu_argument(x);
        let rise = 1.5957691216 * (1.0 + 0.134145 * x * x);
        return logistic(z) * (1.0 + x * rise * logistic(-z));
    }
    if f == 2u { return logistic(x) * (1.0 + x * logistic(-x)); }
    if f == 3u { return select(logistic(a * x), 1.0, a * x > b); }
    return select(a, 1.0, x > 0.0);
}
//: if V == 4
fn curves(f: u32, a: f32, b: f32, x: Num) -> Num {
    return Num(curve(f, a, b, x.x), curve(f, a, b, x.y), curve(f, a, b, x.z), curve(f, a, b, x.w));
}
fn curve_slopes(f: u32, a: f32, b: f32, x: Num) -> Num {
    return Num(curve_slope(f, a, b, x.x), curve_slope(f, a, b, x.y), curve_slope(f, a, b, x.z), curve_slope(f, a, b, x.w));
}
//: else
fn curves(f: u32, a: f32, b: f32, x: Num) -> Num { return curve(f, a, b, x); }
fn curve_slopes(f: u32, a: f32, b: f32, x: Num) -> Num { return curve_slope(f, a, b, x); }
//: end
