// m' = c1 * m, v' = c2 * v, w -= lr * (m' / (sqrt(v') + eps) + wd * w), four numbers a thread;
// where the decay is coupled, wd * w is added to the gradient instead

struct Params {
    len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32, stream: u32,
    beta2: f32, eps: f32, decoupled: u32,
}
//: include optimizer
//: numbers 4+T/4 m T 4 updates (skip + len)
//: numbers 5+T/2 v T 4 updates (skip + len)

@compute @workgroup_size(256)
fn adam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = place(group, n, lane);
    let factor = norm[1];
    let of_step = scalars[0];
    let rate = of_step.x * p.rate_factor;
    if i >= p.skip + p.len || factor < 0.0 { return; }
    let beta1 = of_step.w;
    let coupled = select(p.weight_decay, 0.0, p.decoupled != 0u);
    let decay = p.weight_decay - coupled;
    let wi = get_w(4u * i);
    let gi = clipped(i, factor) + coupled * wi;
    let mi = beta1 * get_m(4u * i + 2u * p.stream) + (1.0 - beta1) * gi;
    let vi = p.beta2 * get_v(4u * i + 3u * p.stream) + (1.0 - p.beta2) * gi * gi;
    put_m(4u * i, mi);
    put_v(4u * i, vi);
    put_w(4u * i, wi * (1.0 - rate * decay) - rate * of_step.y * mi / (sqrt(vi * of_step.z) + p.eps));
}
