//! `y = a + b`, `y = a - b` and `y = a * b`, element by element.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Binding, Dispatch, Emit, InPlace, Lowering, Rule, Scale, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// An operation on two tensors of one type, element by element.
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
    let len = (onto.bytes.end - onto.bytes.start) / 4;
    let (onto, skip) = onto.aligned(at.target.align(), 4);
    Dispatch {
        shader: shader!("add_into"),
        dtype: at.outputs[0].dtype,
        params: bytes_of(&Params { len: clamp(len), operation: skip }).to_vec(),
        groups: at.cover(len, 256),
        bindings: vec![x, onto],
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
        ShapeError::unless(a == b, self.name(), || format!("a {a} and b {b} differ in type"))?;
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
        let db = slope.wanted[1].then(|| match self {
            Binary::Add => dy,
            Binary::Sub => out.emit_one(Scale { factor: -1.0 }, &[dy]),
            Binary::Mul => out.emit_one(Binary::Mul, &[dy, a]),
        });
        vec![da, db]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        vec![Dispatch {
            shader: shader!("binary"),
            dtype: at.outputs[0].dtype,
            params: bytes_of(&Params { len: clamp(len), operation: *self as u32 }).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.read(1), at.write(0)],
        }]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let pairs = inputs[0].iter().zip(inputs[1]);
        vec![pairs.map(|(&a, &b)| self.value(a, b)).collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0), InPlace::may(0, 1)]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        [Binary::Add, Binary::Sub, Binary::Mul]
            .into_iter()
            .flat_map(|op| sizes.map(|s| Specimen::new(op, &[s, s]).differentiable(&[0, 1])))
            .collect()
    }
}
