// y[i] = scale * x[0]

struct Params { len: u32, scale: f32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<f32>;    // (1)
//: numbers 1 y H 1 writes (len)

@compute @workgroup_size(256)
fn spread(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    put_y(i, p.scale * x[0]);
}
