// y[i] = x[i], stored otherwise

struct Params { len: u32 }
var<immediate> p: Params;

//: numbers 0 x X V reads (len)
//: numbers 1 y H V writes (len)

@compute @workgroup_size(256)
fn cast_numbers(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((w.y * n.x + w.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    put_y(i, get_x(i));
}
