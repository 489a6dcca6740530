// One timestep back through a GRU whose reset gate comes before the product, a workgroup four rows:
//
//   dh = dy + carry,  dn = dh (1 - z) (1 - n^2),  dz = dh (h - n) z (1 - z)
//   d = U_n^T dn,     dr = d h r (1 - r)
//   carry = dh z + d r + U_r^T dr + U_z^T dz
//
// Where the row has ended dr, dz and dn are 0 and carry is dh. r h, of which the weight's gradient is
// made, is written over dy. What threads read of one another is of their own workgroup's rows.

// flags: 2 there are lengths. dy, gates, h: where each begins, in elements.
struct Params { batch: u32, hidden: u32, flags: u32, time: u32, dy: u32, gates: u32, h: u32 }
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> dy: array<f32>;      // (B, H), r h after
@group(0) @binding(1) var<storage, read_write> gates: array<f32>;   // (B, 3H), r|z|n before and dr|dz|dn after
@group(0) @binding(2) var<storage, read_write> h: array<f32>;       // (B, H), the state before the step
@group(0) @binding(3) var<storage, read_write> u: array<f32>;       // (3H, H)
@group(0) @binding(4) var<storage, read_write> carry: array<f32>;   // (B, H)
@group(0) @binding(5) var<storage, read_write> lengths: array<u32>; // (B) if there are any

fn ended(row: u32) -> bool {
    if (p.flags & 2u) != 0u { return p.time >= lengths[row]; }
    return false;
}

@compute @workgroup_size(64)
fn gru_reset_before_gradient(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let top = w.x * 4u;
    let count = p.hidden;
    // Rows past the end repeat the last and are not stored.
    let rows = min(vec4<u32>(top) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.batch - 1u));
    let first = vec4<u32>(p.gates) + rows * 3u * count;
    let stored = min(4u, p.batch - top);
    for (var j = lane; j < count; j += 64u) {
        for (var i = 0u; i < stored; i++) {
            let own = (top + i) * count + j;
            let at = first[i] + j;
            let dh = dy[p.dy + own] + carry[own];
            let z = gates[at + count];
            let n = gates[at + 2u * count];
            let running = !ended(top + i);
            gates[at + count] = select(0.0, dh * (h[p.h + own] - n) * z * (1.0 - z), running);
            gates[at + 2u * count] = select(0.0, dh * (1.0 - z) * (1.0 - n * n), running);
            carry[own] = select(dh, dh * z, running);
        }
    }
    storageBarrier();
    workgroupBarrier();
    for (var j = lane; j < count; j += 64u) {
        var d = vec4<f32>(0.0);
        for (var k = 0u; k < count; k++) {
            let n = first + vec4<u32>(2u * count + k);
            d += u[(2u * count + k) * count + j] * vec4<f32>(gates[n.x], gates[n.y], gates[n.z], gates[n.w]);
        }
        for (var i = 0u; i < stored; i++) {
            let own = (top + i) * count + j;
            let at = first[i] + j;
            let r = gates[at];
            let reset = r * h[p.h + own];
            let running = !ended(top + i);
            gates[at] = select(0.0, d[i] * reset * (1.0 - r), running);
            dy[p.dy + own] = select(0.0, reset, running);
            carry[own] += select(0.0, d[i] * r, running);
        }
    }
    storageBarrier();
    workgroupBarrier();
    for (var j = lane; j < count; j += 64u) {
        var d = vec4<f32>(0.0);
        for (var k = 0u; k < 2u * count; k++) {
            let g = first + vec4<u32>(k);
            d += u[k * count + j] * vec4<f32>(gates[g.x], gates[g.y], gates[g.z], gates[g.w]);
        }
        for (var i = 0u; i < stored; i++) { carry[(top + i) * count + j] += d[i]; }
    }
}
