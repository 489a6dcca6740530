// dw[g, j] = (dw[g, j] +) the sum over t and b of dgates[t, b, g] * f[t, b, j], four rows a thread, where f
// is the state before the step for g < 2H, and r times it for the rest

struct Params { time: u32, batch: u32, hidden: u32, flags: u32 } // flags: 1 accumulate, 2 reverse
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> dgates: array<f32>; // (T, B, 3H)
@group(0) @binding(1) var<storage, read_write> rh: array<f32>;     // (T, B, H)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;      // (T, B, H)
@group(0) @binding(3) var<storage, read_write> state0: array<f32>; // (B, H)
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;     // (3H, H)

@compute @workgroup_size(64)
fn gru_reset_before_weight_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 64u + lane;
    let quads = (p.hidden + 3u) / 4u;
    let j = i % p.hidden;
    let gate = i / p.hidden / quads;
    if gate >= 3u { return; }
    let unit = i / p.hidden % quads * 4u;
    let rows = min(vec4<u32>(unit) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.hidden - 1u)) + vec4<u32>(gate * p.hidden);
    let size = p.batch * p.hidden;
    var sum = vec4<f32>(0.0);
    for (var t = 0u; t < p.time; t++) {
        let reverse = (p.flags & 2u) != 0u;
        let starts = select(t == 0u, t + 1u == p.time, reverse);
        let before = select(t - 1u, t + 1u, reverse) * size;
        for (var b = 0u; b < p.batch; b++) {
            let own = b * p.hidden + j;
            var f = 0.0;
            if gate == 2u {
                f = rh[t * size + own];
            } else if starts {
                f = state0[own];
            } else {
                f = y[before + own];
            }
            let at = vec4<u32>((t * p.batch + b) * 3u * p.hidden) + rows;
            sum += f * vec4<f32>(dgates[at.x], dgates[at.y], dgates[at.z], dgates[at.w]);
        }
    }
    for (var q = 0u; q < min(4u, p.hidden - unit); q++) {
        let to = rows[q] * p.hidden + j;
        if (p.flags & 1u) != 0u { sum[q] = dw[to] + sum[q]; }
        dw[to] = sum[q];
    }
}
