//! Recurrences over a window: one dispatch a timestep, in which the cell is fused with its product, or, where that is
//! quicker, one for many timesteps (see `whole`).
//!
//! The products with the inputs, `xp`, are one matmul in front, and the weight's gradient is one
//! behind. What is left is `h[t]` from `h[t-1]`, whose kernel sums a product of [`matmul`] and works
//! out the cell in the threads that hold the sums. Values lie where those they replace lay:
//!
//! ```text
//!         t = 0   1   2   3
//! xp    [ x0 | x1 | x2 | x3 ]      before
//! gates [ g0 | g1 | x2 | x3 ]      after two of four dispatches forward
//! dgates[ g0 | g1 | d2 | d3 ]      after two of four dispatches backward
//! ```
//!
//! `dgates` is at once the gradient of `xp`. What is kept for the way back is as little as needs no
//! second product: for each timestep 1 (B, H) for Elman's recurrence, 5 for a GRU, 6 for an LSTM.
//!
//! All of them run backwards in time where `reverse` says so (`h[t]` from `h[t+1]`), and hold the
//! state of a row that has ended: at `t >= lengths[b]`, `h` is what it was, whatever lies in `xp`.
//! So in reverse each row begins at its own end. `y` is the held state there, `dgates` are 0, and the
//! state's gradient passes through. A length of 0 is a row that never moves.
//!
//! Truncation as in Williams & Peng 1990: no gradient leaves a window but through its first state.
//!
//! [`matmul`]: super::matmul

mod cell;
mod elman;
mod elman_gradient;
mod gru;
mod gru_gradient;
mod gru_reset_before;
mod gru_reset_before_gradient;
mod gru_weight;
mod lstm;
mod lstm_gradient;
mod piecewise;
mod textured;
mod weight;
mod whole;

use std::ops::Range;

use super::{Binding, Dispatch, Emit, Fill, Lowering, Op, Operand, ShapeError, Slope, Specimen, copy};
use crate::ids::ValueId;
use crate::tensor::{DType, TensorType};

#[doc(hidden)]
pub use cell::timestep_by_each_kernel;
pub use elman::Elman;
pub use elman_gradient::ElmanGradient;
pub use gru::Gru;
pub use gru_gradient::GruGradient;
pub use gru_reset_before::GruResetBefore;
pub use gru_reset_before_gradient::{GruResetBeforeGradient, GruResetBeforeWeightGradient};
pub use gru_weight::{GruBiasGradient, GruWeightGradient};
pub use lstm::Lstm;
pub use lstm_gradient::LstmGradient;
pub use piecewise::PiecewiseGradient;
pub use weight::RecurrentWeightGradient;

/// The extents of a window and the way through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    time: u32,
    batch: u32,
    hidden: u32,
    reverse: bool,
}

impl Window {
    /// Those of a (T, B, G H) tensor, G being `gates`.
    fn of(ty: &TensorType, gates: u32, reverse: bool) -> Option<Self> {
        let &[time, batch, width] = &ty.shape[..] else { return None };
        let fits = time > 0 && width.is_multiple_of(gates);
        fits.then_some(Self { time, batch, hidden: width / gates, reverse })
    }

    /// G H.
    fn width(self, gates: u32) -> u32 {
        // What is too large to be counted is refused by the plan's check, and only has to get there.
        gates.saturating_mul(self.hidden)
    }

    /// A (T, B, G H) tensor.
    fn sequence(self, gates: u32) -> TensorType {
        TensorType::f32(&[self.time, self.batch, self.width(gates)])
    }

    /// The state, S tensors (B, H).
    fn state(self, tensors: u32) -> TensorType {
        TensorType::f32(&[tensors, self.batch, self.hidden])
    }

    /// The recurrent weight (G H, H).
    fn weight(self, gates: u32) -> TensorType {
        TensorType::f32(&[self.width(gates), self.hidden])
    }

    /// The recurrent bias (G H).
    fn bias(self, gates: u32) -> TensorType {
        TensorType::f32(&[self.width(gates)])
    }

    /// The timesteps in the order in which states follow each other.
    fn times(self) -> impl DoubleEndedIterator<Item = u32> {
        (0..self.time).map(move |s| if self.reverse { self.time - 1 - s } else { s })
    }

    /// The timestep whose state `t` goes on from.
    fn before(self, t: u32) -> Option<u32> {
        if self.reverse { Some(t + 1).filter(|&t| t < self.time) } else { t.checked_sub(1) }
    }

    /// The timestep that goes on from the state of `t`.
    fn after(self, t: u32) -> Option<u32> {
        Self { reverse: !self.reverse, ..self }.before(t)
    }

    /// The timesteps in pieces of so many, counted from the window's start, in the order in which gradients need them.
    fn pieces(self, steps: u32) -> Vec<Range<u32>> {
        let count = self.time.div_ceil(steps);
        let piece = |i: u32| i * steps..((i + 1) * steps).min(self.time);
        let pieces = (0..count).map(piece);
        if self.reverse { pieces.collect() } else { pieces.rev().collect() }
    }

    /// The dispatches of the way back, piece by piece of `steps` timesteps: each as a `whole` where that is had, else
    /// `one` timestep after the other.
    fn backward(
        self,
        steps: u32,
        whole: impl Fn(&Range<u32>) -> Option<Vec<Dispatch>>,
        one: impl Fn(u32) -> Dispatch,
    ) -> Vec<Dispatch> {
        let stepwise = |times: &Range<u32>| self.times().rev().filter(|t| times.contains(t)).map(&one).collect();
        let piece = |times: Range<u32>| whole(&times).unwrap_or_else(|| stepwise(&times));
        self.pieces(steps).into_iter().flat_map(piece).collect()
    }

    /// The window's first timestep, if it is one of these, and the others.
    fn without_first(self, times: &Range<u32>) -> (Option<u32>, Range<u32>) {
        let Some(first) = Some(self.first()).filter(|first| times.contains(first)) else {
            return (None, times.clone());
        };
        (Some(first), if self.reverse { times.start..times.end - 1 } else { times.start + 1..times.end })
    }

    /// The timestep that goes on from the state of the last of these.
    fn after_all(self, times: &Range<u32>) -> Option<u32> {
        self.after(if self.reverse { times.start } else { times.end - 1 })
    }

    /// How many timesteps of the way back are made before these.
    fn made_before(self, times: &Range<u32>) -> u32 {
        if self.reverse { times.start } else { self.time - times.end }
    }

    /// The timestep that goes on from the state before the window.
    fn first(self) -> u32 {
        if self.reverse { self.time - 1 } else { 0 }
    }

    /// The timestep whose state is that after the window.
    fn last(self) -> u32 {
        self.time - 1 - self.first()
    }

    /// The elements of timestep `t` of a (T, B, G H) tensor on the host.
    fn elements(self, t: u32, gates: u32) -> Range<usize> {
        let one = self.batch as usize * self.width(gates) as usize;
        t as usize * one..(t as usize + 1) * one
    }

    /// Reads tensor `part` of the state that timestep `t` goes on from: of input `state0`, or of the
    /// sequence `kept`.
    fn state_before(self, at: &Lowering, t: u32, [state0, part]: [u32; 2], kept: Operand) -> Binding {
        match self.before(t) {
            None => at.one(Operand::Input(state0 as usize), part),
            Some(before) => at.one(kept, before),
        }
    }
}

impl Lowering<'_> {
    /// Reads one entry of an operand's outermost dimension: a timestep, or a tensor of a state.
    fn one(&self, operand: Operand, entry: u32) -> Binding {
        Binding::read(operand, self.entries(operand, entry..entry + 1))
    }

    /// Writes timestep `t` of an operand.
    fn write_one(&self, operand: Operand, t: u32) -> Binding {
        Binding::write(operand, self.entries(operand, t..t + 1))
    }

    /// Reads timestep `t` of `from` and writes that of `to` in its place.
    fn update_one(&self, from: Operand, to: Operand, t: u32) -> Binding {
        Binding::update(from, to, self.entries(to, t..t + 1))
    }

    /// Reads some entries of an operand's outermost dimension.
    fn some(&self, operand: Operand, entries: &Range<u32>) -> Binding {
        Binding::read(operand, self.entries(operand, entries.clone()))
    }

    /// Reads some entries of `from` and writes those of `to` in their place.
    fn update_some(&self, from: Operand, to: Operand, entries: &Range<u32>) -> Binding {
        Binding::update(from, to, self.entries(to, entries.clone()))
    }

    /// Writes all of an operand.
    fn write_all(&self, operand: Operand) -> Binding {
        Binding::write(operand, 0..self.type_of(operand).bytes())
    }

    /// Reads all of `from` and writes all of `to` in its place.
    fn update_all(&self, from: Operand, to: Operand) -> Binding {
        Binding::update(from, to, 0..self.type_of(to).bytes())
    }
}

/// Refuses inputs `[xp, state0, w, bias, lengths]` that do not fit, the last two if they are there.
fn check(
    op: &'static str,
    inputs: &[TensorType],
    [gates, states]: [u32; 2],
    bias: bool,
    lengths: bool,
) -> Result<Window, ShapeError> {
    let window = window(op, &inputs[0], gates)?;
    ShapeError::unless_is(op, "the projected inputs (T, B, G H)", &inputs[0], &window.sequence(gates))?;
    ShapeError::unless_is(op, "the initial state (S, B, H)", &inputs[1], &window.state(states))?;
    ShapeError::unless_is(op, "the recurrent weight (G H, H)", &inputs[2], &window.weight(gates))?;
    if bias {
        ShapeError::unless_is(op, "the recurrent bias (G H)", &inputs[3], &window.bias(gates))?;
    }
    if lengths {
        check_lengths(op, &inputs[3 + usize::from(bias)], window)?;
    }
    Ok(window)
}

/// The window of a sequence (T, B, G H), G being `gates`.
fn window(op: &'static str, ty: &TensorType, gates: u32) -> Result<Window, ShapeError> {
    let reason = || format!("{ty} is no sequence (T, B, {gates} H) of one timestep or more");
    Window::of(ty, gates, false).ok_or_else(|| ShapeError { op, reason: reason() })
}

fn check_lengths(op: &'static str, lengths: &TensorType, window: Window) -> Result<(), ShapeError> {
    ShapeError::unless_is(op, "lengths u32 (B)", lengths, &TensorType::new(&[window.batch], DType::U32))
}

/// Whether row `row` is held at timestep `t`, on the host.
fn is_held(lengths: Option<&[f64]>, t: u32, row: usize) -> bool {
    lengths.is_some_and(|lengths| f64::from(t) >= lengths[row])
}

/// A window for the tests: `op` on xp (T, B, GH), S tensors of state, a weight, a bias and lengths, with
/// every gradient checked.
fn specimen(
    op: impl Into<Op>,
    [gates, states]: [u32; 2],
    bias: bool,
    lengths: Option<&[u32]>,
    [t, b, h]: [u32; 3],
) -> Specimen {
    let (xp, state, w, of_bias, of_lengths) = ([t, b, gates * h], [states, b, h], [gates * h, h], [gates * h], [b]);
    let mut shapes: Vec<&[u32]> = vec![&xp, &state, &w];
    shapes.extend(bias.then_some(&of_bias[..]));
    let floats: Vec<usize> = (0..shapes.len()).collect();
    shapes.extend(lengths.map(|_| &of_lengths[..]));
    let specimen = Specimen::new(op, &shapes).differentiable(&floats);
    match lengths {
        None => specimen,
        Some(lengths) => specimen.ids(floats.len(), lengths),
    }
}

/// Additions and multiplications of a product with the weight for each row of each timestep of `sequence`.
fn products(sequence: &TensorType, weight: &TensorType) -> u64 {
    sequence.as_matrix().0.saturating_mul(weight.len()).saturating_mul(2)
}

/// The gradient of output `i`, zeros of this shape where none flows.
fn slope_or_zeros(slope: &Slope, i: usize, of: &TensorType, out: &mut dyn Emit) -> ValueId {
    slope.outputs[i].unwrap_or_else(|| out.emit_one(Fill { value: 0.0, shape: of.shape.clone() }, &[]))
}

/// Copies the states of the window's last timestep, of the outputs `kept`, to output `to`.
fn copy_last(at: &Lowering, window: Window, kept: &[usize], to: usize) -> Vec<Dispatch> {
    let one = |(part, &kept): (u32, &usize)| {
        copy::dispatch(at, at.one(Operand::Output(kept), window.last()), at.write_one(Operand::Output(to), part))
    };
    (0..).zip(kept).map(one).collect()
}
