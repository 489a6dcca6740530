// squares[i] = scale * (y[i] - t[i])^2, dy[i] = 2 * scale * (y[i] - t[i])

struct Params { len: u32, gradient: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> y: array<Stored>;    // (len)
@group(0) @binding(1) var<storage, read_write> t: array<Stored>;    // (len)
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;   // (1)
@group(0) @binding(3) var<storage, read_write> dy: array<Stored>;   // (len) if gradient
@group(0) @binding(4) var<storage, read_write> squares: array<f32>; // (len)

@compute @workgroup_size(256)
fn mse(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let off = load(y[i]) - load(t[i]);
    let scaled = scale[0] * off;
    squares[i] = scaled * off;
    if p.gradient != 0u { dy[i] = store(2.0 * scaled); }
}
