// dx[i] = dy[i] * f'(x[i]), the slope of f, number F, told from x[i]

struct Params { len: u32, a: f32, b: f32 } // a, b: what the function is given besides
var<immediate> p: Params;

// curves(f, a, b, x) is the function, curve_slopes its derivative.
//: include numbers
//: include curves

//: numbers 0 x H V reads (len)
//: numbers 1 dy H V reads (len)
//: numbers 2 dx H V writes (len)

@compute @workgroup_size(256)
fn pointwise_gradient(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((w.y * n.x + w.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    put_dx(i, get_dy(i) * curve_slopes({F}u, p.a, p.b, get_x(i)));
}
