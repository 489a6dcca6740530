//! `y = [x0, x1, ..]` along one axis.

use super::slice::{Runs, around, copy_rows, on_host};
use super::{Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen};
use crate::ids::ValueId;
use crate::tensor::TensorType;

/// Any number of `x (.., Ni, ..)`, alike but for `Ni`, to `y (.., N, ..)` with `N` the sum of all
/// `Ni`: `torch.cat(x, axis)`. One dispatch for each input.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// The dimension, counted from the outermost.
    pub axis: usize,
}

impl Concat {
    /// Where along the axis each input begins.
    fn starts<'a>(&self, extents: impl Iterator<Item = &'a u32>) -> Vec<u32> {
        let running = extents.scan(0, |end, &extent| {
            let start = *end;
            *end += extent;
            Some(start)
        });
        running.collect()
    }
}

impl Rule for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless(!inputs.is_empty(), self.name(), || "there is nothing to join".to_string())?;
        let mut y = inputs[0].clone();
        ShapeError::unless(self.axis < y.shape.len(), self.name(), || format!("{y} has no dimension {}", self.axis))?;
        let mut extent = 0u64;
        for (i, x) in inputs.iter().enumerate() {
            let mut alike = x.clone();
            if let Some(own) = alike.shape.get_mut(self.axis) {
                extent += u64::from(*own);
                *own = inputs[0].shape[self.axis];
            }
            ShapeError::unless(alike == inputs[0], self.name(), || {
                format!("input {i} {x} and input 0 {} differ elsewhere than in dimension {}", inputs[0], self.axis)
            })?;
        }
        y.shape[self.axis] = u32::try_from(extent).map_err(|_| ShapeError {
            op: self.name(),
            reason: format!("dimension {} would be {extent}, which no shape can say", self.axis),
        })?;
        Ok(vec![y])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let Some(dy) = slope.outputs[0] else { return vec![None; at.inputs.len()] };
        let extents: Vec<u32> = at.inputs.iter().map(|x| out.type_of(*x).shape[self.axis]).collect();
        let parts = self.starts(extents.iter()).into_iter().zip(&extents).zip(&slope.wanted);
        parts.map(|((start, len), wanted)| wanted.then(|| out.slice(dy, self.axis, start..start + len))).collect()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, step) = around(&at.outputs[0], self.axis);
        let stride = step * u64::from(at.outputs[0].shape[self.axis]);
        let extents = || at.inputs.iter().map(|x| &x.shape[self.axis]);
        let parts = self.starts(extents()).into_iter().zip(extents()).enumerate();
        let dispatch = |(i, (start, &extent)): (usize, (u32, &u32))| {
            let cols = step * u64::from(extent);
            let to = Runs { stride, start: step * u64::from(start) };
            copy_rows(at, i, [rows, cols], Runs { stride: cols, start: 0 }, to)
        };
        parts.map(dispatch).collect()
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (rows, step) = around(&at.outputs[0], self.axis);
        let cols = |x: &TensorType| on_host(step * u64::from(x.shape[self.axis]));
        let row = |r: usize| inputs.iter().zip(at.inputs).flat_map(move |(x, ty)| &x[r * cols(ty)..(r + 1) * cols(ty)]);
        vec![(0..on_host(rows)).flat_map(row).copied().collect()]
    }

    fn view(&self, inputs: &[TensorType]) -> Option<u64> {
        (inputs.len() == 1).then_some(0)
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        vec![(0..inputs).map(Operand::Input).chain([Operand::Output(0)]).collect()]
    }

    fn specimens() -> Vec<Specimen> {
        vec![
            Specimen::new(Concat { axis: 0 }, &[&[1]]).differentiable(&[0]),
            Specimen::new(Concat { axis: 0 }, &[&[7, 13], &[2, 13]]).differentiable(&[0, 1]),
            Specimen::new(Concat { axis: 1 }, &[&[7, 13], &[7, 1], &[7, 31]]).differentiable(&[0, 1, 2]),
            Specimen::new(Concat { axis: 1 }, &[&[3, 2, 37], &[3, 5, 37]]).differentiable(&[0, 1]),
        ]
    }
}
