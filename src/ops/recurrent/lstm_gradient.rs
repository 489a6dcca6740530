//! An LSTM backward through a window: `dgates[t]` over `gates[t]`, from the last timestep to the first.
//!
//! ```text
//! dh = dy[t] + Wᵀ dgates[t+1]                dc += dh o (1 - tanh(c)²)
//! di|df|dg|do = dc g i (1-i) | dc c[t-1] f (1-f) | dc i (1-g²) | dh tanh(c) o (1-o)
//! dc = dc f
//! ```
//!
//! `c[t]` is worked out again from `c[t-1]`, which is needed anyway.

use super::cell::{Chosen, LENGTHS, LSTM_GRADIENT, Step};
use super::whole::Steps;
use super::*;
use crate::ops::matmul::kernel::{Epilogue, Product};
use crate::ops::matmul::{Layout, multiply, product};
use crate::ops::{Data, InPlace, Rule, Site};

/// The gradient of the loss for each pre-activation of an [`Lstm`], and for its initial state.
///
/// Inputs: `dy` (T, B, H); `gates` (T, B, 4H) and `c` (T, B, H) as the LSTM left them; `state0`
/// (2, B, H); `w` (4H, H); the last state's gradient (2, B, H); `lengths` u32 (B) if there are.
/// Outputs: `dgates` (T, B, 4H), over `gates`, which is also the gradient of `xp`; the initial state's
/// gradient (2, B, H), over the last state's, which is carried through the window there.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmGradient {
    /// Whether rows end at lengths of their own.
    pub lengths: bool,
    /// Whether time ran from the end to the start.
    pub reverse: bool,
}

impl LstmGradient {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.inputs[1], 4, self.reverse).expect("`outputs` accepted a sequence")
    }
}

impl Rule for LstmGradient {
    fn name(&self) -> &'static str {
        "lstm gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the gradient that is handed to it",
            1 => "the gates, whose slopes are told from their results",
            2 => "the cells, for c[t-1] and tanh(c[t])",
            3 => "the state that the window began with",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = window(op, &inputs[1], 4)?;
        ShapeError::unless_is(op, "dy (T, B, H)", &inputs[0], &e.sequence(1))?;
        ShapeError::unless_is(op, "the gates (T, B, 4H)", &inputs[1], &e.sequence(4))?;
        ShapeError::unless_is(op, "c (T, B, H)", &inputs[2], &e.sequence(1))?;
        ShapeError::unless_is(op, "the initial state (2, B, H)", &inputs[3], &e.state(2))?;
        ShapeError::unless_is(op, "the recurrent weight (4H, H)", &inputs[4], &e.weight(4))?;
        ShapeError::unless_is(op, "the last state's gradient (2, B, H)", &inputs[5], &e.state(2))?;
        if self.lengths {
            check_lengths(op, &inputs[6], e)?;
        }
        Ok(vec![e.sequence(4), e.state(2)])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        self.lower_in_pieces(at, self.window(at).time)
    }

    fn lower_in_pieces(&self, at: &Lowering, steps: u32) -> Vec<Dispatch> {
        let e = self.window(at);
        let flags = u32::from(self.lengths) * LENGTHS;
        let step = Step { batch: e.batch, hidden: e.hidden, depth: 0, stride: e.width(4), flags, t: 0 };
        let [dgates, carry] = [0, 1].map(Operand::Output);
        let w = at.read(4);
        let lengths = at.read(if self.lengths { 6 } else { 4 });
        let chosen = Chosen::of(steps);
        let one = |t: u32| {
            // A product of depth 0 is nothing but its cell.
            let (depth, after) = match e.after(t) {
                None => (0, w.clone()),
                Some(after) => (e.width(4), at.one(dgates, after)),
            };
            let carried = if depth == 0 { Operand::Input(5) } else { carry };
            let bindings = [
                after,
                w.clone(),
                at.one(Operand::Input(0), t),
                at.update_one(Operand::Input(1), dgates, t),
                e.state_before(at, t, [3, 1], Operand::Input(2)),
                at.update_all(carried, carry),
                lengths.clone(),
            ];
            LSTM_GRADIENT.dispatch_of(at, Step { depth, t, ..step }, bindings, &chosen)
        };
        let whole = |times: &Range<u32>| {
            let carried = if e.made_before(times) == 0 { Operand::Input(5) } else { carry };
            let after = e.after_all(times).map_or_else(|| w.clone(), |after| at.one(dgates, after));
            let bindings = [
                at.one(Operand::Input(3), 1),
                w.clone(),
                at.some(Operand::Input(0), times),
                at.update_some(Operand::Input(1), dgates, times),
                at.read(2),
                at.update_all(carried, carry),
                lengths.clone(),
                after,
            ];
            let steps = Steps::backward(e, Step { depth: e.width(4), ..step }, times);
            LSTM_GRADIENT.window(at, steps, &one(e.first()), bindings).map(|window| vec![window])
        };
        let mut dispatches = e.backward(steps, whole, one);
        if at.wanted[1] {
            let onto = Epilogue { accumulate: true, ..Epilogue::default() };
            let dh0 = Product::new(Layout::Nn, [e.batch, e.hidden, e.width(4)], onto);
            let first = at.one(dgates, e.first());
            dispatches.push(product(at, &dh0, [first, w], None, at.update_one(carry, carry, 0)));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let lengths = self.lengths.then(|| inputs[6]);
        let mut dgates = inputs[1].to_vec();
        let (mut dh, mut dc) = (inputs[5][..batch * hidden].to_vec(), inputs[5][batch * hidden..].to_vec());
        for t in e.times().rev() {
            let dy = &inputs[0][e.elements(t, 1)];
            let before = match e.before(t) {
                None => &inputs[3][batch * hidden..],
                Some(before) => &inputs[2][e.elements(before, 1)],
            };
            let now = &mut dgates[e.elements(t, 4)];
            // What a held row hands on without a product.
            let mut through = vec![0.0; batch * hidden];
            for (row, unit) in (0..batch).flat_map(|row| (0..hidden).map(move |unit| (row, unit))) {
                let at = [0, 1, 2, 3].map(|gate| row * 4 * hidden + gate * hidden + unit);
                let [i, f, g, o] = at.map(|i| now[i]);
                let of = row * hidden + unit;
                let dh = dh[of] + dy[of];
                let slopes = if is_held(lengths, t, row) {
                    through[of] = dh;
                    [0.0; 4]
                } else {
                    let tanh_c = (f * before[of] + i * g).tanh();
                    let d = dc[of] + dh * o * (1.0 - tanh_c * tanh_c);
                    dc[of] = d * f;
                    let of_f = d * before[of] * f * (1.0 - f);
                    [d * g * i * (1.0 - i), of_f, d * i * (1.0 - g * g), dh * tanh_c * o * (1.0 - o)]
                };
                at.into_iter().zip(slopes).for_each(|(i, slope)| now[i] = slope);
            }
            dh = multiply(Layout::Nn, [batch, hidden, 4 * hidden], now, inputs[4]);
            dh.iter_mut().zip(through).for_each(|(dh, through)| *dh += through);
        }
        vec![dgates, [dh, dc].concat()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 1), InPlace::must(1, 5)]
    }

    fn is_stepwise(&self) -> bool {
        true
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        products(&inputs[0], &inputs[4])
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        // What is carried from step to step is a sum, and stays in full.
        let kept = [0, 1, 2, 3].map(Operand::Input).into_iter().chain([Operand::Output(0)]);
        vec![kept.collect(), vec![Operand::Input(4)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |lengths: Option<&[u32]>, reverse, [t, b, h]: [u32; 3]| {
            let (y, gates, state, w) = ([t, b, h], [t, b, 4 * h], [2, b, h], [4 * h, h]);
            let shapes: [&[u32]; 7] = [&y, &gates, &y, &state, &w, &state, &[b]];
            let op = LstmGradient { lengths: lengths.is_some(), reverse };
            let specimen = Specimen::new(op, &shapes[..6 + usize::from(lengths.is_some())]);
            let specimen = specimen.filled(1, Data::Uniform(0.0, 1.0));
            lengths.map_or(specimen.clone(), |lengths| specimen.ids(6, lengths))
        };
        vec![
            of(None, false, [1, 1, 1]),
            of(None, false, [3, 2, 5]),
            of(Some(&[2, 0, 4]), false, [4, 3, 7]),
            of(Some(&[3, 4, 1, 0, 2]), true, [4, 5, 4]),
            of(None, true, [2, 33, 17]),
            of(None, false, [2, 17, 36]),
        ]
    }
}
