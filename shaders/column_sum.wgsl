// y[c] = (y[c] +) the sum of x[r, c] over r, ascending, a thread a column

// stride: elements from one row to the next; y_from: elements bound in front of y
struct Params { rows: u32, cols: u32, stride: u32, accumulate: u32, y_from: u32 }
var<immediate> p: Params;

//: numbers 0 x H 1 reads (rows, cols), rows `stride` apart
@group(0) @binding(1) var<storage, read_write> y: array<f32>;    // (y_from + cols)

// Small workgroups, as columns are few and each is long.
@compute @workgroup_size(64)
fn column_sum(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = (w.y * n.x + w.x) * 64u + lane;
    if c >= p.cols { return; }
    var sum = 0.0;
    for (var r = 0u; r < p.rows; r++) { sum += get_x(r * p.stride + c); }
    if p.accumulate != 0u { sum = y[p.y_from + c] + sum; }
    y[p.y_from + c] = sum;
}
