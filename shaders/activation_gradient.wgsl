// dx[i] = dy[i] * f'(x[i]), the slope told from y[i] = f(x[i])

struct Params { len: u32, function: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> y: array<Stored>;  // (len)
@group(0) @binding(1) var<storage, read_write> dy: array<Stored>; // (len)
@group(0) @binding(2) var<storage, read_write> dx: array<Stored>; // (len)

@compute @workgroup_size(256)
fn activation_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    dx[i] = store(load(dy[i]) * slope(p.function, load(y[i])));
}
