// dx[clamp(lengths[b], 1, time) - 1, b, f] = dy[b, f], and 0 elsewhere, elements as they are stored

struct Params { len: u32, time: u32, rows: u32, cols: u32 } // len: elements of dx
var<immediate> p: Params;

//: numbers 0 dy H 1 reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> lengths: array<u32>; // (rows)
//: numbers 2 dx H 1 writes (time, rows, cols)

@compute @workgroup_size(256)
fn row_ends_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let of_step = p.rows * p.cols;
    let at = i % of_step;
    if i / of_step == clamp(lengths[at / p.cols], 1u, p.time) - 1u {
        put_dx(i, get_dy(at));
    } else {
        put_dx(i, 0);
    }
}
