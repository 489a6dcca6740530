//! Back through a GRU whose reset gate comes before the product, from `dh = dy[t] + carry`:
//!
//! ```text
//! dn = dh * (1 - z) * (1 - n^2)          dz = dh * (h - n) * z * (1 - z)
//! d  = U_nᵀ dn                           dr = d * h * r * (1 - r)
//! carry = dh * z + d * r + U_rᵀ dr + U_zᵀ dz
//! ```
//!
//! `carry` starts as the last state's gradient and ends as the initial state's. The weight's rows of
//! `r` and `z` were multiplied with `h`, those of `n` with `r * h`, which is written over `dy`.

use bytemuck::bytes_of;

use super::super::common::{check_old, index, start};
use super::super::matmul::kernel::{Epilogue, Product};
use super::super::matmul::{Layout, multiply, product};
use super::super::{
    Binding, Bound, Dispatch, Emit, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope, Specimen, Tile,
};
use super::Window;
use super::gru_reset_before::{Extents, Params, ROWS, UNIT_COST};
use super::weight::Left;
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// The gradient of a [`GruResetBefore`](super::GruResetBefore) for its `xp` and `state0`.
///
/// Inputs: `dy` (T, B, H); the gates (T, B, 3H); `y` (T, B, H); `state0` (1, B, H); `w` (3H, H); the last
/// state's gradient (1, B, H); `lengths` u32 (B) if there are any. Outputs: `dr|dz|dn` (T, B, 3H), over
/// the gates, the gradient for `xp`; `r * h` (T, B, H), over `dy`, and 0 where a row has ended;
/// `state0`'s gradient (1, B, H), over the last state's.
#[derive(Clone, Debug, PartialEq)]
pub struct GruResetBeforeGradient {
    /// Whether there are lengths.
    pub lengths: bool,
    /// Whether the recurrence's time runs from the end to the beginning.
    pub reverse: bool,
}

/// The gradient of a [`GruResetBefore`](super::GruResetBefore)'s `w`.
///
/// Inputs: `dr|dz|dn` (T, B, 3H); `r * h` (T, B, H); `y` (T, B, H); `state0` (1, B, H); then the old gradient
/// (3H, H) if it accumulates. Output: `dw` (3H, H), two gates' rows as of any recurrence, and the last one's a product
/// of `dn` and `r * h`.
#[derive(Clone, Debug, PartialEq)]
pub struct GruResetBeforeWeightGradient {
    /// Whether the sum is added to the last input, in place.
    pub accumulate: bool,
    /// Whether the recurrence's time runs from the end to the beginning.
    pub reverse: bool,
}

fn extents(op: &'static str, gates: &TensorType, reverse: bool) -> Result<Extents, ShapeError> {
    let e = Extents::of_gates(gates, reverse);
    e.ok_or_else(|| ShapeError { op, reason: format!("{gates} is no sequence of gates (T, B, 3H)") })
}

impl Rule for GruResetBeforeGradient {
    fn name(&self) -> &'static str {
        "gru gradient, reset before"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the gradient that is handed to it",
            1 => "the gates, whose slopes are told from their results",
            2 => "h[t-1], which the gates multiply",
            3 => "the state that the window began with",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = extents(op, &inputs[1], self.reverse)?;
        ShapeError::unless_is(op, "dy (T, B, H)", &inputs[0], &e.sequence())?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[2], &e.sequence())?;
        ShapeError::unless_is(op, "the initial state (1, B, H)", &inputs[3], &e.state())?;
        ShapeError::unless_is(op, "the recurrent weight (3H, H)", &inputs[4], &e.weight())?;
        ShapeError::unless_is(op, "the last state's gradient (1, B, H)", &inputs[5], &e.state())?;
        if self.lengths {
            ShapeError::unless_is(op, "lengths (B)", &inputs[6], &TensorType::u32(&[e.batch]))?;
        }
        Ok(vec![e.gates(), e.sequence(), e.state()])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Extents::of_gates(&at.inputs[1], self.reverse).expect("`outputs` accepted a sequence");
        let mut carry = at.update(5, 2);
        let mut dispatches = Vec::new();
        for (t, before) in e.steps().rev() {
            let dy = Binding::update(Operand::Input(0), Operand::Output(1), e.bytes(t));
            let gates = Binding::update(Operand::Input(1), Operand::Output(0), e.gate_bytes(t));
            let h = match before {
                None => at.read(3),
                Some(before) => Binding::read(Operand::Input(2), e.bytes(before)),
            };
            let [dy, gates, h] = [dy, gates, h].map(|b| b.aligned(at.target.align(), 4));
            let flags = u32::from(self.lengths) << 1;
            let starts = [dy.1, gates.1, h.1];
            let params = Params { batch: e.batch, hidden: e.hidden, flags, time: t, starts };
            // Something has to be bound as the lengths, even though it is not read.
            let lengths = at.read(if self.lengths { 6 } else { 4 });
            dispatches.push(Dispatch {
                shader: shader!("gru_reset_before_gradient"),
                params: bytes_of(&params).to_vec(),
                groups: [e.batch.div_ceil(ROWS), 1, 1],
                bindings: vec![dy.0, gates.0, h.0, at.read(4), carry, lengths],
                tile: Some(Tile { terms: e.hidden, cost: e.hidden.saturating_mul(UNIT_COST), ..Tile::default() }),
            });
            carry = Binding::update(Operand::Output(2), Operand::Output(2), 0..at.outputs[2].bytes());
        }
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Extents::of_gates(&at.inputs[1], self.reverse).expect("`outputs` accepted a sequence");
        let hidden = e.hidden as usize;
        let (w_rz, w_n) = inputs[4].split_at(2 * hidden * hidden);
        let mut dgates = inputs[1].to_vec();
        let mut rh = vec![0.0; inputs[0].len()];
        let mut carry = inputs[5].to_vec();
        for (t, before) in e.steps().rev() {
            for (b, carry) in carry.chunks_mut(hidden).enumerate() {
                let gates = &mut dgates[e.gate_row(t, b)];
                carry.iter_mut().zip(&inputs[0][e.row(t, b)]).for_each(|(dh, dy)| *dh += dy);
                if self.lengths && t as usize >= index(inputs[6][b]) {
                    gates.fill(0.0);
                    continue;
                }
                let h = before.map_or(&inputs[3][e.row(0, b)], |before| &inputs[2][e.row(before, b)]);
                let r = gates[..hidden].to_vec();
                for j in 0..hidden {
                    let (dh, z, n) = (carry[j], gates[hidden + j], gates[2 * hidden + j]);
                    gates[hidden + j] = dh * (h[j] - n) * z * (1.0 - z);
                    gates[2 * hidden + j] = dh * (1.0 - z) * (1.0 - n * n);
                    carry[j] = dh * z;
                }
                let d = multiply(Layout::Nn, [1, hidden, hidden], &gates[2 * hidden..], w_n);
                for j in 0..hidden {
                    gates[j] = d[j] * h[j] * r[j] * (1.0 - r[j]);
                    rh[e.row(t, b)][j] = r[j] * h[j];
                    carry[j] += d[j] * r[j];
                }
                let d = multiply(Layout::Nn, [1, hidden, 2 * hidden], &gates[..2 * hidden], w_rz);
                carry.iter_mut().zip(d).for_each(|(carry, d)| *carry += d);
            }
        }
        vec![dgates, rh, carry]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 1), InPlace::must(1, 0), InPlace::must(2, 5)]
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        super::products(&inputs[1], &inputs[4])
    }

    fn specimens() -> Vec<Specimen> {
        let of = |lengths: &[u32], reverse: bool, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 7] =
                [&[t, b, h], &[t, b, 3 * h], &[t, b, h], &[1, b, h], &[3 * h, h], &[1, b, h], &[b]];
            let ended = !lengths.is_empty();
            let op = GruResetBeforeGradient { lengths: ended, reverse };
            let specimen = Specimen::new(op, &shapes[..6 + usize::from(ended)]);
            if ended { specimen.ids(6, lengths) } else { specimen }
        };
        vec![
            of(&[], false, [1, 1, 1]),
            of(&[], true, [3, 2, 5]),
            of(&[3, 0, 5, 1, 2], false, [5, 5, 3]),
            of(&[1, 2, 0], true, [2, 3, 67]),
        ]
    }
}

impl Rule for GruResetBeforeWeightGradient {
    fn name(&self) -> &'static str {
        "gru weight gradient, reset before"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            2 => "h[t-1], a factor of the weight's gradient",
            3 => "the state that the window began with",
            _ => "what it is worked out from",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let e = extents(op, &inputs[0], self.reverse)?;
        ShapeError::unless_is(op, "r * h (T, B, H)", &inputs[1], &e.sequence())?;
        ShapeError::unless_is(op, "y (T, B, H)", &inputs[2], &e.sequence())?;
        ShapeError::unless_is(op, "the initial state (1, B, H)", &inputs[3], &e.state())?;
        check_old(op, self.accumulate, inputs, &e.weight())?;
        Ok(vec![e.weight()])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let e = Window::of(&at.inputs[1], 1, self.reverse).expect("`outputs` accepted a sequence");
        let all = at.outputs[0].bytes();
        let onto = |bytes| Binding { bytes, ..at.write_or_add(self.accumulate) };
        let of_rz = Left { operand: Operand::Input(0), gates: 3, taken: 2 };
        let mut dispatches = e.sum_over_time(at, of_rz, [2, 3], onto(0..all / 3 * 2));
        // The last gate's columns begin after the other two's of the first row.
        let skipped = TensorType::f32(&[e.width(2)]).bytes();
        let of_n = Binding::read(Operand::Input(0), skipped..at.inputs[0].bytes());
        let epilogue = Epilogue { accumulate: self.accumulate, ..Epilogue::default() };
        let rows = e.time.saturating_mul(e.batch);
        let sum = Product::new(Layout::Tn, [e.hidden, e.hidden, rows], epilogue).with_stride(e.width(3));
        dispatches.push(product(at, &sum, [of_n, at.read(1)], None, onto(all / 3 * 2..all)));
        dispatches
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let e = Extents::of_gates(&at.inputs[0], self.reverse).expect("`outputs` accepted a sequence");
        let hidden = e.hidden as usize;
        let mut dw = start(self.accumulate, inputs, 3 * hidden * hidden);
        for (t, before) in e.steps() {
            for b in 0..e.batch as usize {
                let h = before.map_or(&inputs[3][e.row(0, b)], |before| &inputs[2][e.row(before, b)]);
                let rh = &inputs[1][e.row(t, b)];
                for (g, (dw, dg)) in dw.chunks_mut(hidden).zip(&inputs[0][e.gate_row(t, b)]).enumerate() {
                    let factor = if g < 2 * hidden { h } else { rh };
                    dw.iter_mut().zip(factor).for_each(|(dw, f)| *dw += dg * f);
                }
            }
        }
        vec![dw]
    }

    fn in_place(&self) -> Vec<InPlace> {
        if self.accumulate { vec![InPlace::must(0, 4)] } else { Vec::new() }
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| GruResetBeforeWeightGradient { accumulate: true, ..self.clone() }.into())
    }

    fn bound(&self, _: &[TensorType], _: usize) -> Option<Bound> {
        if self.accumulate { None } else { Bound::sum(&[&[0, 1], &[0, 2], &[0, 3]]) }
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        let (rows, width) = inputs[0].as_matrix();
        [rows, width, inputs[2].as_matrix().1].into_iter().fold(2, u64::saturating_mul)
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate: bool, reverse: bool, [t, b, h]: [u32; 3]| {
            let shapes: [&[u32]; 5] = [&[t, b, 3 * h], &[t, b, h], &[t, b, h], &[1, b, h], &[3 * h, h]];
            let op = GruResetBeforeWeightGradient { accumulate, reverse };
            Specimen::new(op, &shapes[..4 + usize::from(accumulate)])
        };
        vec![of(false, false, [1, 1, 1]), of(true, false, [3, 2, 5]), of(false, true, [2, 3, 17])]
    }
}
