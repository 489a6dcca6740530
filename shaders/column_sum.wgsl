// y[c] = (y[c] +) the sum of x[r, c] over r
//
// G is 1: in ascending order. A workgroup of W threads walks down W * Q * V neighbouring columns, each thread Q times V
// of them: long enough a stretch of each row for a processor to foresee what it reads.
//
// G is more, for graphics processors: G threads share the rows of V columns, each every G-th of them, W / G such
// columns side by side, and what they come to is added up by halves.

// stride: elements from one row to the next; y_from: elements bound in front of y
struct Params { rows: u32, cols: u32, stride: u32, accumulate: u32, y_from: u32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 x H V reads (rows, cols), rows `stride` apart
//: numbers 1 y 0 V updates (y_from + cols)

fn finish(c: u32, sum: Num) {
    if c >= p.cols { return; }
    var total = sum;
    if p.accumulate != 0u { total = get_y(p.y_from + c) + sum; }
    put_y(p.y_from + c, total);
}

//: if G == 1
@compute @workgroup_size({W})
fn column_sum(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = ((w.y * n.x + w.x) * {W * Q}u + lane) * {V}u;
//: for j in 0..Q
    // Past the last column is that column again, of which nothing is kept.
    let c{j} = min(first + {j * W * V}u, p.cols - {V}u);
    var sum{j} = Num(0.0);
//: end
    for (var r = 0u; r < p.rows; r++) {
//: for j in 0..Q
        sum{j} += get_x(r * p.stride + c{j});
//: end
    }
//: for j in 0..Q
    finish(first + {j * W * V}u, sum{j});
//: end
}
//: else
//: if V == 4
var<workgroup> parts: array<vec4<f32>, {W}>;
//: else
var<workgroup> parts: array<f32, {W}>;
//: end

@compute @workgroup_size({W})
fn column_sum(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = lane / {W / G}u;
    let first = ((w.y * n.x + w.x) * {W / G}u + lane % {W / G}u) * {V}u;
    // Past the last column is that column again, of which nothing is kept.
    let c = min(first, p.cols - {V}u);
    // Four at a time are on their way.
//: for q in 0..4
    var sum{q} = Num(0.0);
//: end
    var r = part;
    for (; r + {3 * G}u < p.rows; r += {4 * G}u) {
//: for q in 0..4
        sum{q} += get_x((r + {q * G}u) * p.stride + c);
//: end
    }
    for (; r < p.rows; r += {G}u) { sum0 += get_x(r * p.stride + c); }
    parts[lane] = (sum0 + sum1) + (sum2 + sum3);
    workgroupBarrier();
    for (var reach = {G / 2}u; reach > 0u; reach /= 2u) {
        if part < reach { parts[lane] += parts[lane + reach * {W / G}u]; }
        workgroupBarrier();
    }
    if part == 0u { finish(first, parts[lane]); }
}
//: end
