// What all optimizers share. `Params` of the kernel begins with
//   len: u32, skip: u32            vec4 to update, and how many to pass over in front of them
//   rate_factor: f32               what this range's step size is multiplied by
//   weight_decay: f32
//   clip_value: f32                0 for none
//   stream: u32                    where T is 4, elements from one operand to the next in the texture: w, g, state..
// With T of 4 what is read of the operands is in the texture, and each that is updated has two bindings; of 0, one.
var<immediate> p: Params;

// What all threads read alike they read before anything branches: a software adapter then reads it once, and behind a
// branch once for each. Where the factor of the gradients is below 0, they are not finite and nothing is to change.
//: numbers 0 w T 4 updates (skip + len)
//: numbers 1+T/4 g T 4 reads (skip + len)
@group(0) @binding({2 + T / 4}) var<storage, read_write> scalars: array<vec4<f32>>; // lr, c1, c2, momentum or beta1; first step, 0, 0, 0
@group(0) @binding({3 + T / 4}) var<storage, read_write> norm: array<f32>; // norm, clip factor or -1

// Which four numbers a thread updates; none where that is past skip + len.
fn place(group: vec3<u32>, n: vec3<u32>, lane: u32) -> u32 {
    return p.skip + (group.y * n.x + group.x) * 256u + lane;
}

// The gradient, clipped by the norm of all and then by value. A NaN stays one, so that it is seen;
// told by its bits, since a compiler may take it that no number is NaN.
fn clipped(i: u32, factor: f32) -> vec4<f32> {
    let x = get_g(4u * i + p.stream) * factor;
    if p.clip_value == 0.0 { return x; }
    let nan = (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    return select(clamp(x, vec4(-p.clip_value), vec4(p.clip_value)), x, nan);
}
