// y[r, start + c] = x[r, c], and 0 elsewhere, elements as they are stored

struct Params { len: u32, cols: u32, y_cols: u32, start: u32 } // len: elements of y; cols: of a row of x
var<immediate> p: Params;

//: numbers 0 x H 1 reads (len / y_cols, cols)
//: numbers 1 y H 1 writes (len / y_cols, y_cols)

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
    if c >= p.start && c < p.start + p.cols {
        put_y(i, get_x(r * p.cols + c - p.start));
    } else {
        put_y(i, 0);
    }
}
