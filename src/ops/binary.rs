//! `y = a + b`, `y = a - b` and `y = a * b`, element by element or with a row `b` for each row of `a`.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{
    Binding, Bound, ColumnSum, Dispatch, Emit, InPlace, Lowering, Operand, Rule, Scale, ShapeError, Site, Slope,
    Specimen, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// An operation on `a (.., N)` and `b`, of the same shape or `(N)`, to `y (.., N)`, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Binary {
    /// `a + b`
    Add = 0,
    /// `a - b`
    Sub = 1,
    /// `a * b`
    Mul = 2,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    operation: u32,
    b_len: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct OntoParams {
    len: u32,
    skip: u32,
}

impl Binary {
    fn value(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
        }
    }
}

/// `onto[i] = onto[i] + x[i]` for a range of an output and all of `x`.
pub(super) fn add_into(at: &Lowering, onto: Binding, x: Binding) -> Dispatch {
    let [of_x, of_y] = [&x, &onto].map(|binding| at.type_bound(binding).dtype);
    let len = (onto.bytes.end - onto.bytes.start) / of_y.bytes();
    let (onto, skip) = at.aligned(onto);
    Dispatch {
        shader: shader!("add_into").with(&[("X", at.target.storage(of_x)), ("H", at.target.storage(of_y))]),
        params: bytes_of(&OntoParams { len: clamp(len), skip }).to_vec(),
        groups: at.cover(len, 256),
        bindings: vec![x, onto],
        tile: None,
    }
}

impl Rule for Binary {
    fn name(&self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "subtract",
            Binary::Mul => "multiply",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (a, b) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "a", a)?;
        let row = a.dtype == b.dtype && b.shape.len() == 1 && a.shape.last() == b.shape.last();
        ShapeError::unless(a == b || row, self.name(), || {
            format!("a {a} and b {b} differ in type, and b is no row (N) for a (.., N)")
        })?;
        Ok(vec![a.clone()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let Some(dy) = slope.outputs[0] else {
            return vec![None, None];
        };
        let (a, b) = (at.inputs[0], at.inputs[1]);
        let da = slope.wanted[0].then(|| match self {
            Binary::Add | Binary::Sub => dy,
            Binary::Mul => out.emit_one(Binary::Mul, &[dy, b]),
        });
        let row = out.type_of(a) != out.type_of(b);
        let db = slope.wanted[1].then(|| {
            let each = if *self == Binary::Mul { out.emit_one(Binary::Mul, &[dy, a]) } else { dy };
            let all = if row { out.emit_one(ColumnSum { accumulate: false }, &[each]) } else { each };
            if *self == Binary::Sub { out.emit_one(Scale { factor: -1.0 }, &[all]) } else { all }
        });
        vec![da, db]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        let params = Params { len: clamp(len), operation: *self as u32, b_len: clamp(at.inputs[1].len()) };
        // Neither runs past the end of b.
        let width = Lowering::width(len).min(Lowering::width(at.inputs[1].len()));
        let [h, b] = [Operand::Output(0), Operand::Input(1)].map(|operand| at.storage(operand));
        vec![Dispatch {
            shader: shader!("binary").with(&[("H", h), ("B", b), ("V", width)]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(len / u64::from(width), 256),
            bindings: vec![at.read(0), at.read(1), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let pairs = inputs[0].iter().zip(inputs[1].iter().cycle());
        vec![pairs.map(|(&a, &b)| self.value(a, b)).collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0), InPlace::may(0, 1)]
    }

    fn bound(&self, inputs: &[TensorType], _: usize) -> Option<Bound> {
        match self {
            Binary::Mul => Bound::product(0, 1),
            // (a + b)^2 <= 2 a^2 + 2 b^2
            _ if inputs[0] == inputs[1] => Bound::rows(2, &[0, 1]),
            _ => None,
        }
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)], vec![Operand::Input(1)]]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        [Binary::Add, Binary::Sub, Binary::Mul]
            .into_iter()
            .flat_map(|op| {
                let rows = Specimen::new(op, &[&[3, 5, 13], &[13]]);
                sizes.map(|s| Specimen::new(op, &[s, s])).into_iter().chain([rows])
            })
            .map(|specimen| specimen.differentiable(&[0, 1]))
            .collect()
    }
}
