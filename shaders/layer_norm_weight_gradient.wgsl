// dw[c] = (dw[c] +) the sum of dy[r, c] * (x[r, c] - mean[r]) * rstd[r] over r, ascending, a thread a column

struct Params { rows: u32, cols: u32, accumulate: u32 }
var<immediate> p: Params;

//: numbers 0 x H 1 reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> stats: array<f32>; // (rows, 2): mean - x[r, 0], rstd
//: numbers 2 dy H 1 reads (rows, cols)
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;    // (cols)

// Small workgroups, as columns are few and each is long.
@compute @workgroup_size(64)
fn layer_norm_weight_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = (w.y * n.x + w.x) * 64u + lane;
    if c >= p.cols { return; }
    var sum = 0.0;
    for (var r = 0u; r < p.rows; r++) {
        let first = r * p.cols;
        let xhat = (get_x(first + c) - get_x(first) - stats[2u * r]) * stats[2u * r + 1u];
        sum += get_dy(first + c) * xhat;
    }
    if p.accumulate != 0u { sum = dw[c] + sum; }
    dw[c] = sum;
}
