// d = g + wd * w, squares += d^2, w -= lr * d / (sqrt(squares) + eps), four numbers a thread

struct Params {
    len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32, stream: u32,
    eps: f32,
}
//: include optimizer
//: numbers 4+T/4 squares T 4 updates (skip + len)

@compute @workgroup_size(256)
fn adagrad(
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
    let sum = get_squares(4u * i + 2u * p.stream) + d * d;
    put_squares(4u * i, sum);
    put_w(4u * i, wi - rate * d / (sqrt(sum) + p.eps));
}
