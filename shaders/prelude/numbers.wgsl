// V: elements of one load; 4 wants operands whose rows start at multiples of 4 elements. What is made of
// one load is a Num, kept as a Unit.
//: if V == 4
alias Unit = vec4<Stored>;
alias Num = vec4<f32>;
fn tangents(x: Num) -> Num { return Num(tangent(x.x), tangent(x.y), tangent(x.z), tangent(x.w)); }
fn activates(f: u32, x: Num) -> Num {
    return Num(activate(f, x.x), activate(f, x.y), activate(f, x.z), activate(f, x.w));
}
fn slopes(f: u32, y: Num) -> Num { return Num(slope(f, y.x), slope(f, y.y), slope(f, y.z), slope(f, y.w)); }
//: else
alias Unit = Stored;
alias Num = f32;
fn tangents(x: Num) -> Num { return tangent(x); }
fn activates(f: u32, x: Num) -> Num { return activate(f, x); }
fn slopes(f: u32, y: Num) -> Num { return slope(f, y); }
//: end
