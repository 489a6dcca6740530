// y[r, c] = (x[r, c] - mean[r]) * rstd[r] * weight[c] + bias[c], a workgroup a row

struct Params { rows: u32, cols: u32, flags: u32, eps: f32 } // flags: 1 there is a weight, 2 a bias
var<immediate> p: Params;

//: numbers 0 x H 1 reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> weight: array<f32>; // (cols) if there is one
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;   // (cols) if there is one
//: numbers 3 y H 1 writes (rows, cols)
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;     // (rows, 2): mean - x[r, 0], rstd

// total(lane, part) is the sum of all threads' parts, for all of them.
//: include total

@compute @workgroup_size(64)
fn layer_norm(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // A workgroup past the end does the last row's sums again, so that all meet at the barriers, and
    // writes nothing.
    let row = w.y * n.x + w.x;
    let first = min(row, p.rows - 1u) * p.cols;
    // Less the row's first element, so that a large mean takes no digits from what differs. Only its
    // own thread reads that element, which y may lie on.
    var own = 0.0;
    if lane == 0u { own = get_x(first); }
    let origin = total(lane, own);
    let cols = f32(p.cols);
    var sum = 0.0;
    for (var c = lane; c < p.cols; c += 64u) { sum += get_x(first + c) - origin; }
    let mean = total(lane, sum) / cols;
    var squares = 0.0;
    for (var c = lane; c < p.cols; c += 64u) {
        let d = get_x(first + c) - origin - mean;
        squares += d * d;
    }
    let rstd = 1.0 / sqrt(total(lane, squares) / cols + p.eps);
    if row >= p.rows { return; }
    for (var c = lane; c < p.cols; c += 64u) {
        var v = (get_x(first + c) - origin - mean) * rstd;
        if (p.flags & 1u) != 0u { v *= weight[c]; }
        if (p.flags & 2u) != 0u { v += bias[c]; }
        put_y(first + c, v);
    }
    if lane == 0u {
        stats[2u * row] = mean;
        stats[2u * row + 1u] = rstd;
    }
}
