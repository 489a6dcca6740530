// norm = (sqrt(sum of partials), min(1, max_norm / (that + 1e-6))), by one workgroup; in a step that is
// guarded (1: skips, 2: stops) norm = (that / scale, that factor / scale), or a factor of -1 where it or its
// loss is not finite, or, where it stops, an earlier one was not

// after: whether other gradients' norm is there, which are then among these
struct Params { len: u32, clips: u32, guarded: u32, after: u32, max_norm: f32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> partials: array<f32>; // (len)
@group(0) @binding(1) var<storage, read_write> before: array<f32>;   // (2) if after: their norm
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;     // (1) if guarded
@group(0) @binding(3) var<storage, read_write> scaler: array<f32>;   // (4) if guarded: scale, .., steps skipped
@group(0) @binding(4) var<storage, read_write> norm: array<f32>;     // (2)

// Told by its bits, since a compiler may take it that no number is infinite or NaN.
fn finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u; }

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
        var scale = 1.0;
        var good = true;
        if p.guarded != 0u { scale = scaler[0]; }
        var all = shared_sums[0];
        if p.after != 0u {
            let length = before[0] * scale;
            all += length * length;
            good = before[1] >= 0.0;
        }
        if p.guarded != 0u {
            good = good && finite(all) && finite(loss[0]) && (p.guarded == 1u || scaler[3] == 0.0);
        }
        let length = sqrt(all) / scale;
        var factor = 1.0;
        if p.clips != 0u {
            // Not `min`, which may drop a NaN that has to spoil the step in plain sight.
            factor = p.max_norm / (length + 1e-6);
            if factor > 1.0 { factor = 1.0; }
        }
        factor /= scale;
        // Where the scale is so small that dividing by it overflows.
        good = good && (p.guarded == 0u || finite(factor));
        norm[0] = length;
        norm[1] = select(-1.0, factor, good);
    }
}
