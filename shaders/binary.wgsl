// y[i] = a[i] + b[j], a[i] - b[j] or a[i] * b[j], where j is i or, with one row for all, its column

struct Params { len: u32, operation: u32, b_len: u32 } // 0 add, 1 subtract, 2 multiply
var<immediate> p: Params;

//: numbers 0 a H V reads (len)
//: numbers 1 b B V reads (b_len)
//: numbers 2 y H V writes (len)

@compute @workgroup_size(256)
fn binary(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((w.y * n.x + w.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    let ai = get_a(i);
    let bi = get_b(select(i, i % p.b_len, p.b_len < p.len));
    var yi = ai * bi;
    if p.operation == 0u { yi = ai + bi; }
    if p.operation == 1u { yi = ai - bi; }
    put_y(i, yi);
}
