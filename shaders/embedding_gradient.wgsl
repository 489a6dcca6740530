// dw[id, d] = (dw[id, d] +) the sum of dy[s, d] over the places s of id, ascending

struct Params { len: u32, cols: u32, accumulate: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> dy: array<Stored>;    // (places, cols)
@group(0) @binding(1) var<storage, read_write> order: array<u32>;    // (places), sorted by id
@group(0) @binding(2) var<storage, read_write> segments: array<u32>; // (ids + 1), where each id begins
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;       // (ids, cols)

@compute @workgroup_size(256)
fn embedding_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let id = i / p.cols;
    let c = i % p.cols;
    let end = segments[id + 1u];
    var sum = 0.0;
    for (var k = segments[id]; k < end; k++) { sum += load(dy[order[k] * p.cols + c]); }
    if p.accumulate != 0u { sum = dw[i] + sum; }
    dw[i] = sum;
}
