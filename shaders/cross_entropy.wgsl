// z = ln sum_c e^logits[r, c], a = (1 - smoothing) * weights[targets[r]], b = smoothing / cols
// losses[r] = scale * (a * (z - logits[r, targets[r]]) + b * sum_c weights[c] * (z - logits[r, c])), a thread a row
// dlogits[r, c] = scale * ((a + b * sum weights) * softmax(logits[r])[c] - a * (c == targets[r]) - b * weights[c])
// Both are 0 where targets[r] is no column.

// W: whether columns have weights.
struct Params { rows: u32, cols: u32, gradient: u32, seeded: u32, smoothing: f32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 logits H V reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> targets: array<u32>;    // (rows)
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;      // (1)
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;    // (cols) if W is 1
//: numbers 4 dlogits H V writes (rows, cols) if gradient
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;     // (rows)
@group(0) @binding(6) var<storage, read_write> seed: array<f32>;       // (1) if seeded, a factor of dlogits

//: if W == 1
fn weight(c: u32) -> f32 { return weights[c]; }
//: else
fn weight(c: u32) -> f32 { return 1.0; }
//: end
// As many logits as one access reads: their greatest, their sum, that at index i, the weights of their
// columns, and a in the column `hit`, 0 elsewhere.
//: if V == 4
fn most(x: Num) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }
fn total(x: Num) -> f32 { return (x.x + x.y) + (x.z + x.w); }
fn logit(i: u32) -> f32 { return get_logits(i / 4u * 4u)[i % 4u]; }
fn weights_from(c: u32) -> Num { return Num(weight(c), weight(c + 1u), weight(c + 2u), weight(c + 3u)); }
fn at_hit(c: u32, hit: u32, a: f32) -> Num {
    return select(Num(0.0), Num(a), vec4<u32>(c) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(hit));
}
//: else
fn most(x: Num) -> f32 { return x; }
fn total(x: Num) -> f32 { return x; }
fn logit(i: u32) -> f32 { return get_logits(i); }
fn weights_from(c: u32) -> Num { return weight(c); }
fn at_hit(c: u32, hit: u32, a: f32) -> Num { return select(0.0, a, c == hit); }
//: end

@compute @workgroup_size(64)
fn cross_entropy(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = (w.y * n.x + w.x) * 64u + lane;
    // What all read alike is read before anything branches; see `optimizer`.
    let s = scale[0];
    let slope = select(s, s * seed[0], p.seeded != 0u);
    if r >= p.rows { return; }
    let first = r * p.cols;
    let hit = targets[r];
    if hit >= p.cols {
        losses[r] = 0.0;
        if p.gradient != 0u {
            for (var c = 0u; c < p.cols; c += {V}u) { put_dlogits(first + c, Num(0.0)); }
        }
        return;
    }
    // The greatest logit so far, and the sum of e^(logit - greatest) so far.
    var greatest = -3.0e38;
    var sum = 0.0;
    for (var c = 0u; c < p.cols; c += {V}u) {
        let x = get_logits(first + c);
        let higher = max(greatest, most(x));
        sum = sum * exp(greatest - higher) + total(exp(x - higher));
        greatest = higher;
    }
    let a = (1.0 - p.smoothing) * weight(hit);
    let b = p.smoothing / f32(p.cols);
    let log_sum = log(sum);
    var loss = a * (log_sum + (greatest - logit(first + hit)));
    var mass = a;
    if p.smoothing > 0.0 {
        var spread = 0.0;
        var weight_sum = 0.0;
        for (var c = 0u; c < p.cols; c += {V}u) {
            let of_columns = weights_from(c);
            spread += total(of_columns * (log_sum + (greatest - get_logits(first + c))));
            weight_sum += total(of_columns);
        }
        loss += b * spread;
        mass += b * weight_sum;
    }
    losses[r] = s * loss;
    if p.gradient == 0u { return; }
    let part = slope * mass / sum;
    for (var c = 0u; c < p.cols; c += {V}u) {
        let share = part * exp(get_logits(first + c) - greatest);
        put_dlogits(first + c, share - slope * (at_hit(c, hit, a) + b * weights_from(c)));
    }
}
