// y[y_from + i] = x[x_from + i], words of four bytes whatever they hold

struct Params { len: u32, x_from: u32, y_from: u32 } // x_from, y_from: words bound in front of each
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> x: array<u32>; // (x_from + len)
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // (y_from + len)

@compute @workgroup_size(256)
fn copy(
    @builtin(workgroup_id) w: vec3<u32>,
    @builtin(num_workgroups) n: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (w.y * n.x + w.x) * 256u + lane;
    if i >= p.len { return; }
    y[p.y_from + i] = x[p.x_from + i];
}
