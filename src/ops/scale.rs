//! `y = factor * x`

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Bound, Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// `y = factor * x`, of any one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What each element is multiplied by.
    pub factor: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    factor: f32,
}

impl Rule for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless_floats(self.name(), "x", &inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(&self, _: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![slope.outputs[0].map(|dy| out.emit_one(self.clone(), &[dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        vec![at.flat(
            shader!("scale"),
            bytes_of(&Params { len: clamp(len), factor: self.factor }).to_vec(),
            vec![at.read(0), at.write(0)],
        )]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().map(|x| f64::from(self.factor) * x).collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0)]
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        // What is made smaller may have been past all numbers before, and what is made far larger has a square that is;
        // so such a value is looked at itself.
        if self.factor.abs() == 1.0 { Bound::same() } else { None }
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        vec![(0..inputs).map(Operand::Input).chain([Operand::Output(0)]).collect()]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        [-1.0, 0.37]
            .into_iter()
            .flat_map(|factor| sizes.map(|s| Specimen::new(Scale { factor }, &[s]).differentiable(&[0])))
            .collect()
    }
}
