// dw[id, d] = (dw[id, d] +) the sum of dy[s, d] over the places s of id, ascending

struct Params { len: u32, cols: u32, accumulate: u32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 dy H V reads (places, cols)
@group(0) @binding(1) var<storage, read_write> order: array<u32>;    // (places), sorted by id
@group(0) @binding(2) var<storage, read_write> segments: array<u32>; // (ids + 1), where each id begins
//: numbers 3 dw 0 V updates (ids, cols)

@compute @workgroup_size(256)
fn embedding_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((w.y * n.x + w.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    let id = i / p.cols;
    let c = i % p.cols;
    // Whatever is handed in as order and segments, no place is past the last.
    let places = arrayLength(&order);
    let end = min(segments[id + 1u], places);
    var sum = Num(0.0);
    for (var k = segments[id]; k < end; k++) { sum += get_dy(min(order[k], places - 1u) * p.cols + c); }
    if p.accumulate != 0u { sum = get_dw(i) + sum; }
    put_dw(i, sum);
}
