//! `dw = sum over t of dgates[t]ᵀ h[t-1]`, all timesteps in one product, the first beside it.

use super::*;
use crate::ops::common::{check_old, start};
use crate::ops::matmul::kernel::{Epilogue, Product};
use crate::ops::matmul::{Layout, multiply, product};
use crate::ops::{Bound, InPlace, Rule, Site};

/// The gradient of a recurrent weight whose gates are all linear in the state.
///
/// Inputs: `dgates` (T, B, GH), of G gates; `y` (T, B, H); `state0` (S, B, H), h first; then the old
/// gradient (GH, H) if it accumulates. Output: `dw` (GH, H).
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentWeightGradient {
    /// Whether time ran from the end to the start.
    pub reverse: bool,
    /// Whether the product is added to the last input, in place.
    pub accumulate: bool,
}

/// The left factor of a sum over all timesteps: some columns of a (T, B, W) tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// The tensor.
    pub operand: Operand,
    /// W, in H.
    pub gates: u32,
    /// How many columns, from the first on, in H.
    pub taken: u32,
}

impl Window {
    /// `onto = (onto +) sum over t of left[t]ᵀ h[t-1]`, `y` and `state0` being inputs.
    pub(super) fn sum_over_time(
        self,
        at: &Lowering,
        left: Left,
        [y, state0]: [usize; 2],
        onto: Binding,
    ) -> Vec<Dispatch> {
        let sum = |accumulate, rows| {
            let epilogue = Epilogue { accumulate, ..Epilogue::default() };
            Product::new(Layout::Tn, [self.width(left.taken), self.hidden, rows], epilogue)
                .with_stride(self.width(left.gates))
        };
        // From the second timestep on the state before is in `y`; both are shifted by one.
        let (later, earlier) = (1..self.time, 0..self.time - 1);
        let (followers, leaders) = if self.reverse { (earlier, later) } else { (later, earlier) };
        let of = |times: Range<u32>| Binding::read(left.operand, at.entries(left.operand, times));
        let first = sum(onto.reads.is_some(), self.batch);
        let h0 = at.one(Operand::Input(state0), 0);
        let again = Binding { reads: onto.writes, ..onto.clone() };
        let factors = [of(self.first()..self.first() + 1), h0];
        let mut dispatches = vec![product(at, &first, factors, None, onto)];
        if self.time > 1 {
            let rest = sum(true, (self.time - 1).saturating_mul(self.batch));
            let y = Binding::read(Operand::Input(y), at.entries(Operand::Input(y), leaders));
            dispatches.push(product(at, &rest, [of(followers), y], None, again));
        }
        dispatches
    }

    /// What [`Self::sum_over_time`] adds, for a left factor (T, B, GH) all of whose columns are taken.
    pub(super) fn sum_on_host(self, left: &[f64], gates: u32, y: &[f64], state0: &[f64]) -> Vec<f64> {
        let (batch, hidden) = (self.batch as usize, self.hidden as usize);
        let width = gates as usize * hidden;
        let mut sum = vec![0.0; width * hidden];
        for t in 0..self.time {
            let before = self.before(t).map_or(&state0[..batch * hidden], |before| &y[self.elements(before, 1)]);
            let part = multiply(Layout::Tn, [width, hidden, batch], &left[self.elements(t, gates)], before);
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        sum
    }
}

impl RecurrentWeightGradient {
    /// The window and G.
    fn extents(&self, dgates: &TensorType, y: &TensorType) -> Option<(Window, u32)> {
        let e = Window::of(y, 1, self.reverse)?;
        let gates = dgates.shape.last()?.checked_div(e.hidden)?;
        Some((e, gates))
    }
}

impl Rule for RecurrentWeightGradient {
    fn name(&self) -> &'static str {
        "recurrent weight gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            1 => "h[t-1], a factor of the weight's gradient",
            2 => "the state that the window began with",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let none = || format!("y {} is no sequence (T, B, H)", inputs[1]);
        let (e, gates) = self.extents(&inputs[0], &inputs[1]).ok_or_else(|| ShapeError { op, reason: none() })?;
        ShapeError::unless_is(op, "dgates (T, B, GH)", &inputs[0], &e.sequence(gates))?;
        let tensors = inputs[2].shape.first().copied().unwrap_or(1);
        ShapeError::unless_is(op, "the initial state (S, B, H)", &inputs[2], &e.state(tensors))?;
        check_old(op, self.accumulate, inputs, &e.weight(gates))?;
        Ok(vec![e.weight(gates)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (e, gates) = self.extents(&at.inputs[0], &at.inputs[1]).expect("`outputs` accepted these");
        let left = Left { operand: Operand::Input(0), gates, taken: gates };
        e.sum_over_time(at, left, [1, 2], at.write_or_add(self.accumulate))
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let (e, gates) = self.extents(&at.inputs[0], &at.inputs[1]).expect("`outputs` accepted these");
        let mut dw = start(self.accumulate, inputs, (gates * e.hidden * e.hidden) as usize);
        let sum = e.sum_on_host(inputs[0], gates, inputs[1], inputs[2]);
        dw.iter_mut().zip(sum).for_each(|(dw, sum)| *dw += sum);
        vec![dw]
    }

    fn in_place(&self) -> Vec<InPlace> {
        if self.accumulate { vec![InPlace::must(0, 3)] } else { Vec::new() }
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| Self { accumulate: true, ..self.clone() }.into())
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        let (rows, width) = inputs[0].as_matrix();
        [rows, width, inputs[1].as_matrix().1].into_iter().fold(2, u64::saturating_mul)
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        if self.accumulate { None } else { Bound::sum(&[&[0, 1], &[0, 2]]) }
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0)], vec![Operand::Input(1), Operand::Input(2)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate, reverse, gates: u32, states: u32, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 4] = [&[t, b, gates * h], &[t, b, h], &[states, b, h], &[gates * h, h]];
            Specimen::new(RecurrentWeightGradient { reverse, accumulate }, &shapes[..3 + usize::from(accumulate)])
        };
        vec![
            of(false, false, 1, 1, [1, 1, 1]),
            of(true, true, 4, 2, [1, 3, 7]),
            of(false, true, 4, 2, [5, 2, 3]),
            of(true, false, 1, 1, [4, 5, 33]),
            of(false, false, 4, 2, [4, 5, 8]),
        ]
    }
}
