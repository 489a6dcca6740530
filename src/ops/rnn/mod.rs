//! Elman's recurrence over a window: `y[t] = f(xp[t] + W y[t-1] + b)`, with `y[-1] = h0`.
//!
//! The products with the inputs, `xp`, are one matmul in front; what is left is one dispatch a
//! timestep, which writes `y[t]` over `xp[t]`:
//!
//! ```text
//!        t = 0   1   2   3
//! xp   [ x0 | x1 | x2 | x3 ]        before
//! y    [ y0 | y1 | x2 | x3 ]        after two of four dispatches
//! ```
//!
//! Backward, `dp[t] = (dy[t] + Wᵀ dp[t+1]) * f'(y[t])` is written over `dy[t]` the same way, and
//! the weight's gradient is one matmul over all timesteps after the loop. Elman 1990; truncation
//! as in Williams & Peng 1990.

mod gradient;
mod weight;

use std::ops::Range;

use super::matmul::kernel::{Epilogue, Extra, Layout, Product};
use super::matmul::{multiply, product};
use super::{
    Binding, ColumnSum, Dispatch, Emit, Fill, Function, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope,
    Specimen, copy,
};
use crate::ids::ValueId;
use crate::tensor::TensorType;

pub use gradient::RnnGradient;
pub use weight::RnnWeightGradient;

/// The recurrence over one window.
///
/// Inputs: `xp` (T, B, H), the inputs' share of each pre-activation; `h0` (B, H); `w` (H, H), as
/// PyTorch's `weight_hh`; the bias `b` (H) if there is one. Outputs: `y` (T, B, H), over `xp`;
/// the last state (B, H), equal to `y[T-1]`, for the next window to start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Rnn {
    /// The nonlinearity.
    pub function: Function,
    /// Whether there is a bias.
    pub bias: bool,
}

/// The extents of a recurrence.
#[derive(Clone, Copy, Debug)]
struct Extents {
    time: u32,
    batch: u32,
    hidden: u32,
}

impl Extents {
    /// Those of a (T, B, H) tensor.
    fn of(ty: &TensorType) -> Option<Self> {
        let &[time, batch, hidden] = &ty.shape[..] else { return None };
        Some(Self { time, batch, hidden })
    }

    fn sequence(self) -> TensorType {
        TensorType::f32(&[self.time, self.batch, self.hidden])
    }

    fn state(self) -> TensorType {
        TensorType::f32(&[self.batch, self.hidden])
    }

    fn weight(self) -> TensorType {
        TensorType::f32(&[self.hidden, self.hidden])
    }

    /// The bytes of these timesteps of a (T, B, H) tensor.
    fn bytes(self, times: Range<u32>) -> Range<u64> {
        let one = self.state().bytes();
        u64::from(times.start) * one..u64::from(times.end) * one
    }

    /// The elements of timestep `t` of a (T, B, H) tensor on the host.
    fn elements(self, t: usize) -> Range<usize> {
        let one = self.batch as usize * self.hidden as usize;
        t * one..(t + 1) * one
    }

    /// The shape of the products within the loop: (B, H) by (H, H).
    fn step(self, layout: Layout, depth: u32, epilogue: Epilogue) -> Product {
        Product { layout, m: self.batch, n: self.hidden, k: depth, epilogue }
    }
}

impl Rule for Rnn {
    fn name(&self) -> &'static str {
        "rnn"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = "rnn";
        let e = Extents::of(&inputs[0])
            .ok_or_else(|| ShapeError { op, reason: format!("{} is no sequence (T, B, H)", inputs[0]) })?;
        ShapeError::unless_is(op, "the sequence (T, B, H)", &inputs[0], &e.sequence())?;
        ShapeError::unless_is(op, "the initial state (B, H)", &inputs[1], &e.state())?;
        ShapeError::unless_is(op, "the recurrent weight (H, H)", &inputs[2], &e.weight())?;
        if self.bias {
            ShapeError::unless_is(op, "the bias (H)", &inputs[3], &TensorType::f32(&[e.hidden]))?;
        }
        Ok(vec![e.sequence(), e.state()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let (h0, w, y) = (at.inputs[1], at.inputs[2], at.outputs[0]);
        let shape = out.type_of(y).shape.clone();
        let dy = slope.outputs[0].unwrap_or_else(|| out.emit_one(Fill { value: 0.0, shape }, &[]));
        let mut from = vec![dy, y, w];
        from.extend(slope.outputs[1]);
        let op = RnnGradient { function: self.function, last: slope.outputs[1].is_some() };
        let made = out.emit(op.into(), &from);
        let (dp, dh0) = (made[0], made[1]);
        let mut answer = vec![Some(dp), Some(dh0)];
        answer.push(slope.wanted[2].then(|| out.emit_one(RnnWeightGradient { accumulate: false }, &[dp, y, h0])));
        if self.bias {
            answer.push(slope.wanted[3].then(|| out.emit_one(ColumnSum { accumulate: false }, &[dp])));
        }
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Extents::of(&at.outputs[0]).expect("`outputs` made a sequence");
        let extra = if self.bias { Extra::Bias } else { Extra::None };
        let step = e.step(Layout::Nt, e.hidden, Epilogue { accumulate: true, extra, function: self.function });
        let mut dispatches: Vec<Dispatch> = (0..e.time)
            .map(|t| {
                let before = match t {
                    0 => at.read(1),
                    _ => Binding::read(Operand::Output(0), e.bytes(t - 1..t)),
                };
                let now = Binding::update(Operand::Input(0), Operand::Output(0), e.bytes(t..t + 1));
                product(at, &step, [before, at.read(2)], self.bias.then(|| at.read(3)), now)
            })
            .collect();
        if at.wanted[1] {
            let last = Binding::read(Operand::Output(0), e.bytes(e.time - 1..e.time));
            dispatches.push(copy::dispatch(at, last, at.write(1)));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Extents::of(&at.outputs[0]).expect("`outputs` made a sequence");
        let (batch, hidden) = (e.batch as usize, e.hidden as usize);
        let mut y = inputs[0].to_vec();
        let mut h = inputs[1].to_vec();
        for t in 0..e.time as usize {
            let recurrent = multiply(Layout::Nt, [batch, hidden, hidden], &h, inputs[2]);
            let now = &mut y[e.elements(t)];
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
            let op = Rnn { function: Function::Tanh, bias: true };
            Specimen::new(op, &[&[t, b, h], &[b, h], &[h, h], &[h]]).differentiable(&[0, 1, 2, 3])
        });
        let no_bias = Rnn { function: Function::Relu, bias: false };
        let no_bias = Specimen::new(no_bias, &[&[4, 3, 5], &[3, 5], &[5, 5]]).differentiable(&[0, 1, 2]);
        let through = [vec![1], vec![0, 1]].map(|outputs| plain[2].clone().through(&outputs));
        plain.into_iter().chain([no_bias]).chain(through).collect()
    }
}
