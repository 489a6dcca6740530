//! `y = x`, word by word.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::slice::copy_run;
use super::{Binding, Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// `y = x`, of any shape and storage, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    /// Words bound in front of what is read, and of what is written.
    from: u32,
    to: u32,
}

/// Copies the range `from` to the range `to`, which has as many bytes.
pub(super) fn dispatch(at: &Lowering, from: Binding, to: Binding) -> Dispatch {
    let words = [from.bytes.start, from.bytes.end, to.bytes.start].iter().all(|bytes| bytes.is_multiple_of(4));
    if !words {
        // Halves that begin or end amid a word, whose other half may be another value's.
        return copy_run(at, from, to);
    }
    let words = (to.bytes.end - to.bytes.start) / 4;
    let ((from, from_start), (to, to_start)) = (from.aligned(at.target.align(), 4), to.aligned(at.target.align(), 4));
    Dispatch {
        shader: shader!("copy"),
        params: bytes_of(&Params { len: clamp(words), from: from_start, to: to_start }).to_vec(),
        groups: at.cover(words, 256),
        bindings: vec![from, to],
        tile: None,
    }
}

impl Rule for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(&self, _: &Site, slope: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![slope.outputs[0]]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        vec![dispatch(at, at.read(0), at.write(0))]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        vec![inputs[0].to_vec()]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        sizes
            .map(|s| Specimen::new(Copy, &[s]).differentiable(&[0]))
            .into_iter()
            .chain([Specimen::new(Copy, &[&[3]]).ids(0, &[0, 1, u32::MAX])])
            .collect()
    }
}
