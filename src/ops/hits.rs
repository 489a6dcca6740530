//! How many predictions are right: classes whose logit is the greatest, bits on the right side of 0.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{index, scattered};
use super::sum::dispatch as sum_dispatch;
use super::{Data, Dispatch, Emit, IGNORE, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, Sum, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// The number of right predictions among `logits` (N, V), where N may be several dimensions: from
/// `(logits, targets)` to `(hits f32[1], rows f32 (N))`.
///
/// Targets that are `u32` (N) are classes, of which the first greatest logit is the guess; those that
/// are `f32` (N, V) are bits, guessed to be 1 where the logit is above 0. A target [`IGNORE`] or NaN
/// is no hit. Nothing is learnt from it: it has no gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Hits;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    bits: u32,
}

/// Whether the targets are bits, one for each logit.
fn are_bits(targets: &TensorType) -> bool {
    targets.dtype != DType::U32
}

impl Rule for Hits {
    fn name(&self) -> &'static str {
        "hits"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (logits, targets) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "logits", logits)?;
        let rows = logits.shape.split_last().map_or(&[][..], |(_, rows)| rows);
        let wanted = if are_bits(targets) { &logits.shape[..] } else { rows };
        ShapeError::unless(!logits.shape.is_empty() && wanted == targets.shape, self.name(), || {
            format!("logits {logits} (N, V) and targets {targets}, (N) of classes or (N, V) of bits, do not fit")
        })?;
        Ok(vec![TensorType::f32(&[1]), TensorType::f32(rows)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (rows, cols) = at.inputs[0].as_matrix();
        let params = Params { rows: clamp(rows), cols: clamp(cols), bits: are_bits(&at.inputs[1]).into() };
        let by_row = Dispatch {
            shader: shader!("hits").with(&[("H", at.storage(Operand::Input(0)))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(rows, 64),
            bindings: vec![at.read(0), at.read(1), at.write(1)],
            tile: None,
        };
        let sum = Sum { scale: 1.0, accumulate: false };
        vec![by_row, sum_dispatch(&sum, at, at.read_again(1))]
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (_, cols) = at.inputs[0].as_matrix();
        let rows = inputs[0].chunks(clamp(cols) as usize);
        let hit = |right: bool| f64::from(u8::from(right));
        let rows: Vec<f64> = if are_bits(&at.inputs[1]) {
            let bits = inputs[1].chunks(clamp(cols) as usize);
            let right = |x: f64, t: f64| hit(!t.is_nan() && (x > 0.0) == (t > 0.5));
            rows.zip(bits).map(|(row, bits)| row.iter().zip(bits).map(|(&x, &t)| right(x, t)).sum()).collect()
        } else {
            let guess = |row: &[f64]| (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            rows.zip(inputs[1]).map(|(row, &class)| hit(guess(row) == index(class))).collect()
        };
        vec![vec![rows.iter().sum()], rows]
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)]]
    }

    fn specimens() -> Vec<Specimen> {
        let classes = |rows: &[u32], v: u32| {
            let n = rows.iter().product();
            let mut targets = scattered(n, v);
            targets.iter_mut().step_by(5).for_each(|t| *t = IGNORE);
            Specimen::new(Hits, &[&[rows, &[v]].concat(), rows]).ids(1, &targets)
        };
        let bits = |rows: u32, v: u32| {
            let kinds = [0.0, 1.0, 1.0, f64::NAN, 0.0];
            let targets = (0..rows * v).map(|i| kinds[i as usize % 5]).collect();
            Specimen::new(Hits, &[&[rows, v], &[rows, v]]).filled(1, Data::Values(targets))
        };
        vec![classes(&[1], 1), classes(&[65], 3), classes(&[3, 7], 13), bits(1, 1), bits(67, 3)]
    }
}
