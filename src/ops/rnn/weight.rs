//! `dW = sum over t of dp[t]ᵀ y[t-1]`, all timesteps in one product, the first beside it.

use super::super::Op;
use super::super::common::{check_old, start};
use super::*;

/// The gradient of an [`Rnn`]'s recurrent weight.
///
/// Inputs: `dp` (T, B, H); `y` (T, B, H); `h0` (B, H); then the old gradient (H, H) if it
/// accumulates. Output: `dw` (H, H).
#[derive(Clone, Debug, PartialEq)]
pub struct RnnWeightGradient {
    /// Whether the product is added to the last input, in place.
    pub accumulate: bool,
}

impl Rule for RnnWeightGradient {
    fn name(&self) -> &'static str {
        "rnn weight gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = "rnn weight gradient";
        let e = Extents::of(&inputs[0])
            .ok_or_else(|| ShapeError { op, reason: format!("{} is no sequence (T, B, H)", inputs[0]) })?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[1], &e.sequence())?;
        ShapeError::unless_is(op, "h0 (B, H)", &inputs[2], &e.state())?;
        check_old(op, self.accumulate, inputs, &e.weight())?;
        Ok(vec![e.weight()])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Extents::of(&at.inputs[0]).expect("`outputs` accepted a sequence");
        let sum = |accumulate, rows| Product {
            layout: Layout::Tn,
            m: e.hidden,
            n: e.hidden,
            k: rows,
            epilogue: Epilogue { accumulate, ..Epilogue::default() },
        };
        let dp = |times| Binding::read(Operand::Input(0), e.bytes(times));
        let first = sum(self.accumulate, e.batch);
        let mut dispatches = vec![product(at, &first, [dp(0..1), at.read(2)], None, at.write_or_add(self.accumulate))];
        if e.time > 1 {
            let y = Binding::read(Operand::Input(1), e.bytes(0..e.time - 1));
            let onto = Binding::update(Operand::Output(0), Operand::Output(0), 0..at.outputs[0].bytes());
            let rest = sum(true, (e.time - 1).saturating_mul(e.batch));
            dispatches.push(product(at, &rest, [dp(1..e.time), y], None, onto));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Extents::of(&at.inputs[0]).expect("`outputs` accepted a sequence");
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let mut dw = start(self.accumulate, inputs, hidden * hidden);
        for t in 0..e.time as usize {
            let before = if t == 0 { inputs[2] } else { &inputs[1][e.elements(t - 1)] };
            let part = multiply(Layout::Tn, [hidden, hidden, batch], &inputs[0][e.elements(t)], before);
            dw.iter_mut().zip(part).for_each(|(dw, part)| *dw += part);
        }
        vec![dw]
    }

    fn in_place(&self) -> Vec<InPlace> {
        if self.accumulate { vec![InPlace::must(0, 3)] } else { Vec::new() }
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| RnnWeightGradient { accumulate: true }.into())
    }

    fn specimens() -> Vec<Specimen> {
        let sizes = [[1, 1, 1], [1, 3, 7], [5, 2, 3], [4, 5, 33]];
        let specimen = |accumulate, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 4] = [&[t, b, h], &[t, b, h], &[b, h], &[h, h]];
            Specimen::new(RnnWeightGradient { accumulate }, &shapes[..3 + usize::from(accumulate)])
        };
        sizes.into_iter().flat_map(|s| [specimen(false, s), specimen(true, s)]).collect()
    }
}
