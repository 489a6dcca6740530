//! `y = x[offset..]` read as another shape: the same bytes under another name.

use super::slice::{Pad, Runs, copy_rows, on_host};
use super::{Bound, Dispatch, Emit, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::tensor::TensorType;

/// `x` of any shape, from element `offset` on, seen as `shape`: `x.flatten()[offset:].view(shape)`
/// of PyTorch, cut at the length of `shape`.
///
/// Costs neither bytes nor a dispatch, but where the result is stored or begins where no binding
/// may: then it is copied.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The shape of the result.
    pub shape: Vec<u32>,
    /// Elements of `x` in front of the result's first.
    pub offset: u64,
}

impl View {
    /// All of `x` in another shape.
    pub fn reshape(shape: &[u32]) -> Self {
        Self { shape: shape.to_vec(), offset: 0 }
    }
}

impl dyn Emit + '_ {
    /// `x` seen as `shape`, which has as many elements.
    pub fn reshape(&mut self, x: ValueId, shape: &[u32]) -> ValueId {
        if self.type_of(x).shape == shape { x } else { self.emit_one(View::reshape(shape), &[x]) }
    }
}

impl Rule for View {
    fn name(&self) -> &'static str {
        "view"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let x = &inputs[0];
        let y = TensorType::new(&self.shape, x.dtype);
        let end = self.offset.checked_add(y.len());
        // The gradient of a part lays x out in one dimension.
        let whole = y.len() == x.len();
        let fits = !y.is_empty() && (whole || x.len() <= u64::from(u32::MAX)) && end.is_some_and(|e| e <= x.len());
        ShapeError::unless(fits, self.name(), || {
            format!("{y} from element {} on is not within x {x}, or empty", self.offset)
        })?;
        Ok(vec![y])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let x = out.type_of(at.inputs[0]).clone();
        let dx = slope.outputs[0].map(|dy| {
            let len = out.type_of(dy).len();
            if len == x.len() {
                return out.reshape(dy, &x.shape);
            }
            let flat = out.reshape(dy, &[clamp(len)]);
            let pad = Pad { axis: 0, start: clamp(self.offset), to: clamp(x.len()) };
            let padded = out.emit_one(pad, &[flat]);
            out.reshape(padded, &x.shape)
        });
        vec![dx]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        let from = Runs { stride: at.inputs[0].len(), start: self.offset };
        vec![copy_rows(at, 0, [1, len], from, Runs { stride: len, start: 0 })]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let [start, len] = [self.offset, at.outputs[0].len()].map(on_host);
        vec![inputs[0][start..start + len].to_vec()]
    }

    fn view(&self, inputs: &[TensorType]) -> Option<u64> {
        Some(self.offset * inputs[0].dtype.bytes())
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        Bound::same()
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |x: &[u32], shape: &[u32], offset| {
            Specimen::new(View { shape: shape.to_vec(), offset }, &[x]).differentiable(&[0])
        };
        vec![of(&[1], &[1, 1], 0), of(&[7, 13], &[13, 7], 0), of(&[7, 13], &[3, 5], 11), of(&[300], &[257], 43)]
    }
}
