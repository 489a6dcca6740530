// y[s, d] = w[ids[s], d], or 0 where ids[s] is no row of w

struct Params { len: u32, rows: u32, cols: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> w: array<Stored>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;  // (len / cols)
@group(0) @binding(2) var<storage, read_write> y: array<Stored>; // (len / cols, cols)

@compute @workgroup_size(256)
fn embedding(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * n.x + group.x) * 256u + lane;
    if i >= p.len { return; }
    let id = ids[i / p.cols];
    if id < p.rows {
        y[i] = w[id * p.cols + i % p.cols];
    } else {
        y[i] = store(0.0);
    }
}
