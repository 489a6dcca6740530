// Brings what was loaded of a slice into shared memory.
fn share_a(i: u32, raw: RawA) {
    let x = numbers_a(raw);
//: if TA == 1
    let near = in_halves(x);
    a_tile[spot_a(i)] = vec4<f16>(near);
    a_rest[spot_a(i)] = vec4<f16>(x - near);
//: else
    a_tile[spot_a(i)] = vec4<f16>(x);
//: end
}
fn share_b(i: u32, raw: RawB) {
    let x = numbers_b(raw);
//: if TB == 1
    let near = in_halves(x);
    b_tile[spot_b(i)] = vec4<f16>(near);
    b_rest[spot_b(i)] = vec4<f16>(x - near);
//: else
    b_tile[spot_b(i)] = vec4<f16>(x);
//: end
}
