// The cell of one timestep t of an LSTM: i, f, o = σ and g = tanh of (xp + sum), the sum begun with
// the bias, then c = f c_before + i g and h = o tanh(c).
//
// A row at or past its end is held: c and h are those before, as if f were 1 and the others 0, and that
// is what its gates are.
//
// m: B, n and k: H, stride: unused; a and all after it: where each operand begins in what is bound, in
// elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32, t: u32,
    a: u32, b: u32, bias: u32, gates: u32, before: u32, c: u32, y: u32, lengths: u32,
}
var<immediate> p: Params;

const BIAS = 1u;    // there is a bias
const LENGTHS = 2u; // there are lengths

//: numbers 2 bias 0 1 reads (4 H)
//: numbers 3 gates H 1 updates (B, 4 H) i|f|g|o, over xp
//: numbers 4 c_before H 1 reads (B, H)
//: numbers 5 c H 1 writes (B, H)
//: numbers 6 y H 1 writes (B, H)
@group(0) @binding(7) var<storage, read_write> lengths: array<u32>;     // (B)

// What the sums of a unit's gates start from.
fn biases(unit: u32) -> vec4<f32> {
    if (p.flags & BIAS) == 0u { return vec4<f32>(0.0); }
    let u = p.bias + unit;
    return vec4<f32>(get_bias(u), get_bias(u + p.n), get_bias(u + 2u * p.n), get_bias(u + 3u * p.n));
}

fn cell(row: u32, unit: u32, sum: vec4<f32>) {
    let at = row * p.n + unit;
    let gate = p.gates + row * 4u * p.n + unit;
    let before = get_c_before(p.before + at);
    var g = vec4<f32>(0.0, 1.0, 0.0, 0.0);
    var now = before;
    var h = 0.0;
    if (p.flags & LENGTHS) != 0u && p.t >= lengths[p.lengths + row] {
        h = h_before(row, unit);
    } else {
        let xp = vec4<f32>(
            get_gates(gate),
            get_gates(gate + p.n),
            get_gates(gate + 2u * p.n),
            get_gates(gate + 3u * p.n),
        );
        let v = xp + sum;
        g = vec4<f32>(logistic(v.x), logistic(v.y), tangent(v.z), logistic(v.w));
        now = fma(g.y, before, g.x * g.z);
        h = g.w * tangent(now);
    }
    put_gates(gate, g.x);
    put_gates(gate + p.n, g.y);
    put_gates(gate + 2u * p.n, g.z);
    put_gates(gate + 3u * p.n, g.w);
    put_c(p.c + at, now);
    put_y(p.y + at, h);
}
