// y[r, y_start + c] = x[r, x_start + c], elements as they are stored

// len: elements to copy, cols of them in each row; the strides are the rows' own lengths
struct Params { len: u32, cols: u32, x_stride: u32, x_start: u32, y_stride: u32, y_start: u32 }
var<immediate> p: Params;

//: numbers 0 x H 1 reads (len / cols, x_stride)
//: numbers 1 y H 1 writes (len / cols, y_stride)

@compute @workgroup_size(256)
fn copy_rows(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let r = i / p.cols;
    let c = i % p.cols;
    put_y(r * p.y_stride + p.y_start + c, get_x(r * p.x_stride + p.x_start + c));
}
