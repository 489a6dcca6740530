//! `y = x`, stored otherwise.

use bytemuck::bytes_of;

use super::{Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// `y = x`, of any shape, whatever each is stored as: a parameter in full, which products read in halves.
#[derive(Clone, Debug, PartialEq)]
pub struct Cast;

impl Rule for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless_floats(self.name(), "x", &inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(&self, _: &Site, slope: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![slope.outputs[0]]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        let width = Lowering::width(len);
        let [x, y] = [Operand::Input(0), Operand::Output(0)].map(|operand| at.storage(operand));
        vec![Dispatch {
            shader: shader!("cast_numbers").with(&[("X", x), ("H", y), ("V", width)]),
            params: bytes_of(&clamp(len)).to_vec(),
            groups: at.cover(len / u64::from(width), 256),
            bindings: vec![at.read(0), at.write(0)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        vec![inputs[0].to_vec()]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)], vec![Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 4] = [&[1], &[7, 13], &[257], &[4, 65]];
        sizes.map(|s| Specimen::new(Cast, &[s]).differentiable(&[0])).into()
    }
}
