// The gradient of one timestep of Elman's recurrence, given the product of dp of the step after and the
// weight: dh = sum + dy + carried dh, dp = dh f'(y), f being number F. Of a held row dh is carried on and dp is 0.
//
// In a window (W is 1) there need not be lengths (LEN is 0); then what comes in from behind it, if anything, is in what is
// carried.
//
// m: B, n: H, k: H, or 0 where nothing comes after; since and steps: which of the window's `time` timesteps, in the order
// in which they are made; all after them: where each operand begins in what is bound, in elements.
struct Params {
    m: u32, n: u32, k: u32, stride: u32, flags: u32,
//: if W == 1
    since: u32, steps: u32, time: u32,
//: else
    t: u32,
//: end
//: if W == 1
    y: u32, b: u32, dp: u32, carry: u32, lengths: u32,
//: else
    a: u32, b: u32, y: u32, dp: u32, carry: u32, lengths: u32,
//: end
}
var<immediate> p: Params;
//: include moment

const BEHIND = 8u; // there is a gradient of the state behind the window

//: numbers 2-2*W y H V reads (B, H)
//: numbers 3-W dp H V updates (B, H), over dy
//: numbers 4-W carry 0 V updates (B, H) dh
@group(0) @binding({5 - W}) var<storage, read_write> lengths: array<u32>; // (B) if LEN is 1
//: if W == 1
fn made(at: u32) -> Num { return get_dp(p.dp + behind * p.m * p.n + at); }
//: end

fn first(col: u32) -> Num { return Num(0.0); }

fn keep(row: u32, col: u32, sum: Num) {
    let at = row * p.n + col;
    let i = of_now(p.dp, p.n) + at;
    let slope = slopes({F}u, get_y(of_now(p.y, p.n) + at));
    let carried = p.carry + at;
//: if LEN == 1
    let dh = sum + get_dp(i) + get_carry(carried);
    let held = is_held(row);
    put_dp(i, select(dh * slope, Num(0.0), held));
    put_carry(carried, select(Num(0.0), dh, held));
//: else
    if begins && (p.flags & BEHIND) != 0u { put_dp(i, get_dp(i) + get_carry(carried)); }
    put_dp(i, (sum + get_dp(i)) * slope);
//: end
}
