// d = g + wd * w, squares += d^2, w -= lr * d / (sqrt(squares) + eps), four numbers a thread

struct Params {
    len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32,
    eps: f32,
}
//: include optimizer
@group(0) @binding(4) var<storage, read_write> squares: array<vec4<f32>>; // (skip + len)

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
    let wi = w[i];
    let d = clipped(i, factor) + p.weight_decay * wi;
    let sum = squares[i] + d * d;
    squares[i] = sum;
    w[i] = wi - rate * d / (sqrt(sum) + p.eps);
}
