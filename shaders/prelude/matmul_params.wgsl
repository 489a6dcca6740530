// What a product is told. stride: elements from one row of `a` to the next; a, b, extra, c: where each
// operand begins in what is bound, in elements; was: where that is read which c is added to.
struct Params { m: u32, n: u32, k: u32, flags: u32, stride: u32, a: u32, b: u32, extra: u32, c: u32, was: u32 }
var<immediate> p: Params;

const ACCUMULATE = 1u; // c is added to
const BIAS = 2u;       // extra is the bias
const SLOPE = 4u;      // extra is y
const FUNCTION = 8u;   // f is the number from this bit on
