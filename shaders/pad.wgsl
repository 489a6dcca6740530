// y[r, start + c] = x[r, c], and 0 elsewhere, elements as they are stored

struct Params { len: u32, cols: u32, y_cols: u32, start: u32 } // len: elements of y; cols: of a row of x
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<Bits>; // (len / y_cols, cols)
@group(0) @binding(1) var<storage, read_write> y: array<Bits>; // (len / y_cols, y_cols)

@compute @workgroup_size(256)
fn pad(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let r = i / p.y_cols;
    let c = i % p.y_cols;
    var yi = Bits(0);
    if c >= p.start && c < p.start + p.cols { yi = x[r * p.cols + c - p.start]; }
    y[i] = yi;
}
