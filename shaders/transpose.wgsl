// y[o, j, m, i, e] = x[o, i, m, j, e], elements as they are stored

struct Params { len: u32, a: u32, mid: u32, b: u32, inner: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<Bits>; // (outer, a, mid, b, inner)
@group(0) @binding(1) var<storage, read_write> y: array<Bits>; // (outer, b, mid, a, inner)

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
    y[at] = x[(((o * p.a + i) * p.mid + m) * p.b + j) * p.inner + e];
}
