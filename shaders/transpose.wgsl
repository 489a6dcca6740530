// y[o, j, m, i, e] = x[o, i, m, j, e], elements as they are stored

struct Params { len: u32, a: u32, mid: u32, b: u32, inner: u32 }
var<immediate> p: Params;

//: numbers 0 x H 1 reads (outer, a, mid, b, inner)
//: numbers 1 y H 1 writes (outer, b, mid, a, inner)

// A thread an element of y, so that what is written lies side by side.
@compute @workgroup_size(256)
fn transpose(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (w.y * n.x + w.x) * 256u + lane;
    if at >= p.len { return; }
    let e = at % p.inner;
    let i = at / p.inner % p.a;
    let m = at / (p.inner * p.a) % p.mid;
    let j = at / (p.inner * p.a * p.mid) % p.b;
    let o = at / (p.inner * p.a * p.mid * p.b);
    put_y(at, get_x((((o * p.a + i) * p.mid + m) * p.b + j) * p.inner + e));
}
