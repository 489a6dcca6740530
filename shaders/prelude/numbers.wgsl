// V: elements of one access; 4 wants operands whose rows start at multiples of 4 elements. What one access
// reads or writes is a Num.
//: if V == 4
alias Num = vec4<f32>;
fn tangents(x: Num) -> Num { return Num(tangent(x.x), tangent(x.y), tangent(x.z), tangent(x.w)); }
fn activates(f: u32, x: Num) -> Num {
    return Num(activate(f, x.x), activate(f, x.y), activate(f, x.z), activate(f, x.w));
}
fn slopes(f: u32, y: Num) -> Num { return Num(slope(f, y.x), slope(f, y.y), slope(f, y.z), slope(f, y.w)); }
//: else
alias Num = f32;
fn tangents(x: Num) -> Num { return tangent(x); }
fn activates(f: u32, x: Num) -> Num { return activate(f, x); }
fn slopes(f: u32, y: Num) -> Num { return slope(f, y); }
//: end
