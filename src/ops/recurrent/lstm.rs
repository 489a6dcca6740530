//! A long short-term memory over a window.
//!
//! ```text
//! i|f|g|o = σ|σ|tanh|σ(xp[t] + W h[t-1] + b)
//! c[t] = f c[t-1] + i g
//! h[t] = o tanh(c[t])
//! ```
//!
//! Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; `torch.nn.LSTM`.

use super::cell::{BIAS, Chosen, LENGTHS, LSTM, Step};
use super::whole::Steps;
use super::*;
use crate::ops::matmul::{Layout, multiply};
use crate::ops::{ColumnSum, Function, InPlace, Rule, Site};

/// An LSTM over one window.
///
/// Inputs: `xp` (T, B, 4H), the inputs' share of the pre-activations, `b_ih` in it, with the gates
/// i|f|g|o; `state0` (2, B, H), h then c; `w` (4H, H), PyTorch's `weight_hh`; the bias `b_hh` (4H) if
/// there is one; `lengths` u32 (B) if there are.
///
/// Outputs: `y` (T, B, H); `c` (T, B, H) and `gates` (T, B, 4H), the latter over `xp`, which are for
/// the way back only; the last state (2, B, H), for the next window to start from. Gates of a held row
/// are 0|1|0|0. Gradients flow through `y` and the last state.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether rows end at lengths of their own.
    pub lengths: bool,
    /// Whether time runs from the end to the start.
    pub reverse: bool,
}

impl Lstm {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.inputs[0], 4, self.reverse).expect("`outputs` accepted a sequence")
    }
}

impl Rule for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            1 => "the state that a segment is made again from",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let e = check("lstm", inputs, [4, 2], self.bias, self.lengths)?;
        Ok(vec![e.sequence(1), e.sequence(1), e.sequence(4), e.state(2)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let (state0, w) = (at.inputs[1], at.inputs[2]);
        let (y, c, gates) = (at.outputs[0], at.outputs[1], at.outputs[2]);
        let [of_y, of_last] = [y, at.outputs[3]].map(|value| out.type_of(value).clone());
        let dy = slope_or_zeros(slope, 0, &of_y, out);
        let carry = slope_or_zeros(slope, 3, &of_last, out);
        let mut from = vec![dy, gates, c, state0, w, carry];
        from.extend(self.lengths.then(|| at.inputs[at.inputs.len() - 1]));
        let made = out.emit(LstmGradient { lengths: self.lengths, reverse: self.reverse }.into(), &from);
        let (dgates, dstate0) = (made[0], made[1]);
        let mut answer = vec![Some(dgates), Some(dstate0)];
        let dw = RecurrentWeightGradient { reverse: self.reverse, accumulate: false };
        answer.push(slope.wanted[2].then(|| out.emit_one(dw, &[dgates, y, state0])));
        if self.bias {
            answer.push(slope.wanted[3].then(|| out.emit_one(ColumnSum { accumulate: false }, &[dgates])));
        }
        answer.resize(at.inputs.len(), None);
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = self.window(at);
        let flags = u32::from(self.bias) * BIAS + u32::from(self.lengths) * LENGTHS;
        let step = Step { batch: e.batch, hidden: e.hidden, depth: e.hidden, stride: e.hidden, flags, t: 0 };
        let [y, c, gates] = [0, 1, 2].map(Operand::Output);
        // Something has to be bound, even though it is not read.
        let bias = at.read(if self.bias { 3 } else { 2 });
        let lengths = at.read(if self.lengths { at.inputs.len() - 1 } else { 2 });
        let chosen = Chosen::of(e.time);
        let one = |t: u32| {
            let bindings = [
                e.state_before(at, t, [1, 0], y),
                at.read(2),
                bias.clone(),
                at.update_one(Operand::Input(0), gates, t),
                e.state_before(at, t, [1, 1], c),
                at.write_one(c, t),
                at.write_one(y, t),
                lengths.clone(),
            ];
            LSTM.dispatch_of(at, Step { t, ..step }, bindings, &chosen)
        };
        let whole = || {
            let bindings = [
                at.one(Operand::Input(1), 0),
                at.read(2),
                bias.clone(),
                at.update_all(Operand::Input(0), gates),
                at.one(Operand::Input(1), 1),
                at.write_all(c),
                at.write_all(y),
                lengths.clone(),
            ];
            LSTM.window(at, Steps::forward(e, step), &one(e.last()), bindings)
        };
        let mut dispatches = whole().map_or_else(|| e.times().map(one).collect(), |whole| vec![whole]);
        if at.wanted[3] {
            dispatches.extend(copy_last(at, e, &[0, 1], 3));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let lengths = self.lengths.then(|| inputs[inputs.len() - 1]);
        let (sigmoid, tanh) = (Function::Sigmoid, Function::Tanh);
        let mut y = vec![0.0; e.time as usize * batch * hidden];
        let mut all_c = y.clone();
        let mut gates = inputs[0].to_vec();
        let (mut h, mut c) = (inputs[1][..batch * hidden].to_vec(), inputs[1][batch * hidden..].to_vec());
        for t in e.times() {
            let recurrent = multiply(Layout::Nt, [batch, 4 * hidden, hidden], &h, inputs[2]);
            let now = &mut gates[e.elements(t, 4)];
            for (row, unit) in (0..batch).flat_map(|row| (0..hidden).map(move |unit| (row, unit))) {
                let at = [0, 1, 2, 3].map(|gate| row * 4 * hidden + gate * hidden + unit);
                let bias = |i: usize| if self.bias { inputs[3][i % (4 * hidden)] } else { 0.0 };
                let [i, f, g, o] = at.map(|i| now[i] + recurrent[i] + bias(i));
                let made = match is_held(lengths, t, row) {
                    true => [0.0, 1.0, 0.0, 0.0],
                    false => [sigmoid.value(i), sigmoid.value(f), tanh.value(g), sigmoid.value(o)],
                };
                at.into_iter().zip(made).for_each(|(i, gate)| now[i] = gate);
                let [i, f, g, o] = made;
                let at = row * hidden + unit;
                c[at] = f * c[at] + i * g;
                if !is_held(lengths, t, row) {
                    h[at] = o * tanh.value(c[at]);
                }
            }
            y[e.elements(t, 1)].copy_from_slice(&h);
            all_c[e.elements(t, 1)].copy_from_slice(&c);
        }
        vec![y, all_c, gates, [h, c].concat()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(2, 0)]
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        products(&inputs[0], &inputs[2])
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        let kept = [Operand::Input(0), Operand::Input(1)].into_iter().chain([0, 1, 2, 3].map(Operand::Output));
        vec![kept.collect(), vec![Operand::Input(2)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |bias, lengths: Option<&[u32]>, reverse, extents| {
            let op = Lstm { bias, lengths: lengths.is_some(), reverse };
            specimen(op, [4, 2], bias, lengths, extents)
        };
        vec![
            of(true, None, false, [1, 1, 1]),
            of(true, None, false, [3, 2, 5]).through(&[0, 3]),
            of(false, None, true, [4, 3, 4]).through(&[3]),
            of(true, Some(&[2, 0, 4]), false, [4, 3, 7]).through(&[0, 3]),
            of(false, Some(&[3, 4, 1, 0, 2]), true, [4, 5, 4]).through(&[0, 3]),
            // One past the tiles of each family.
            of(true, None, false, [2, 33, 17]),
            of(true, None, true, [2, 17, 36]),
        ]
    }
}
