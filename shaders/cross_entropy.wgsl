// z = ln sum_c e^logits[r, c], a = (1 - smoothing) * weights[targets[r]], b = smoothing / cols
// losses[r] = scale * (a * (z - logits[r, targets[r]]) + b * sum_c weights[c] * (z - logits[r, c])), a thread a row
// dlogits[r, c] = scale * ((a + b * sum weights) * softmax(logits[r])[c] - a * (c == targets[r]) - b * weights[c])
// Both are 0 where targets[r] is no column.

struct Params { rows: u32, cols: u32, gradient: u32, weighted: u32, seeded: u32, smoothing: f32 }
var<immediate> p: Params;

//: numbers 0 logits H 1 reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> targets: array<u32>;    // (rows)
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;      // (1)
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;    // (cols) if weighted
//: numbers 4 dlogits H 1 writes (rows, cols) if gradient
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;     // (rows)
@group(0) @binding(6) var<storage, read_write> seed: array<f32>;       // (1) if seeded, a factor of dlogits

fn weight(c: u32) -> f32 {
    if p.weighted == 0u { return 1.0; }
    return weights[c];
}

@compute @workgroup_size(64)
fn cross_entropy(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = (w.y * n.x + w.x) * 64u + lane;
    if r >= p.rows { return; }
    let first = r * p.cols;
    let hit = targets[r];
    if hit >= p.cols {
        losses[r] = 0.0;
        if p.gradient != 0u {
            for (var c = 0u; c < p.cols; c++) { put_dlogits(first + c, 0.0); }
        }
        return;
    }
    // The greatest logit so far, and the sum of e^(logit - greatest) so far.
    var greatest = -3.0e38;
    var sum = 0.0;
    for (var c = 0u; c < p.cols; c++) {
        let x = get_logits(first + c);
        let higher = max(greatest, x);
        sum = sum * exp(greatest - higher) + exp(x - higher);
        greatest = higher;
    }
    let a = (1.0 - p.smoothing) * weight(hit);
    let b = p.smoothing / f32(p.cols);
    let log_sum = log(sum);
    var loss = a * (log_sum + (greatest - get_logits(first + hit)));
    var mass = a;
    if p.smoothing > 0.0 {
        var spread = 0.0;
        var total = 0.0;
        for (var c = 0u; c < p.cols; c++) {
            spread += weight(c) * (log_sum + (greatest - get_logits(first + c)));
            total += weight(c);
        }
        loss += b * spread;
        mass += b * total;
    }
    let s = scale[0];
    losses[r] = s * loss;
    if p.gradient == 0u { return; }
    var slope = s;
    if p.seeded != 0u { slope *= seed[0]; }
    let part = slope * mass / sum;
    for (var c = 0u; c < p.cols; c++) {
        let share = part * exp(get_logits(first + c) - greatest);
        put_dlogits(first + c, share - slope * (select(0.0, a, c == hit) + b * weight(c)));
    }
}
