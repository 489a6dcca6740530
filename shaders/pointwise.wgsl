// y[i] = f(x[i]), where the slope of f is told from x

struct Params { len: u32, function: u32, a: f32, b: f32 } // a, b: what the function is given besides
var<immediate> p: Params;

// curve(f, a, b, x) is the function, curve_slope its derivative.
//: include curves

@group(0) @binding(0) var<storage, read_write> x: array<Stored>; // (len)
@group(0) @binding(1) var<storage, read_write> y: array<Stored>; // (len)

@compute @workgroup_size(256)
fn pointwise(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    y[i] = store(curve(p.function, p.a, p.b, load(x[i])));
}
