//! A gated recurrent unit over a window, its reset gate behind the product.
//!
//! ```text
//! r|z  = σ(xp[t] + W h[t-1] + b)        of the first two gates
//! q    = W_n h[t-1] + b_n
//! n    = tanh(xp_n[t] + r q)
//! h[t] = (1 - z) n + z h[t-1]
//! ```
//!
//! Cho et al. 2014, in the form of `torch.nn.GRU`.

use super::cell::{BIAS, Chosen, GRU, LENGTHS, Step};
use super::whole::Steps;
use super::*;
use crate::ops::matmul::{Layout, multiply};
use crate::ops::{Function, InPlace, Rule, Site};

/// A GRU over one window.
///
/// Inputs: `xp` (T, B, 3H), the inputs' share of the pre-activations, `b_ih` in it, with the gates
/// r|z|n; `state0` (1, B, H); `w` (3H, H), PyTorch's `weight_hh`; the bias `b_hh` (3H) if there is one;
/// `lengths` u32 (B) if there are.
///
/// Outputs: `y` (T, B, H); `gates` (T, B, 3H), over `xp`, and `q` (T, B, H), which are for the way back
/// only; the last state (1, B, H), for the next window to start from. Gates of a held row are 0|1|0 and
/// its `q` is 0. Gradients flow through `y` and the last state.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether rows end at lengths of their own.
    pub lengths: bool,
    /// Whether time runs from the end to the start.
    pub reverse: bool,
}

impl Gru {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.inputs[0], 3, self.reverse).expect("`outputs` accepted a sequence")
    }
}

impl Rule for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            1 => "the state that a segment is made again from",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let e = check("gru", inputs, [3, 1], self.bias, self.lengths)?;
        Ok(vec![e.sequence(1), e.sequence(3), e.sequence(1), e.state(1)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let (state0, w) = (at.inputs[1], at.inputs[2]);
        let (y, gates, q) = (at.outputs[0], at.outputs[1], at.outputs[2]);
        let [of_y, of_last] = [y, at.outputs[3]].map(|value| out.type_of(value).clone());
        let dy = slope_or_zeros(slope, 0, &of_y, out);
        let carry = slope_or_zeros(slope, 3, &of_last, out);
        // A held row says so by its gates: lengths are not needed.
        let made = out.emit(GruGradient { reverse: self.reverse }.into(), &[dy, gates, q, y, state0, w, carry]);
        let (dgates, dq, dstate0) = (made[0], made[1], made[2]);
        let mut answer = vec![Some(dgates), Some(dstate0)];
        let dw = GruWeightGradient { reverse: self.reverse, accumulate: false };
        answer.push(slope.wanted[2].then(|| out.emit_one(dw, &[dgates, dq, y, state0])));
        if self.bias {
            answer.push(slope.wanted[3].then(|| out.emit_one(GruBiasGradient { accumulate: false }, &[dgates, dq])));
        }
        answer.resize(at.inputs.len(), None);
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = self.window(at);
        let flags = u32::from(self.bias) * BIAS + u32::from(self.lengths) * LENGTHS;
        let step = Step { batch: e.batch, hidden: e.hidden, depth: e.hidden, stride: e.hidden, flags, t: 0 };
        let [y, gates, q] = [0, 1, 2].map(Operand::Output);
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
                at.write_one(q, t),
                at.write_one(y, t),
                lengths.clone(),
            ];
            GRU.dispatch_of(at, Step { t, ..step }, bindings, &chosen)
        };
        let whole = || {
            let bindings = [
                at.one(Operand::Input(1), 0),
                at.read(2),
                bias.clone(),
                at.update_all(Operand::Input(0), gates),
                at.write_all(q),
                at.write_all(y),
                lengths.clone(),
            ];
            GRU.window(at, Steps::forward(e, step), &one(e.last()), bindings)
        };
        let mut dispatches = whole().map_or_else(|| e.times().map(one).collect(), |whole| vec![whole]);
        if at.wanted[3] {
            dispatches.extend(copy_last(at, e, &[0], 3));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let lengths = self.lengths.then(|| inputs[inputs.len() - 1]);
        let mut y = vec![0.0; e.time as usize * batch * hidden];
        let mut all_q = y.clone();
        let mut gates = inputs[0].to_vec();
        let mut h = inputs[1].to_vec();
        for t in e.times() {
            let recurrent = multiply(Layout::Nt, [batch, 3 * hidden, hidden], &h, inputs[2]);
            let now = &mut gates[e.elements(t, 3)];
            for (row, unit) in (0..batch).flat_map(|row| (0..hidden).map(move |unit| (row, unit))) {
                let at = [0, 1, 2].map(|gate| row * 3 * hidden + gate * hidden + unit);
                let bias = |i: usize| if self.bias { inputs[3][i % (3 * hidden)] } else { 0.0 };
                let [of_r, of_z, q] = at.map(|i| recurrent[i] + bias(i));
                let [r, z] = [now[at[0]] + of_r, now[at[1]] + of_z].map(|x| Function::Sigmoid.value(x));
                let n = (now[at[2]] + r * q).tanh();
                let held = is_held(lengths, t, row);
                let (made, q) = if held { ([0.0, 1.0, 0.0], 0.0) } else { ([r, z, n], q) };
                at.into_iter().zip(made).for_each(|(i, gate)| now[i] = gate);
                let [_, z, n] = made;
                let of = row * hidden + unit;
                h[of] = (1.0 - z) * n + z * h[of];
                all_q[e.elements(t, 1)][of] = q;
            }
            y[e.elements(t, 1)].copy_from_slice(&h);
        }
        vec![y, gates, all_q, h]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(1, 0)]
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
            let op = Gru { bias, lengths: lengths.is_some(), reverse };
            specimen(op, [3, 1], bias, lengths, extents)
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
