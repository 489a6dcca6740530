// y[b, f] = x[clamp(lengths[b], 1, time) - 1, b, f], elements as they are stored

struct Params { len: u32, time: u32, rows: u32, cols: u32 } // len: elements of y
var<immediate> p: Params;

//: numbers 0 x H 1 reads (time, rows, cols)
@group(0) @binding(1) var<storage, read_write> lengths: array<u32>; // (rows)
//: numbers 2 y H 1 writes (rows, cols)

@compute @workgroup_size(256)
fn row_ends(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let t = clamp(lengths[i / p.cols], 1u, p.time) - 1u;
    put_y(i, get_x(t * p.len + i));
}
