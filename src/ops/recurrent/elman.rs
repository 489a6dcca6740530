//! Elman's recurrence over a window: `y[t] = f(xp[t] + W y[t-1] + b)`.
//!
//! Elman 1990; `torch.nn.RNN`. Where no row ends before the others its steps are products that
//! accumulate into `xp[t]`, without a kernel of their own.

use super::*;
use crate::ops::matmul::kernel::{Epilogue, Extra, Product};
use crate::ops::matmul::{Layout, multiply, product};
use crate::ops::{ColumnSum, Dispatch, Emit, Function, InPlace, Rule, Site, Specimen};

/// The recurrence over one window.
///
/// Inputs: `xp` (T, B, H), the inputs' share of each pre-activation, `b_ih` in it; `state0` (1, B, H);
/// `w` (H, H), PyTorch's `weight_hh`; the bias `b_hh` (H) if there is one. Outputs: `y` (T, B, H), over
/// `xp`; the last state (1, B, H), for the next window to start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Elman {
    /// The nonlinearity.
    pub function: Function,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether time runs from the end to the start.
    pub reverse: bool,
}

impl Elman {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.inputs[0], 1, self.reverse).expect("`outputs` accepted a sequence")
    }
}

impl Rule for Elman {
    fn name(&self) -> &'static str {
        "elman"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let e = check("elman", inputs, [1, 1], self.bias, false)?;
        Ok(vec![e.sequence(1), e.state(1)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let (state0, w, y) = (at.inputs[1], at.inputs[2], at.outputs[0]);
        let of_y = out.type_of(y).clone();
        let dy = slope_or_zeros(slope, 0, &of_y, out);
        let mut from = vec![dy, y, w];
        from.extend(slope.outputs[1]);
        let op = ElmanGradient { function: self.function, last: slope.outputs[1].is_some(), reverse: self.reverse };
        let made = out.emit(op.into(), &from);
        let (dp, dstate0) = (made[0], made[1]);
        let mut answer = vec![Some(dp), Some(dstate0)];
        let dw = RecurrentWeightGradient { reverse: self.reverse, accumulate: false };
        answer.push(slope.wanted[2].then(|| out.emit_one(dw, &[dp, y, state0])));
        if self.bias {
            answer.push(slope.wanted[3].then(|| out.emit_one(ColumnSum { accumulate: false }, &[dp])));
        }
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = self.window(at);
        let extra = if self.bias { Extra::Bias } else { Extra::None };
        let epilogue = Epilogue { accumulate: true, extra, function: self.function };
        let step = Product::new(Layout::Nt, [e.batch, e.hidden, e.hidden], epilogue);
        let y = Operand::Output(0);
        let one = |t| {
            let now = Binding::update(Operand::Input(0), y, e.at(t, 1));
            product(at, &step, [e.state_before(t, 1, 0, y), at.read(2)], self.bias.then(|| at.read(3)), now)
        };
        let mut dispatches: Vec<Dispatch> = e.times().map(one).collect();
        if at.wanted[1] {
            dispatches.extend(copy_last(at, e, &[0], 1));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let mut y = inputs[0].to_vec();
        let mut h = inputs[1].to_vec();
        for t in e.times() {
            let recurrent = multiply(Layout::Nt, [batch, hidden, hidden], &h, inputs[2]);
            let now = &mut y[e.elements(t, 1)];
            for (i, p) in now.iter_mut().enumerate() {
                let bias = if self.bias { inputs[3][i % hidden] } else { 0.0 };
                *p = self.function.value(*p + recurrent[i] + bias);
            }
            h = now.to_vec();
        }
        vec![y, h]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 0)]
    }

    fn specimens() -> Vec<Specimen> {
        let sizes = [[1, 1, 1], [3, 2, 5], [5, 3, 7], [4, 17, 33]];
        let plain = sizes.map(|[t, b, h]| {
            let op = Elman { function: Function::Tanh, bias: true, reverse: b == 3 };
            Specimen::new(op, &[&[t, b, h], &[1, b, h], &[h, h], &[h]]).differentiable(&[0, 1, 2, 3])
        });
        let no_bias = Elman { function: Function::Relu, bias: false, reverse: false };
        let no_bias = Specimen::new(no_bias, &[&[4, 3, 5], &[1, 3, 5], &[5, 5]]).differentiable(&[0, 1, 2]);
        let through = [vec![1], vec![0, 1]].map(|outputs| plain[2].clone().through(&outputs));
        plain.into_iter().chain([no_bias]).chain(through).collect()
    }
}
