// right[r] = 1 where the first greatest of logits[r] is at targets[r], a thread a row; of bits, how many
// of logits[r] are above 0 just where targets[r] is 1. A target that is no column, or NaN, is no hit.

struct Params { rows: u32, cols: u32, bits: u32 }
var<immediate> p: Params;

//: numbers 0 logits H 1 reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> targets: array<u32>;   // (rows), or f32 (rows, cols)
@group(0) @binding(2) var<storage, read_write> right: array<f32>;     // (rows)

@compute @workgroup_size(64)
fn hits(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let r = (w.y * n.x + w.x) * 64u + lane;
    if r >= p.rows { return; }
    let first = r * p.cols;
    var count = 0.0;
    if p.bits != 0u {
        for (var c = 0u; c < p.cols; c++) {
            let word = targets[first + c];
            // A NaN is told by its bits: a comparison need not know of it.
            let there = (word & 0x7fffffffu) <= 0x7f800000u;
            let hit = (get_logits(first + c) > 0.0) == (bitcast<f32>(word) > 0.5);
            if there && hit { count += 1.0; }
        }
    } else {
        var best = 0u;
        for (var c = 1u; c < p.cols; c++) {
            if get_logits(first + c) > get_logits(first + best) { best = c; }
        }
        if best == targets[r] { count = 1.0; }
    }
    right[r] = count;
}
