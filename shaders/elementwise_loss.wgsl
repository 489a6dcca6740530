// losses[i] = scale * l(y[i], t[i]), dy[i] = scale * dl/dy; both are 0 where t[i] is NaN

struct Params { len: u32, measure: u32, delta: f32, gradient: u32, seeded: u32 }
var<immediate> p: Params;

const SQUARED = 0u;
const ABSOLUTE = 1u;
const HUBER = 2u;

//: numbers 0 y H 1 reads (len)
@group(0) @binding(1) var<storage, read_write> t: array<u32>;      // (len), bits of f32
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;  // (1)
//: numbers 3 dy H 1 writes (len) if gradient
@group(0) @binding(4) var<storage, read_write> losses: array<f32>; // (len)
@group(0) @binding(5) var<storage, read_write> seed: array<f32>;   // (1) if seeded, a factor of dy

// l and dl/dy for the difference d = y - t.
fn regression(d: f32) -> vec2<f32> {
    if p.measure == SQUARED { return vec2(d * d, 2.0 * d); }
    let a = abs(d);
    if p.measure == ABSOLUTE { return vec2(a, sign(d)); }
    if a < p.delta { return vec2(0.5 * d * d, d); }
    return vec2(p.delta * (a - 0.5 * p.delta), p.delta * sign(d));
}

// -t ln f(y) - (1 - t) ln(1 - f(y)), where f is the logistic function, and f(y) - t. The exponential
// is of -|y|, which cannot overflow; of ln(1 + e) the first two terms keep what a sum with 1 loses.
fn logistic_cross_entropy(y: f32, t: f32) -> vec2<f32> {
    let e = exp(-abs(y));
    let tail = select(log(1.0 + e), e - 0.5 * e * e, e < 1e-3);
    let share = select(e, 1.0, y >= 0.0) / (1.0 + e);
    return vec2(select(y, 0.0, y < 0.0) - y * t + tail, share - t);
}

@compute @workgroup_size(256)
fn elementwise_loss(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    // What all read alike is read before anything branches; see `optimizer`.
    let of_all = scale[0];
    let seeded = select(1.0, seed[0], p.seeded != 0u);
    if i >= p.len { return; }
    let bits = t[i];
    var pair = vec2(0.0);
    // By its bits: a compiler may take it that no number is NaN.
    if (bits & 0x7fffffffu) <= 0x7f800000u {
        let target_number = bitcast<f32>(bits);
        let yi = get_y(i);
        if p.measure <= HUBER {
            pair = regression(yi - target_number);
        } else {
            pair = logistic_cross_entropy(yi, target_number);
        }
        pair *= of_all;
    }
    losses[i] = pair.x;
    if p.gradient == 0u { return; }
    put_dy(i, pair.y * seeded);
}
