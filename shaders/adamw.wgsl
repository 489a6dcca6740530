// w -= lr * wd * w, then w -= lr * c1 * m / (sqrt(c2 * v) + eps), four numbers a thread

struct Params { len: u32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32 } // len in vec4
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>; // (len)
@group(0) @binding(1) var<storage, read_write> g: array<vec4<f32>>; // (len)
@group(0) @binding(2) var<storage, read_write> m: array<vec4<f32>>; // (len)
@group(0) @binding(3) var<storage, read_write> v: array<vec4<f32>>; // (len)
@group(0) @binding(4) var<storage, read_write> scalars: array<f32>; // lr, c1, c2, 0
@group(0) @binding(5) var<storage, read_write> norm: array<f32>;    // norm, clip factor

@compute @workgroup_size(256)
fn adamw(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * n.x + group.x) * 256u + lane;
    if i >= p.len { return; }
    let lr = scalars[0];
    let gi = g[i] * norm[1];
    let mi = p.beta1 * m[i] + (1.0 - p.beta1) * gi;
    let vi = p.beta2 * v[i] + (1.0 - p.beta2) * gi * gi;
    let decayed = w[i] * (1.0 - lr * p.weight_decay);
    m[i] = mi;
    v[i] = vi;
    w[i] = decayed - lr * scalars[1] * mi / (sqrt(vi * scalars[2]) + p.eps);
}
