//! `y = value`, everywhere.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// `y = value`, an `f32` tensor made from nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// What every element is.
    pub value: f32,
    /// The shape of `y`.
    pub shape: Vec<u32>,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    value: f32,
}

impl Rule for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        Ok(vec![TensorType::f32(&self.shape)])
    }

    fn gradient(&self, _: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        Vec::new()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        vec![at.flat(
            shader!("fill"),
            bytes_of(&Params { len: clamp(len), value: self.value }).to_vec(),
            vec![at.write(0)],
        )]
    }

    fn reference(&self, _: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        vec![vec![self.value.into(); clamp(at.outputs[0].len()) as usize]]
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        vec![(0..inputs).map(Operand::Input).chain([Operand::Output(0)]).collect()]
    }

    fn specimens() -> Vec<Specimen> {
        let shapes = [vec![1], vec![7, 13], vec![257]];
        shapes.into_iter().map(|shape| Specimen::new(Fill { value: -0.75, shape }, &[])).collect()
    }
}
