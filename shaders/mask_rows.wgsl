// y[s, b, h] = x[s, b, h] where keep[b] is not 0, else 0; where it mends, also 0 for what is infinite or NaN

struct Params { len: u32, rows: u32, cols: u32, mends: u32 }
var<immediate> p: Params;

//: include numbers
//: if V == 4
alias Bits = vec4<u32>;
//: else
alias Bits = u32;
//: end
//: numbers 0 x H V reads (len / (rows cols), rows, cols)
@group(0) @binding(1) var<storage, read_write> keep: array<u32>; // (rows)
//: numbers 2 y H V writes (len / (rows cols), rows, cols)

@compute @workgroup_size(256)
fn mask_rows(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = ((w.y * n.x + w.x) * 256u + lane) * {V}u;
    if i >= p.len { return; }
    // Chosen, not multiplied, so that a NaN does not outlive its row.
    var y = select(Num(0.0), get_x(i), keep[i / p.cols % p.rows] != 0u);
    // Told by its bits, since a compiler may take it that no number is infinite or NaN.
    let finite = (bitcast<Bits>(y) & Bits(0x7fffffffu)) < Bits(0x7f800000u);
    if p.mends != 0u { y = select(Num(0.0), y, finite); }
    put_y(i, y);
}
