// The gradient of one timestep of Elman's recurrence, given the product of dp of the step after and the
// weight: dh = sum + dy + carried dh, dp = dh f'(y). Of a held row dh is carried on and dp is 0.
//
// m: B, n: H, k: H, or 0 where nothing comes after; a and all after it: where each operand begins in what
// is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32, t: u32,
    a: u32, b: u32, y: u32, dp: u32, carry: u32, lengths: u32,
}
var<immediate> p: Params;

const FUNCTION = 8u; // f is the number from this bit on

//: numbers 2 y H V reads (B, H)
//: numbers 3 dp H V updates (B, H), over dy
//: numbers 4 carry 0 V updates (B, H) dh
@group(0) @binding(5) var<storage, read_write> lengths: array<u32>; // (B)

fn first(col: u32) -> Num { return Num(0.0); }

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let now = p.dp + at;
    let carried = p.carry + at;
    let dh = sum + get_dp(now) + get_carry(carried);
    let held = p.t >= lengths[p.lengths + row];
    put_dp(now, select(dh * slopes(p.flags >> FUNCTION, get_y(p.y + at)), Num(0.0), held));
    put_carry(carried, select(Num(0.0), dh, held));
}
