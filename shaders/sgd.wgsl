// w -= lr * (g + wd * w), four numbers a thread

struct Params { len: u32, skip: u32, rate_factor: f32, weight_decay: f32, clip_value: f32, stream: u32 }
//: include optimizer

@compute @workgroup_size(256)
fn sgd(
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
    put_w(4u * i, wi - rate * (clipped(i, factor) + p.weight_decay * wi));
}
