// y[s, b, h] = x[s, b, h] where keep[b] is not 0, else 0

struct Params { len: u32, rows: u32, cols: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<Stored>; // (len / (rows cols), rows, cols)
@group(0) @binding(1) var<storage, read_write> keep: array<u32>; // (rows)
@group(0) @binding(2) var<storage, read_write> y: array<Stored>; // (len / (rows cols), rows, cols)

@compute @workgroup_size(256)
fn mask_rows(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    // Chosen, not multiplied, so that a NaN does not outlive its row.
    y[i] = select(store(0.0), x[i], keep[i / p.cols % p.rows] != 0u);
}
