// d = g + wd * w, buffer = momentum * buffer + (1 - dampening) * d, then w -= lr * buffer, or, looking
// ahead (Nesterov), w -= lr * (d + momentum * buffer); four numbers a thread

struct Params {
    len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32, stream: u32,
    dampening: f32, nesterov: u32,
}
//: include optimizer
//: numbers 4+T/4 momenta T 4 updates (skip + len)

@compute @workgroup_size(256)
fn sgd_momentum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = place(group, n, lane);
    let factor = norm[1];
    let of_step = scalars[0];
    let momentum = of_step.w;
    let first_step = scalars[1].x != 0.0;
    let rate = of_step.x * p.rate_factor;
    if i >= p.skip + p.len || factor < 0.0 { return; }
    let wi = get_w(4u * i);
    let d = clipped(i, factor) + p.weight_decay * wi;
    let buffer = momentum * get_momenta(4u * i + 2u * p.stream) + select(1.0 - p.dampening, 1.0, first_step) * d;
    put_momenta(4u * i, buffer);
    put_w(4u * i, wi - rate * select(buffer, d + momentum * buffer, p.nesterov != 0u));
}
