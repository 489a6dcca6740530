// y[skip + i] = y[skip + i] + x[i]

struct Params { len: u32, skip: u32 } // skip: elements bound in front of y
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<Stored>; // (len)
@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // (skip + len)

@compute @workgroup_size(256)
fn add_into(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    y[p.skip + i] = store(load(y[p.skip + i]) + load(x[i]));
}
