// y[skip + i] = y[skip + i] + x[i]

struct Params { len: u32, skip: u32 } // skip: elements bound in front of y
var<immediate> p: Params;

//: numbers 0 x X 1 reads (len)
//: numbers 1 y H 1 updates (skip + len)

@compute @workgroup_size(256)
fn add_into(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    put_y(p.skip + i, get_y(p.skip + i) + get_x(i));
}
