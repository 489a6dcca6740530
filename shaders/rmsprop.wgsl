// d = g + wd * w, v = alpha * v + (1 - alpha) * d^2, step = d / (sqrt(v) + eps), w -= lr * step
// C is 1, centred: mean = alpha * mean + (1 - alpha) * d, and v - mean^2 instead of v under the root
// M is 1, with momentum: buffer = momentum * buffer + step, w -= lr * buffer; four numbers a thread

struct Params {
    len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32, stream: u32,
    alpha: f32, eps: f32,
}
//: include optimizer
//: numbers 4+T/4 v T 4 updates (skip + len)
//: if C == 1
//: numbers 5+T/2 mean T 4 updates (skip + len)
//: end
//: if M == 1
//: numbers 5+C+(2+C)*T/4 momenta T 4 updates (skip + len)
//: end

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
    let wi = get_w(4u * i);
    let d = clipped(i, factor) + p.weight_decay * wi;
    let vi = p.alpha * get_v(4u * i + 2u * p.stream) + (1.0 - p.alpha) * d * d;
    put_v(4u * i, vi);
    var variance = vi;
//: if C == 1
    let mi = p.alpha * get_mean(4u * i + 3u * p.stream) + (1.0 - p.alpha) * d;
    put_mean(4u * i, mi);
    variance -= mi * mi;
//: end
    var step = d / (sqrt(variance) + p.eps);
//: if M == 1
    step += of_step.w * get_momenta(4u * i + {3 + C}u * p.stream);
    put_momenta(4u * i, step);
//: end
    put_w(4u * i, wi - rate * step);
}
