// h of a workgroup's R rows as it was before the timestep and as it becomes, N units each, which are no fewer than H.
//: numbers 0 a H V reads (B, H), h before all timesteps
var<workgroup> h: array<f32, {2 * R * N}>;
var<private> rows_from: u32; // the first of the rows
var<private> was: u32;       // where h before the timestep begins, and
var<private> will: u32;      // where it is kept after it

// Takes up what the window goes on from, by `threads` threads of which this is `thread`; past the last unit are zeros.
fn begin(row: u32, thread: u32, threads: u32) {
    rows_from = row;
    was = 0u;
    will = {R * N}u;
    for (var i = thread; i < {R * N}u; i += threads) {
        let unit = i % {N}u;
        let of_row = p.a + min(row + i / {N}u, p.m - 1u) * p.n;
        h[i] = select(0.0, first_h(of_row + min(unit, p.n - 1u)), unit < p.n);
        h[i + {R * N}u] = 0.0;
    }
}
fn turn() {
    let kept = will;
    will = was;
    was = kept;
}
fn h_before(row: u32, unit: u32) -> f32 { return h[was + (row - rows_from) * {N}u + unit]; }
fn h_after(row: u32, unit: u32, to: f32) { h[will + (row - rows_from) * {N}u + unit] = to; }
// h_before[row, k..k+4]
fn a4(row: u32, k: u32) -> vec4<f32> {
    let i = was + (min(row, p.m - 1u) - rows_from) * {N}u + k;
    return vec4<f32>(h[i], h[i + 1u], h[i + 2u], h[i + 3u]);
}
//: if V == 4
fn first_h(i: u32) -> f32 { return get_a(i / 4u * 4u)[i % 4u]; }
//: else
fn first_h(i: u32) -> f32 { return get_a(i); }
//: end
