// partials[k] = (partials[k] +) the sum of g[i]^2 over this workgroup's share of g

struct Params { len: u32, accumulate: u32 } // len in vec4
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> g: array<vec4<f32>>;  // (len)
@group(0) @binding(1) var<storage, read_write> partials: array<f32>; // (number of workgroups)

var<workgroup> shared_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn sum_of_squares(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var sum = vec4<f32>(0.0);
    for (var i = w.x * 256u + lane; i < p.len; i += n.x * 256u) {
        let gi = g[i];
        sum += gi * gi;
    }
    shared_sums[lane] = (sum.x + sum.y) + (sum.z + sum.w);
    workgroupBarrier();
    for (var reach = 128u; reach > 0u; reach /= 2u) {
        if lane < reach { shared_sums[lane] += shared_sums[lane + reach]; }
        workgroupBarrier();
    }
    if lane == 0u {
        var start = 0.0;
        if p.accumulate != 0u { start = partials[w.x]; }
        partials[w.x] = start + shared_sums[0];
    }
}
