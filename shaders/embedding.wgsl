// y[s, d] = w[ids[s], d], or 0 where ids[s] is no row of w

struct Params { len: u32, rows: u32, cols: u32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 w 0 V reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;  // (len / cols)
//: numbers 2 y H V writes (len / cols, cols)

@compute @workgroup_size(256)
fn embedding(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((group.y * n.x + group.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    let id = ids[i / p.cols];
    if id < p.rows {
        put_y(i, get_w(id * p.cols + i % p.cols));
    } else {
        put_y(i, Num(0.0));
    }
}
