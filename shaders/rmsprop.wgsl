// d = g + wd * w, v = alpha * v + (1 - alpha) * d^2, step = d / (sqrt(v) + eps), w -= lr * step
// centred: mean = alpha * mean + (1 - alpha) * d, and v - mean^2 instead of v under the root
// with momentum: buffer = momentum * buffer + step, w -= lr * buffer; four numbers a thread

struct Params {
    len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32,
    alpha: f32, eps: f32, centered: u32, momentum: u32,
}
//: include optimizer
@group(0) @binding(4) var<storage, read_write> v: array<vec4<f32>>;       // (skip + len)
@group(0) @binding(5) var<storage, read_write> mean: array<vec4<f32>>;    // (skip + len) if centered
@group(0) @binding(6) var<storage, read_write> momenta: array<vec4<f32>>; // (skip + len) if momentum

@compute @workgroup_size(256)
fn rmsprop(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = place(group, n, lane);
    let factor = norm[1];
    let of_step = scalars[0];
    let rate = of_step.x * p.rate_factor;
    if i >= p.skip + p.len || factor < 0.0 { return; }
    let wi = w[i];
    let d = clipped(i, factor) + p.weight_decay * wi;
    let vi = p.alpha * v[i] + (1.0 - p.alpha) * d * d;
    v[i] = vi;
    var variance = vi;
    if p.centered != 0u {
        let mi = p.alpha * mean[i] + (1.0 - p.alpha) * d;
        mean[i] = mi;
        variance -= mi * mi;
    }
    var step = d / (sqrt(variance) + p.eps);
    if p.momentum != 0u {
        step += of_step.w * momenta[i];
        momenta[i] = step;
    }
    w[i] = wi - rate * step;
}
