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
}
var<immediate> p: Params;
//: include moment

const BIAS = 1u; // there is a bias

//: numbers 2 bias 0 1 reads (4 H)
//: numbers 3 gates H 1 updates (B, 4 H) i|f|g|o, over xp
//: numbers 4 c_before H 1 reads (B, H)
//: numbers 5 c H 1 writes (B, H)
//: numbers 6 y H 1 writes (B, H)
@group(0) @binding(7) var<storage, read_write> lengths: array<u32>;     // (B) if LEN is 1

// What the sums of a unit's gates start from.
fn biases(unit: u32) -> vec4<f32> {
    if (p.flags & BIAS) == 0u { return vec4<f32>(0.0); }
    let u = p.bias + unit;
    return vec4<f32>(get_bias(u), get_bias(u + p.n), get_bias(u + 2u * p.n), get_bias(u + 3u * p.n));
}

fn cell(row: u32, unit: u32, sum: vec4<f32>) {
    let at = row * p.n + unit;
    let gate = of_now(p.gates, 4u * p.n) + row * 4u * p.n + unit;
    let before = c_before_at(at);
    var g = vec4<f32>(0.0, 1.0, 0.0, 0.0);
    var c_now = before;
    var h_now = 0.0;
//: if LEN == 1
    let held = moment() >= lengths[p.lengths + row];
//: else
    let held = false;
//: end
    if held {
        h_now = h_before(row, unit);
    } else {
        let xp = vec4<f32>(
            get_gates(gate),
            get_gates(gate + p.n),
            get_gates(gate + 2u * p.n),
            get_gates(gate + 3u * p.n),
        );
        let v = xp + sum;
        g = vec4<f32>(logistic(v.x), logistic(v.y), tangent(v.z), logistic(v.w));
        c_now = fma(g.y, before, g.x * g.z);
        h_now = g.w * tangent(c_now);
    }
    put_gates(gate, g.x);
    put_gates(gate + p.n, g.y);
    put_gates(gate + 2u * p.n, g.z);
    put_gates(gate + 3u * p.n, g.w);
    put_c(of_now(p.c, p.n) + at, c_now);
    let i = of_now(p.y, p.n) + at;
    put_y(i, h_now);
//: if W == 1
    h_after(row, unit, get_y(i));
//: end
}
//: if W == 1
fn c_before_at(at: u32) -> f32 {
    if begins { return get_c_before(p.before + at); }
    return get_c(p.c + behind * p.m * p.n + at);
}
//: else
fn c_before_at(at: u32) -> f32 { return get_c_before(p.before + at); }
//: end
