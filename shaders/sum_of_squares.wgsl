// partials[k] = (partials[k] +) the sum of g[i]^2 over this workgroup's share of g

struct Params { len: u32, accumulate: u32 }
var<immediate> p: Params;

//: include numbers
//: numbers 0 g H V reads (len)
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // (number of workgroups)

var<workgroup> shared_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn sum_of_squares(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var sum = Num(0.0);
    for (var i = (w.x * 256u + lane) * {V}u; i < p.len; i += n.x * {256 * V}u) {
        let gi = get_g(i);
        sum += gi * gi;
    }
//: if V == 4
    shared_sums[lane] = (sum.x + sum.y) + (sum.z + sum.w);
//: else
    shared_sums[lane] = sum;
//: end
    workgroupBarrier();
    // In two steps, not eight, for a software adapter goes through all threads at each.
    var part = 0.0;
    for (var i = lane; lane < 16u && i < 256u; i += 16u) { part += shared_sums[i]; }
    workgroupBarrier();
    if lane < 16u { shared_sums[lane] = part; }
    workgroupBarrier();
    if lane == 0u {
        var all = 0.0;
        for (var i = 0u; i < 16u; i++) { all += shared_sums[i]; }
        var start = 0.0;
        if p.accumulate != 0u { start = partials[w.x]; }
        partials[w.x] = start + all;
    }
}
