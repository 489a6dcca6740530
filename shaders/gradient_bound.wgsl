// norm[0] = (norm[0] +) times * |a|^2 * |b|^2, where |v|^2 is the sum of the partial sums of v, by one workgroup; after the
// last such term norm = (0, 1 / scale), or (0, -1) where that sum is past `most`, or it or the loss is not finite

// a, b: which partial sums; b is not read where `two` is 0
struct Params { a: u32, b: u32, two: u32, first: u32, last: u32, times: f32, most: f32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> partials: array<f32>; // (values, 64)
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;     // (1)
@group(0) @binding(2) var<storage, read_write> scaler: array<f32>;   // (4): scale, ..
@group(0) @binding(3) var<storage, read_write> norm: array<f32>;     // (2)

// Told by its bits, since a compiler may take it that no number is infinite or NaN.
fn within(x: f32, most: u32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) <= most; }

var<workgroup> of_a: array<f32, 64>;
var<workgroup> of_b: array<f32, 64>;

@compute @workgroup_size(64)
fn gradient_bound(@builtin(local_invocation_index) lane: u32) {
    of_a[lane] = partials[p.a * 64u + lane];
    of_b[lane] = 0.0;
    if p.two != 0u { of_b[lane] = partials[p.b * 64u + lane]; }
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            of_a[lane] += of_a[lane + reach];
            of_b[lane] += of_b[lane + reach];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        var all = p.times * of_a[0];
        if p.two != 0u { all *= of_b[0]; }
        if p.first == 0u { all += norm[0]; }
        if p.last == 0u {
            norm[0] = all;
            norm[1] = 0.0;
            return;
        }
        let greatest = 0x7f7fffffu;
        let factor = 1.0 / scaler[0];
        let good = within(all, bitcast<u32>(p.most)) && within(loss[0], greatest) && within(factor, greatest);
        norm[0] = 0.0;
        norm[1] = select(-1.0, factor, good);
    }
}
