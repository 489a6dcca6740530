// y[0] = (y[0] +) scale * the sum of x[i], by one workgroup

struct Params { len: u32, scale: f32, accumulate: u32 }
var<immediate> p: Params;

//: numbers 0 x H 1 reads (len)
@group(0) @binding(1) var<storage, read_write> y: array<f32>;    // (1)

var<workgroup> shared_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn sum(@builtin(local_invocation_index) lane: u32) {
    var total = 0.0;
    for (var i = lane; i < p.len; i += 256u) { total += get_x(i); }
    shared_sums[lane] = total;
    workgroupBarrier();
    for (var reach = 128u; reach > 0u; reach /= 2u) {
        if lane < reach { shared_sums[lane] += shared_sums[lane + reach]; }
        workgroupBarrier();
    }
    if lane == 0u {
        var start = 0.0;
        if p.accumulate != 0u { start = y[0]; }
        y[0] = start + p.scale * shared_sums[0];
    }
}
