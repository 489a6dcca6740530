// One timestep of a GRU whose reset gate comes before the product, a workgroup four rows:
//
//   r = sigmoid(x_r + U_r h + b_r),  z = sigmoid(x_z + U_z h + b_z),
//   n = tanh(x_n + U_n (r h) + b_n),  y = (1 - z) n + z h, or h where the row has ended
//
// n needs r of all units, which the threads of the row's own workgroup have written: a barrier within
// the workgroup is enough.

// flags: 1 there is a bias, 2 there are lengths. gates, h, y: where each begins, in elements.
struct Params { batch: u32, hidden: u32, flags: u32, time: u32, gates: u32, h: u32, y: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> gates: array<f32>;   // (B, 3H), x before and r|z|n after
@group(0) @binding(1) var<storage, read_write> h: array<f32>;       // (B, H), the state before
@group(0) @binding(2) var<storage, read_write> u: array<f32>;       // (3H, H)
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;    // (3H) if there is one
@group(0) @binding(4) var<storage, read_write> lengths: array<u32>; // (B) if there are any
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // (B, H)

fn bias_of(i: u32) -> f32 {
    if (p.flags & 1u) != 0u { return bias[i]; }
    return 0.0;
}

@compute @workgroup_size(64)
fn gru_reset_before(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let top = w.x * 4u;
    let count = p.hidden;
    // Rows past the end repeat the last and are not stored.
    let rows = min(vec4<u32>(top) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.batch - 1u));
    let states = vec4<u32>(p.h) + rows * count;
    let first = vec4<u32>(p.gates) + rows * 3u * count;
    let stored = min(4u, p.batch - top);
    for (var j = lane; j < count; j += 64u) {
        var sum_r = vec4<f32>(0.0);
        var sum_z = vec4<f32>(0.0);
        for (var k = 0u; k < count; k++) {
            let before = vec4<f32>(h[states.x + k], h[states.y + k], h[states.z + k], h[states.w + k]);
            sum_r += u[j * count + k] * before;
            sum_z += u[(count + j) * count + k] * before;
        }
        for (var i = 0u; i < stored; i++) {
            let r = first[i] + j;
            let z = r + count;
            gates[r] = logistic(gates[r] + sum_r[i] + bias_of(j));
            gates[z] = logistic(gates[z] + sum_z[i] + bias_of(count + j));
        }
    }
    storageBarrier();
    workgroupBarrier();
    for (var j = lane; j < count; j += 64u) {
        var sum = vec4<f32>(0.0);
        for (var k = 0u; k < count; k++) {
            let before = vec4<f32>(h[states.x + k], h[states.y + k], h[states.z + k], h[states.w + k]);
            let r = vec4<f32>(gates[first.x + k], gates[first.y + k], gates[first.z + k], gates[first.w + k]);
            sum += u[(2u * count + j) * count + k] * (r * before);
        }
        for (var i = 0u; i < stored; i++) {
            let at = first[i] + 2u * count + j;
            let n = tangent(gates[at] + sum[i] + bias_of(2u * count + j));
            gates[at] = n;
            let z = gates[at - count];
            let before = h[states[i] + j];
            var after = (1.0 - z) * n + z * before;
            if (p.flags & 2u) != 0u {
                if p.time >= lengths[top + i] { after = before; }
            }
            y[p.y + (top + i) * count + j] = after;
        }
    }
}
