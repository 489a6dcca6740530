//! Elman's recurrence over a window: `y[t] = f(xp[t] + W y[t-1] + b)`.
//!
//! Elman 1990; `torch.nn.RNN`. Where no row ends before the others its steps are products that
//! accumulate into `xp[t]`, without a kernel of their own.

use super::cell::{BIAS, ELMAN, FUNCTION, LENGTHS, Step};
use super::whole::Steps;
use super::*;
use crate::ops::matmul::kernel::{Epilogue, Extra, Product};
use crate::ops::matmul::{Layout, multiply, product};
use crate::ops::{ColumnSum, Function, InPlace, Rule, Site};

/// The recurrence over one window.
///
/// Inputs: `xp` (T, B, H), the inputs' share of each pre-activation, `b_ih` in it; `state0` (1, B, H);
/// `w` (H, H), PyTorch's `weight_hh`; the bias `b_hh` (H) if there is one; `lengths` u32 (B) if there are.
/// Outputs: `y` (T, B, H), over `xp`; the last state (1, B, H), for the next window to start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Elman {
    /// The nonlinearity.
    pub function: Function,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether rows end at lengths of their own.
    pub lengths: bool,
    /// Whether time runs from the end to the start.
    pub reverse: bool,
}

impl Elman {
    fn window(&self, at: &Lowering) -> Window {
        Window::of(&at.inputs[0], 1, self.reverse).expect("`outputs` accepted a sequence")
    }

    /// A timestep of rows none of which ends before the others.
    fn step(&self, at: &Lowering, e: Window, factors: [Binding; 2], now: Binding) -> Dispatch {
        let extra = if self.bias { Extra::Bias } else { Extra::None };
        let epilogue = Epilogue { accumulate: true, extra, function: self.function };
        let step = Product::new(Layout::Nt, [e.batch, e.hidden, e.hidden], epilogue);
        product(at, &step, factors, self.bias.then(|| at.read(3)), now)
    }

    /// Timestep `t` of rows that end at lengths of their own.
    fn step_or_hold(&self, at: &Lowering, e: Window, t: u32, [before, w]: [Binding; 2], now: Binding) -> Dispatch {
        let flags = u32::from(self.bias) * BIAS + LENGTHS + ((self.function as u32) << FUNCTION);
        let step = Step { batch: e.batch, hidden: e.hidden, depth: e.hidden, stride: e.hidden, flags, t };
        // Something has to be bound, even though it is not read.
        let bias = at.read(if self.bias { 3 } else { 2 });
        ELMAN.dispatch(at, step, [before, w, bias, now, at.read(at.inputs.len() - 1)])
    }
}

impl Rule for Elman {
    fn name(&self) -> &'static str {
        "elman"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            1 => "the state that a segment is made again from",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let e = check("elman", inputs, [1, 1], self.bias, self.lengths)?;
        Ok(vec![e.sequence(1), e.state(1)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let (state0, w, y) = (at.inputs[1], at.inputs[2], at.outputs[0]);
        let of_y = out.type_of(y).clone();
        let dy = slope_or_zeros(slope, 0, &of_y, out);
        let mut from = vec![dy, y, w];
        from.extend(slope.outputs[1]);
        if self.lengths {
            let of_last = out.type_of(at.outputs[1]).clone();
            from.truncate(3);
            from.extend([slope_or_zeros(slope, 1, &of_last, out), at.inputs[at.inputs.len() - 1]]);
        }
        let last = from.len() > 3;
        let op = ElmanGradient { function: self.function, last, lengths: self.lengths, reverse: self.reverse };
        let made = out.emit(op.into(), &from);
        let (dp, dstate0) = (made[0], made[1]);
        let mut answer = vec![Some(dp), Some(dstate0)];
        let dw = RecurrentWeightGradient { reverse: self.reverse, accumulate: false };
        answer.push(slope.wanted[2].then(|| out.emit_one(dw, &[dp, y, state0])));
        if self.bias {
            answer.push(slope.wanted[3].then(|| out.emit_one(ColumnSum { accumulate: false }, &[dp])));
        }
        answer.resize(at.inputs.len(), None);
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = self.window(at);
        let y = Operand::Output(0);
        let one = |t| {
            let factors = [e.state_before(at, t, [1, 0], y), at.read(2)];
            let now = at.update_one(Operand::Input(0), y, t);
            match self.lengths {
                true => self.step_or_hold(at, e, t, factors, now),
                false => self.step(at, e, factors, now),
            }
        };
        let whole = || {
            let flags = u32::from(self.bias) * BIAS + u32::from(self.lengths) * LENGTHS;
            let flags = flags + ((self.function as u32) << FUNCTION);
            let each = Step { batch: e.batch, hidden: e.hidden, depth: e.hidden, stride: e.hidden, flags, t: 0 };
            let bindings = [
                at.read(1),
                at.read(2),
                at.read(if self.bias { 3 } else { 2 }),
                at.update_all(Operand::Input(0), y),
                at.read(if self.lengths { at.inputs.len() - 1 } else { 2 }),
            ];
            ELMAN.window(at, Steps::forward(e, each), &one(e.last()), bindings)
        };
        let mut dispatches = whole().map_or_else(|| e.times().map(one).collect(), |whole| vec![whole]);
        if at.wanted[1] {
            dispatches.extend(copy_last(at, e, &[0], 1));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = self.window(at);
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let lengths = self.lengths.then(|| inputs[inputs.len() - 1]);
        let mut y = inputs[0].to_vec();
        let mut h = inputs[1].to_vec();
        for t in e.times() {
            let recurrent = multiply(Layout::Nt, [batch, hidden, hidden], &h, inputs[2]);
            let now = &mut y[e.elements(t, 1)];
            for (i, p) in now.iter_mut().enumerate() {
                let bias = if self.bias { inputs[3][i % hidden] } else { 0.0 };
                let held = is_held(lengths, t, i / hidden);
                *p = if held { h[i] } else { self.function.value(*p + recurrent[i] + bias) };
            }
            h = now.to_vec();
        }
        vec![y, h]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 0)]
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        products(&inputs[0], &inputs[2])
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        let kept = [Operand::Input(0), Operand::Input(1), Operand::Output(0), Operand::Output(1)];
        vec![kept.into(), vec![Operand::Input(2)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |function, bias, lengths: Option<&[u32]>, reverse, extents| {
            specimen(Elman { function, bias, lengths: lengths.is_some(), reverse }, [1, 1], bias, lengths, extents)
        };
        let (tanh, relu) = (Function::Tanh, Function::Relu);
        vec![
            of(tanh, true, None, false, [1, 1, 1]),
            of(tanh, true, None, true, [5, 3, 7]),
            of(tanh, true, None, false, [5, 3, 7]).through(&[1]),
            of(tanh, true, None, true, [3, 2, 5]).through(&[0, 1]),
            of(relu, false, None, false, [4, 3, 5]),
            of(tanh, true, None, false, [4, 17, 33]),
            of(tanh, true, Some(&[2, 0, 4]), false, [4, 3, 7]),
            of(relu, false, Some(&[3, 4, 1, 0, 2]), true, [4, 5, 4]).through(&[0, 1]),
            of(tanh, true, Some(&[1; 17]), false, [2, 17, 33]).through(&[1]),
        ]
    }
}
