// dx[i] = dy[i] * f'(x[i]), the slope told from y[i] = f(x[i]), f being number F

// stream: where HX is 4, elements from y to dy in the texture
struct Params { len: u32, stream: u32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 y HX V reads (len)
//: numbers 1 dy HX V reads (len)
//: numbers 2 dx H V writes (len)

@compute @workgroup_size(256)
fn activation_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((w.y * n.x + w.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    put_dx(i, get_dy(i + p.stream) * slopes({F}u, get_y(i)));
}
