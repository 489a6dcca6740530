// losses[r] = scale * (ln sum_c e^logits[r, c] - logits[r, targets[r]]), a thread a row
// dlogits[r, c] = scale * (softmax(logits[r])[c] - (c == targets[r]))
// Both are 0 where targets[r] is no column.

struct Params { rows: u32, cols: u32, gradient: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> logits: array<Stored>;  // (rows, cols)
@group(0) @binding(1) var<storage, read_write> targets: array<u32>;    // (rows)
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;      // (1)
@group(0) @binding(3) var<storage, read_write> dlogits: array<Stored>; // (rows, cols) if gradient
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;     // (rows)

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
            for (var c = 0u; c < p.cols; c++) { dlogits[first + c] = store(0.0); }
        }
        return;
    }
    // The greatest logit so far, and the sum of e^(logit - greatest) so far.
    var greatest = -3.0e38;
    var sum = 0.0;
    for (var c = 0u; c < p.cols; c++) {
        let x = load(logits[first + c]);
        let higher = max(greatest, x);
        sum = sum * exp(greatest - higher) + exp(x - higher);
        greatest = higher;
    }
    let s = scale[0];
    losses[r] = s * (log(sum) + (greatest - load(logits[first + hit])));
    if p.gradient == 0u { return; }
    let weight = s / sum;
    for (var c = 0u; c < p.cols; c++) {
        let share = weight * exp(load(logits[first + c]) - greatest);
        dlogits[first + c] = store(share - select(0.0, s, c == hit));
    }
}
