//! `y[s, b] = x[s, b]` where `keep[b]`, else 0: how carried state is forgotten at a sequence's start.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::index;
use super::{Data, Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// `x (S, B, H)` with the rows where `keep u32 (B)` is 0 replaced by zeros; `keep` is 0 or 1.
///
/// The state of a recurrence is `S` tensors `(B, H)`, of which all have the same rows forgotten. With
/// one of them `S` may be left out, and whatever dimensions `B` stands for, `keep` has them too.
///
/// A row left out is exactly zero whatever it held, infinities and NaN too. With `mends` so is every element
/// that is infinite or NaN in the rows that stay: a state that has overflowed in a step that was passed over
/// must not spoil all that come after it.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskRows {
    /// Whether elements that are no finite numbers become 0.
    pub mends: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    rows: u32,
    cols: u32,
    mends: u32,
}

impl Rule for MaskRows {
    fn name(&self) -> &'static str {
        "mask rows"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (x, keep) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "x", x)?;
        let rows = x.shape.split_last().map_or(&[][..], |(_, rows)| rows);
        let beside = rows.len() == keep.shape.len() + 1;
        let fits = keep.dtype == DType::U32 && !x.shape.is_empty() && rows[usize::from(beside)..] == keep.shape[..];
        ShapeError::unless(fits, self.name(), || {
            format!("x {x} (S, B, H) and keep {keep} (B) differ in B, or keep is not u32")
        })?;
        Ok(vec![x.clone()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let dx = slope.outputs[0].map(|dy| out.emit_one(MaskRows { mends: false }, &[dy, at.inputs[1]]));
        vec![dx, None]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.outputs[0].len();
        let (_, cols) = at.outputs[0].as_matrix();
        let (rows, mends) = (clamp(at.inputs[1].len()), self.mends.into());
        let params = Params { len: clamp(len), rows, cols: clamp(cols), mends };
        vec![at.by_rows(shader!("mask_rows"), bytes_of(&params).to_vec(), vec![at.read(0), at.read(1), at.write(0)])]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (_, cols) = at.outputs[0].as_matrix();
        let rows = inputs[0].chunks(clamp(cols) as usize).zip(inputs[1].iter().cycle());
        let stays = |x: f64, keep: f64| index(keep) != 0 && (x.is_finite() || !self.mends);
        let kept = rows.flat_map(|(row, &keep)| row.iter().map(move |&x| if stays(x, keep) { x } else { 0.0 }));
        vec![kept.collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0)]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |b: u32, h: u32| {
            let keep: Vec<u32> = (0..b).map(|i| u32::from(i % 3 != 1)).collect();
            Specimen::new(MaskRows { mends: false }, &[&[b, h], &[b]]).ids(1, &keep)
        };
        // A state that has overflowed must not outlive its sequence.
        let spoilt = Data::Values(vec![f64::NAN, f64::INFINITY, 0.5, -0.5]);
        vec![
            of(1, 1).differentiable(&[0]),
            of(7, 13).differentiable(&[0]),
            of(1, 257).differentiable(&[0]),
            of(257, 1).differentiable(&[0]),
            Specimen::new(MaskRows { mends: true }, &[&[2, 5, 3], &[5]]).ids(1, &[1, 0, 0, 1, 1]).differentiable(&[0]),
            Specimen::new(MaskRows { mends: false }, &[&[2, 2], &[2]]).ids(1, &[0, 1]).filled(0, spoilt.clone()),
            Specimen::new(MaskRows { mends: true }, &[&[2, 2], &[2]]).ids(1, &[1, 1]).filled(0, spoilt),
        ]
    }
}
