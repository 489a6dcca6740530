// Hands a thread's four sums, of neighbouring columns, to `keep`, which takes as
// many at once as one load has. Past the last column nothing is kept. What the sums of a column start
// from, whatever the row, is what `first` says.
//: if V == 4
fn start(col: u32) -> vec4<f32> { return first(min(col, p.n - 4u)); }
fn finish(row: u32, col: u32, sum: vec4<f32>) {
    if col < p.n { keep(row, col, sum); }
}
//: else
fn first1(col: u32) -> f32 { return first(min(col, p.n - 1u)); }
fn start(col: u32) -> vec4<f32> {
    return vec4<f32>(first1(col), first1(col + 1u), first1(col + 2u), first1(col + 3u));
}
fn finish1(row: u32, col: u32, sum: f32) {
    if col < p.n { keep(row, col, sum); }
}
fn finish(row: u32, col: u32, sum: vec4<f32>) {
    finish1(row, col, sum.x);
    finish1(row, col + 1u, sum.y);
    finish1(row, col + 2u, sum.z);
    finish1(row, col + 3u, sum.w);
}
//: end
