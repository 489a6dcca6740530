// dx[r, c] = rstd[r] * (g[r, c] - mean of g[r] - xhat[r, c] * mean of (g[r] * xhat[r])), a workgroup a
// row, where g = dy * weight and xhat = (x - mean) * rstd

struct Params { rows: u32, cols: u32, flags: u32 } // flags: 1 there is a weight
var<immediate> p: Params;

//: numbers 0 x H 1 reads (rows, cols)
@group(0) @binding(1) var<storage, read_write> stats: array<f32>;     // (rows, 2): mean - x[r, 0], rstd
//: numbers 2 dy H 1 reads (rows, cols)
@group(0) @binding(3) var<storage, read_write> weight: array<f32>; // (cols) if there is one
//: numbers 4 dx H 1 writes (rows, cols)

// total(lane, part) is the sum of all threads' parts, for all of them.
//: include total

fn weighted(c: u32, dy: f32) -> f32 {
    if (p.flags & 1u) != 0u { return dy * weight[c]; }
    return dy;
}

@compute @workgroup_size(64)
fn layer_norm_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // A workgroup past the end does the last row's sums again, so that all meet at the barriers, and
    // writes nothing.
    let row = w.y * n.x + w.x;
    let bound = min(row, p.rows - 1u);
    let first = bound * p.cols;
    // Only its own thread reads the first element, which dx may lie on.
    var own = 0.0;
    if lane == 0u { own = get_x(first); }
    let origin = total(lane, own);
    let mean = stats[2u * bound];
    let rstd = stats[2u * bound + 1u];
    var sum = 0.0;
    var along = 0.0;
    for (var c = lane; c < p.cols; c += 64u) {
        let g = weighted(c, get_dy(first + c));
        sum += g;
        along += g * ((get_x(first + c) - origin - mean) * rstd);
    }
    let cols = f32(p.cols);
    let mean_g = total(lane, sum) / cols;
    let mean_along = total(lane, along) / cols;
    if row >= p.rows { return; }
    for (var c = lane; c < p.cols; c += 64u) {
        let g = weighted(c, get_dy(first + c));
        let xhat = (get_x(first + c) - origin - mean) * rstd;
        put_dx(first + c, rstd * (g - mean_g - xhat * mean_along));
    }
}
