//! The GRU whose reset gate comes before the recurrent product, as first published (Cho et al. 2014):
//!
//! ```text
//! r    = sigmoid(x_r + U_r h + b_r)
//! z    = sigmoid(x_z + U_z h + b_z)
//! n    = tanh(x_n + U_n (r * h) + b_n)
//! y[t] = (1 - z) * n + z * h,  where h = y[t-1] and y[-1] = state0
//! ```
//!
//! PyTorch's GRU resets after the product; gate order, weights and `z` are as there. A timestep is one
//! dispatch, though `n` waits for `r`: each workgroup makes whole rows.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, bytes_of};

use super::super::common::index;
use super::super::matmul::{Layout, multiply};
use super::super::{
    Binding, ColumnSum, Dispatch, Emit, Fill, Function, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope,
    Specimen, Tile, copy,
};
use super::{GruResetBeforeGradient, GruResetBeforeWeightGradient};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// The recurrence over one window.
///
/// Inputs: `xp` (T, B, 3H), the inputs' share of each gate, `r|z|n`; `state0` (1, B, H); `w` (3H, H), `U`
/// above; the bias (3H) if there is one; `lengths` u32 (B) if there are any. Outputs: `y` (T, B, H); the
/// gates (T, B, 3H) `r|z|n`, over `xp`; the last state (1, B, H).
///
/// From `t = lengths[b]` on, row `b` keeps its state; a length of 0 keeps `state0`.
#[derive(Clone, Debug, PartialEq)]
pub struct GruResetBefore {
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether there are lengths.
    pub lengths: bool,
    /// Whether time runs from the end to the beginning, each row starting at its own end.
    pub reverse: bool,
}

/// Rows that one workgroup makes.
pub(super) const ROWS: u32 = 4;

/// What a unit of those rows costs for each term of its three sums, in the units of [`Tile::cost`]: lanes read
/// what a product's tile would have read once for all of them.
pub(super) const UNIT_COST: u32 = 130;

/// The extents of a recurrence, and the direction of its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) time: u32,
    pub(super) batch: u32,
    pub(super) hidden: u32,
    pub(super) reverse: bool,
}

impl Extents {
    /// Those of gates (T, B, 3H).
    pub(super) fn of_gates(ty: &TensorType, reverse: bool) -> Option<Self> {
        let &[time, batch, columns] = &ty.shape[..] else { return None };
        let whole = columns.is_multiple_of(3) && ty.dtype == DType::F32 && !ty.is_empty();
        whole.then_some(Self { time, batch, hidden: columns / 3, reverse })
    }

    pub(super) fn sequence(self) -> TensorType {
        TensorType::f32(&[self.time, self.batch, self.hidden])
    }

    pub(super) fn gates(self) -> TensorType {
        TensorType::f32(&[self.time, self.batch, 3 * self.hidden])
    }

    pub(super) fn state(self) -> TensorType {
        TensorType::f32(&[1, self.batch, self.hidden])
    }

    pub(super) fn weight(self) -> TensorType {
        TensorType::f32(&[3 * self.hidden, self.hidden])
    }

    /// The timesteps in running order, each with the one before it.
    pub(super) fn steps(self) -> impl DoubleEndedIterator<Item = (u32, Option<u32>)> {
        (0..self.time).map(move |s| match self.reverse {
            false => (s, s.checked_sub(1)),
            true => (self.time - 1 - s, (s > 0).then(|| self.time - s)),
        })
    }

    /// The bytes of timestep `t` of a (T, B, H) tensor.
    pub(super) fn bytes(self, t: u32) -> Range<u64> {
        let one = self.state().bytes();
        u64::from(t) * one..(u64::from(t) + 1) * one
    }

    /// The bytes of timestep `t` of a (T, B, 3H) tensor.
    pub(super) fn gate_bytes(self, t: u32) -> Range<u64> {
        let Range { start, end } = self.bytes(t);
        3 * start..3 * end
    }

    /// The elements of row `b` of timestep `t` of a (T, B, H) tensor on the host.
    pub(super) fn row(self, t: u32, b: usize) -> Range<usize> {
        let hidden = self.hidden as usize;
        let first = (t as usize * self.batch as usize + b) * hidden;
        first..first + hidden
    }

    /// The same of a (T, B, 3H) tensor.
    pub(super) fn gate_row(self, t: u32, b: usize) -> Range<usize> {
        let Range { start, end } = self.row(t, b);
        3 * start..3 * end
    }
}

/// What both kernels of a timestep are told; `starts` are their operands', in elements.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Params {
    pub(super) batch: u32,
    pub(super) hidden: u32,
    pub(super) flags: u32,
    pub(super) time: u32,
    pub(super) starts: [u32; 3],
}

impl Rule for GruResetBefore {
    fn name(&self) -> &'static str {
        "gru, reset before"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            1 => "the state that a segment is made again from",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = Extents::of_gates(&inputs[0], self.reverse)
            .ok_or_else(|| ShapeError { op, reason: format!("{} is no sequence of gates (T, B, 3H)", inputs[0]) })?;
        ShapeError::unless_is(op, "the initial state (1, B, H)", &inputs[1], &e.state())?;
        ShapeError::unless_is(op, "the recurrent weight (3H, H)", &inputs[2], &e.weight())?;
        if self.bias {
            ShapeError::unless_is(op, "the bias (3H)", &inputs[3], &TensorType::f32(&[3 * e.hidden]))?;
        }
        if self.lengths {
            let lengths = &inputs[3 + usize::from(self.bias)];
            ShapeError::unless_is(op, "lengths (B)", lengths, &TensorType::u32(&[e.batch]))?;
        }
        Ok(vec![e.sequence(), e.gates(), e.state()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let (state0, w) = (at.inputs[1], at.inputs[2]);
        let (y, gates) = (at.outputs[0], at.outputs[1]);
        let mut flowing = |i: usize| {
            slope.outputs[i].unwrap_or_else(|| {
                let shape = out.type_of(at.outputs[i]).shape.clone();
                out.emit_one(Fill { value: 0.0, shape }, &[])
            })
        };
        let (dy, dlast) = (flowing(0), flowing(2));
        let mut from = vec![dy, gates, y, state0, w, dlast];
        if self.lengths {
            from.extend(at.inputs.last());
        }
        let op = GruResetBeforeGradient { lengths: self.lengths, reverse: self.reverse };
        let made = out.emit(op.into(), &from);
        let (dgates, rh, dstate0) = (made[0], made[1], made[2]);
        let mut answer = vec![None; at.inputs.len()];
        answer[0] = Some(dgates);
        answer[1] = Some(dstate0);
        if slope.wanted[2] {
            let op = GruResetBeforeWeightGradient { accumulate: false, reverse: self.reverse };
            answer[2] = Some(out.emit_one(op, &[dgates, rh, y, state0]));
        }
        if self.bias && slope.wanted[3] {
            answer[3] = Some(out.emit_one(ColumnSum { accumulate: false }, &[dgates]));
        }
        answer
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Extents::of_gates(&at.inputs[0], self.reverse).expect("`outputs` accepted a sequence");
        let lengths = 3 + usize::from(self.bias);
        let step = |(t, before): (u32, Option<u32>)| {
            let gates = Binding::update(Operand::Input(0), Operand::Output(1), e.gate_bytes(t));
            let h = match before {
                None => at.read(1),
                Some(before) => Binding::read(Operand::Output(0), e.bytes(before)),
            };
            let y = Binding::write(Operand::Output(0), e.bytes(t));
            let [gates, h, y] = [gates, h, y].map(|b| b.aligned(at.target.align(), 4));
            let flags = u32::from(self.bias) | u32::from(self.lengths) << 1;
            let starts = [gates.1, h.1, y.1];
            let params = Params { batch: e.batch, hidden: e.hidden, flags, time: t, starts };
            // Something has to be bound, even though it is not read.
            let bias = at.read(if self.bias { 3 } else { 2 });
            let lengths = at.read(if self.lengths { lengths } else { 2 });
            Dispatch {
                shader: shader!("gru_reset_before"),
                params: bytes_of(&params).to_vec(),
                groups: [e.batch.div_ceil(ROWS), 1, 1],
                bindings: vec![gates.0, h.0, at.read(2), bias, lengths, y.0],
                tile: Some(Tile { terms: e.hidden, cost: e.hidden.saturating_mul(UNIT_COST), ..Tile::default() }),
            }
        };
        let mut dispatches: Vec<Dispatch> = e.steps().map(step).collect();
        if at.wanted[2] {
            let (end, _) = e.steps().next_back().expect("a sequence has a step");
            dispatches.push(copy::dispatch(at, Binding::read(Operand::Output(0), e.bytes(end)), at.write(2)));
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Extents::of_gates(&at.inputs[0], self.reverse).expect("`outputs` accepted a sequence");
        let hidden = e.hidden as usize;
        let (w_rz, w_n) = inputs[2].split_at(2 * hidden * hidden);
        let bias = |i: usize| if self.bias { inputs[3][i] } else { 0.0 };
        let lengths = self.lengths.then(|| inputs[3 + usize::from(self.bias)]);
        let mut y = vec![0.0; inputs[0].len() / 3];
        let mut gates = inputs[0].to_vec();
        let mut last = inputs[1].to_vec();
        for (t, _) in e.steps() {
            for (b, h) in last.chunks_mut(hidden).enumerate() {
                let gates = &mut gates[e.gate_row(t, b)];
                let rz = multiply(Layout::Nt, [1, 2 * hidden, hidden], h, w_rz);
                for (i, rz) in rz.iter().enumerate() {
                    gates[i] = Function::Sigmoid.value(gates[i] + rz + bias(i));
                }
                let reset: Vec<f64> = h.iter().zip(&*gates).map(|(h, r)| r * h).collect();
                let n = multiply(Layout::Nt, [1, hidden, hidden], &reset, w_n);
                for (j, n) in n.iter().enumerate() {
                    let i = 2 * hidden + j;
                    gates[i] = Function::Tanh.value(gates[i] + n + bias(i));
                }
                if lengths.is_none_or(|lengths| (t as usize) < index(lengths[b])) {
                    for (j, h) in h.iter_mut().enumerate() {
                        let (z, n) = (gates[hidden + j], gates[2 * hidden + j]);
                        *h = (1.0 - z) * n + z * *h;
                    }
                }
                y[e.row(t, b)].copy_from_slice(h);
            }
        }
        vec![y, gates, last]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(1, 0)]
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        super::products(&inputs[0], &inputs[2])
    }

    fn specimens() -> Vec<Specimen> {
        let of = |bias: bool, lengths: &[u32], reverse: bool, [t, b, h]: [u32; 3]| {
            let ended = !lengths.is_empty();
            let all: [(&[u32], bool); 5] =
                [(&[t, b, 3 * h], true), (&[1, b, h], true), (&[3 * h, h], true), (&[3 * h], bias), (&[b], ended)];
            let shapes: Vec<&[u32]> = all.into_iter().filter(|(_, there)| *there).map(|(s, _)| s).collect();
            let specimen = Specimen::new(GruResetBefore { bias, lengths: ended, reverse }, &shapes);
            let specimen = if ended { specimen.ids(3 + usize::from(bias), lengths) } else { specimen };
            specimen.differentiable(if bias { &[0, 1, 2, 3] } else { &[0, 1, 2] })
        };
        vec![
            of(true, &[], false, [1, 1, 1]),
            of(true, &[], false, [3, 2, 5]).through(&[0, 2]),
            of(false, &[], true, [5, 3, 7]),
            of(true, &[3, 0, 5, 1, 2], false, [5, 5, 3]).through(&[0, 2]),
            of(true, &[3, 0, 5, 1, 2], true, [5, 5, 3]).through(&[0, 2]),
            of(false, &[2, 3], false, [3, 2, 4]).through(&[2]),
            of(true, &[], true, [2, 9, 67]),
        ]
    }
}
