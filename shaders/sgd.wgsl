// w -= lr * (factor * g + wd * w), four numbers a thread

struct Params { len: u32, weight_decay: f32 } // len in vec4
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>; // (len)
@group(0) @binding(1) var<storage, read_write> g: array<vec4<f32>>; // (len)
@group(0) @binding(2) var<storage, read_write> scalars: array<f32>; // lr, then three unused
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;    // norm, clip factor

@compute @workgroup_size(256)
fn sgd(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * n.x + group.x) * 256u + lane;
    if i >= p.len { return; }
    let wi = w[i];
    w[i] = wi - scalars[0] * (g[i] * norm[1] + p.weight_decay * wi);
}
