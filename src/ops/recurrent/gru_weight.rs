//! The gradients of a GRU's recurrent weight and bias, of which two gates' come from `dgates` and the
//! last one's from `dq`: two ranges of one output.

use super::weight::Left;
use super::*;
use crate::ops::common::{check_old, start};
use crate::ops::{Bound, InPlace, Rule, Site, column_sum};

/// The gradient of a [`Gru`]'s recurrent weight.
///
/// Inputs: `dgates` (T, B, 3H); `dq` (T, B, H); `y` (T, B, H); `state0` (1, B, H); then the old
/// gradient (3H, H) if it accumulates. Output: `dw` (3H, H).
#[derive(Clone, Debug, PartialEq)]
pub struct GruWeightGradient {
    /// Whether time ran from the end to the start.
    pub reverse: bool,
    /// Whether the product is added to the last input, in place.
    pub accumulate: bool,
}

/// The gradient of a [`Gru`]'s recurrent bias.
///
/// Inputs: `dgates` (T, B, 3H); `dq` (T, B, H); then the old gradient (3H) if it accumulates. Output:
/// `db` (3H).
#[derive(Clone, Debug, PartialEq)]
pub struct GruBiasGradient {
    /// Whether the sum is added to the last input, in place.
    pub accumulate: bool,
}

/// The window of `dgates` and `dq`, which it refuses where they do not fit.
fn check_slopes(op: &'static str, inputs: &[TensorType]) -> Result<Window, ShapeError> {
    let e = window(op, &inputs[0], 3)?;
    ShapeError::unless_is(op, "dgates (T, B, 3H)", &inputs[0], &e.sequence(3))?;
    ShapeError::unless_is(op, "dq (T, B, H)", &inputs[1], &e.sequence(1))?;
    Ok(e)
}

/// The range of output 0, over the last input where that is to be added to.
fn write_or_add(at: &Lowering, accumulate: bool, bytes: Range<u64>) -> Binding {
    Binding { bytes, ..at.write_or_add(accumulate) }
}

/// The bytes of the first two gates and those of the last, of an output (3H, ..).
fn parts(at: &Lowering) -> [Range<u64>; 2] {
    let all = at.outputs[0].bytes();
    [0..all / 3 * 2, all / 3 * 2..all]
}

impl Rule for GruWeightGradient {
    fn name(&self) -> &'static str {
        "gru weight gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            2 => "h[t-1], a factor of the weight's gradient",
            3 => "the state that the window began with",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = check_slopes(op, inputs)?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[2], &e.sequence(1))?;
        ShapeError::unless_is(op, "the initial state (1, B, H)", &inputs[3], &e.state(1))?;
        check_old(op, self.accumulate, inputs, &e.weight(3))?;
        Ok(vec![e.weight(3)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Window::of(&at.inputs[1], 1, self.reverse).expect("`outputs` accepted a sequence");
        let of_rz = Left { operand: Operand::Input(0), gates: 3, taken: 2 };
        let of_q = Left { operand: Operand::Input(1), gates: 1, taken: 1 };
        let sums = [of_rz, of_q].into_iter().zip(parts(at));
        sums.flat_map(|(left, bytes)| e.sum_over_time(at, left, [2, 3], write_or_add(at, self.accumulate, bytes)))
            .collect()
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Window::of(&at.inputs[1], 1, self.reverse).expect("`outputs` accepted a sequence");
        let mut dw = start(self.accumulate, inputs, (3 * e.hidden * e.hidden) as usize);
        let of_rz = e.sum_on_host(inputs[0], 3, inputs[2], inputs[3]);
        let of_q = e.sum_on_host(inputs[1], 1, inputs[2], inputs[3]);
        let sum = of_rz[..2 * of_q.len()].iter().chain(&of_q);
        dw.iter_mut().zip(sum).for_each(|(dw, sum)| *dw += sum);
        vec![dw]
    }

    fn in_place(&self) -> Vec<InPlace> {
        if self.accumulate { vec![InPlace::must(0, 4)] } else { Vec::new() }
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| Self { accumulate: true, ..self.clone() }.into())
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        let (rows, width) = inputs[0].as_matrix();
        [rows, width, inputs[2].as_matrix().1].into_iter().fold(2, u64::saturating_mul)
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        if self.accumulate { None } else { Bound::sum(&[&[0, 2], &[0, 3], &[1, 2], &[1, 3]]) }
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)], vec![Operand::Input(1)], vec![Operand::Input(2), Operand::Input(3)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate, reverse, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 5] = [&[t, b, 3 * h], &[t, b, h], &[t, b, h], &[1, b, h], &[3 * h, h]];
            Specimen::new(GruWeightGradient { reverse, accumulate }, &shapes[..4 + usize::from(accumulate)])
        };
        vec![of(false, false, [1, 1, 1]), of(true, true, [3, 2, 7]), of(false, true, [4, 5, 8])]
    }
}

impl Rule for GruBiasGradient {
    fn name(&self) -> &'static str {
        "gru bias gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let e = check_slopes(self.name(), inputs)?;
        check_old(self.name(), self.accumulate, inputs, &e.bias(3))?;
        Ok(vec![e.bias(3)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Window::of(&at.inputs[1], 1, false).expect("`outputs` accepted a sequence");
        let sums = [e.width(2), e.hidden].into_iter().enumerate().zip(parts(at));
        let sums = sums.map(|((i, cols), bytes)| {
            column_sum::dispatch(at, i, cols, write_or_add(at, self.accumulate, bytes), self.accumulate)
        });
        sums.collect()
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let hidden = crate::ops::clamp(at.outputs[0].len() / 3) as usize;
        let mut db = start(self.accumulate, inputs, 3 * hidden);
        for (dgates, dq) in inputs[0].chunks(3 * hidden).zip(inputs[1].chunks(hidden)) {
            let row = dgates[..2 * hidden].iter().chain(dq);
            db.iter_mut().zip(row).for_each(|(db, slope)| *db += slope);
        }
        vec![db]
    }

    fn in_place(&self) -> Vec<InPlace> {
        if self.accumulate { vec![InPlace::must(0, 2)] } else { Vec::new() }
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| Self { accumulate: true }.into())
    }

    fn bound(&self, inputs: &[TensorType], _: usize) -> Option<Bound> {
        if self.accumulate { None } else { Bound::rows(inputs[0].as_matrix().0, &[0, 1]) }
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)], vec![Operand::Input(1)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 3] = [&[t, b, 3 * h], &[t, b, h], &[3 * h]];
            Specimen::new(GruBiasGradient { accumulate }, &shapes[..2 + usize::from(accumulate)])
        };
        vec![of(false, [1, 1, 1]), of(true, [3, 2, 7]), of(false, [2, 5, 65])]
    }
}
