// norm = (sqrt(sum of partials), min(1, max_norm / (that + 1e-6))), by one workgroup

struct Params { len: u32, clips: u32, max_norm: f32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> partials: array<f32>; // (len)
@group(0) @binding(1) var<storage, read_write> norm: array<f32>;     // (2)

var<workgroup> shared_sums: array<f32, 256>;

@compute @workgroup_size(256)
fn clip_factor(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.len; i += 256u) { sum += partials[i]; }
    shared_sums[lane] = sum;
    workgroupBarrier();
    for (var reach = 128u; reach > 0u; reach /= 2u) {
        if lane < reach { shared_sums[lane] += shared_sums[lane + reach]; }
        workgroupBarrier();
    }
    if lane == 0u {
        let length = sqrt(shared_sums[0]);
        var factor = 1.0;
        if p.clips != 0u {
            // Not `min`, which may drop a NaN that has to spoil the step in plain sight.
            factor = p.max_norm / (length + 1e-6);
            if factor > 1.0 { factor = 1.0; }
        }
        norm[0] = length;
        norm[1] = factor;
    }
}
