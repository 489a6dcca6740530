// What the kernels of tiles in shared memory have in common. A workgroup makes a tile of 4RY rows of 4CX
// columns; X by Y threads make 4R rows of 4C columns each of it, or, where S is more than 1, S times as
// many, each an S-th of the terms, which are added up in the end.
//
// The factors are staged in slices D deep: `tile` has R * Y quads of rows for each k, then C * X quads of columns
// for each. A thread fetches blocks of four by four; as many neighbours as there are quads, up to eight, read what
// lies side by side and write what does; P blocks a thread. L threads side by side read neighbouring quads of
// columns, and a subgroup of 32 reads few different ones of each factor.
var<workgroup> tile: array<vec4<f32>, {N}>;

fn across_of(u: u32) -> u32 { return u % {L}u + {L}u * (u / 32u % {X / L}u); }
fn down_of(u: u32) -> u32 { return u / {L}u % {32 / L}u + {32 / L}u * (u / {32 * (X / L)}u); }

// Quad and k of a block of `a` or `b`, EA or EB quads of which are neighbours. Of a factor whose rows lie along k (AA,
// BB) four blocks of the same quad are: they are one run of 64 bytes a row. So that they do not meet in one bank, a
// quad's place in a slice then depends on its block.
//: if AA == 1
fn of_a(i: u32) -> vec2<u32> { return vec2<u32>(i / 4u, 4u * (i % 4u)); }
fn place_a(quad: u32, k: u32) -> u32 { return quad ^ (k / 4u * 2u); }
//: else
fn of_a(i: u32) -> vec2<u32> {
    return vec2<u32>(i % {EA}u + {EA}u * (i / {EA * (D / 4)}u), 4u * (i / {EA}u % {D / 4}u));
}
fn place_a(quad: u32, k: u32) -> u32 { return quad; }
//: end
//: if BB == 1
fn of_b(i: u32) -> vec2<u32> { return vec2<u32>(i / 4u, 4u * (i % 4u)); }
fn place_b(quad: u32, k: u32) -> u32 { return quad ^ (k / 4u * 2u); }
//: else
fn of_b(i: u32) -> vec2<u32> {
    return vec2<u32>(i % {EB}u + {EB}u * (i / {EB * (D / 4)}u), 4u * (i / {EB}u % {D / 4}u));
}
fn place_b(quad: u32, k: u32) -> u32 { return quad; }
//: end

fn fetch(top: u32, left: u32, k: u32, i: u32) -> mat4x4<f32> {
    if i < {R * Y * (D / 4)}u {
        let at = of_a(i);
        return a_block(top + 4u * at.x, k + at.y);
    }
    let at = of_b(i - {R * Y * (D / 4)}u);
    if at.x < {C * X}u { return b_block(k + at.y, left + 4u * at.x); }
    return mat4x4<f32>();
}

fn share(i: u32, block: mat4x4<f32>) {
    if i < {R * Y * (D / 4)}u {
        let at = of_a(i);
//: for q in 0..4
        tile[(at.y + {q}u) * {R * Y}u + place_a(at.x, at.y)] = block[{q}];
//: end
        return;
    }
    let at = of_b(i - {R * Y * (D / 4)}u);
    if at.x < {C * X}u {
//: for q in 0..4
        tile[{D * R * Y}u + (at.y + {q}u) * {C * X}u + place_b(at.x, at.y)] = block[{q}];
//: end
    }
}
