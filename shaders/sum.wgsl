// y[0] = (y[0] +) scale * the sum of x[i], by one workgroup of W threads that take V elements at a time

struct Params { len: u32, scale: f32, accumulate: u32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 x H V reads (len)
@group(0) @binding(1) var<storage, read_write> y: array<f32>;    // (1)

var<workgroup> shared_sums: array<f32, {W}>;

@compute @workgroup_size({W})
fn sum(@builtin(local_invocation_index) lane: u32) {
    var total = Num(0.0);
    for (var i = lane * {V}u; i < p.len; i += {W * V}u) { total += get_x(i); }
//: if V == 4
    shared_sums[lane] = (total.x + total.y) + (total.z + total.w);
//: else
    shared_sums[lane] = total;
//: end
    workgroupBarrier();
    for (var reach = {W / 2}u; reach > 0u; reach /= 2u) {
        if lane < reach { shared_sums[lane] += shared_sums[lane + reach]; }
        workgroupBarrier();
    }
    if lane == 0u {
        var start = 0.0;
        if p.accumulate != 0u { start = y[0]; }
        y[0] = start + p.scale * shared_sums[0];
    }
}
