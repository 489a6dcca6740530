// y[i] = f(x[i])

struct Params { len: u32, function: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<Stored>; // (len)
@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // (len)

@compute @workgroup_size(256)
fn activation(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    y[i] = store(activate(p.function, load(x[i])));
}
