// y[t, b, f] = x[t, b, f] * scale where a random word is not below p * 2^32, else x[t, b, f] * 0,
// four features a thread, to which one call of Philox gives a word each

// len: fours of features in all. batch: B. cols: F. below: the least word that keeps its element. start: timesteps
// of the window before the first of x.
struct Params { len: u32, batch: u32, cols: u32, below: u32, scale: f32, key_0: u32, key_1: u32, start: u32 }
var<immediate> p: Params;

// philox(counter, key) gives 128 random bits.
//: include philox

//: numbers 0 x H V reads (T, B, F)
@group(0) @binding(1) var<storage, read_write> at: array<u32>;   // step, its upper half, first row, 0
//: numbers 2 y H V writes (T, B, F)

@compute @workgroup_size(256)
fn dropout(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    let quads = (p.cols + 3u) / 4u;
    let row = i / quads;
    let quad = i % quads;
    let place = (p.start + row / p.batch) * quads + quad;
    let words = philox(vec4<u32>(place, at[2] + row % p.batch, at[0], at[1]), vec2<u32>(p.key_0, p.key_1));
    // Multiplied, not chosen, so that a NaN is not hidden.
    let factors = select(vec4<f32>(0.0), vec4<f32>(p.scale), words >= vec4<u32>(p.below));
    let first = row * p.cols + quad * 4u;
//: if V == 4
    put_y(first, get_x(first) * factors);
//: else
    let count = min(4u, p.cols - quad * 4u);
    for (var j = 0u; j < count; j++) { put_y(first + j, get_x(first + j) * factors[j]); }
//: end
}
