//! A recurrence backward whose `dy` is a product, of which no more is in memory than a few timesteps.
//!
//! ```text
//! dy = a b                     a (T, B, V), b (V, H)
//!
//! t = T-1 .. 0     | piece: a[t..] b |  t  |  t-1  |  t-2  | piece: .. |  t-3  | ..
//! ```
//!
//! A layer behind the recurrence hands it a gradient for all timesteps at once, which lies beside everything
//! that was kept for the way back, at the very peak. Each timestep of it is read once, and it can be worked out
//! when it is.

use super::*;
use crate::ops::{Data, InPlace, Layout, Matmul, Rule, Site, clamp};
use crate::target::Target;

/// Pieces that a window is worked out in, if timesteps begin where the device lets a binding start.
const PIECES: u32 = 8;

/// `of`, whose first input, `dy` (T, B, H), is not given but worked out from `a` (T, B, V) and `b` (V, H).
///
/// Inputs: `a`, `b`, then those of `of` after `dy`. Outputs: those of `of`, then a piece of `dy` (`steps`, B, H),
/// in which the last one worked out is left.
#[derive(Clone, Debug, PartialEq)]
pub struct PiecewiseGradient {
    /// The gradient of a recurrence, of which [`Rule::is_stepwise`] holds.
    pub of: Box<Op>,
    /// Timesteps of a piece; T is worked out from its start in pieces of so many.
    pub steps: u32,
}

/// What an inner op is told, with types of its own.
struct Inner {
    inputs: Vec<TensorType>,
    outputs: Vec<TensorType>,
}

impl PiecewiseGradient {
    /// Timesteps of a piece of a window such as `a` and `dy` are, where pieces save something: each begins where
    /// the device lets a binding start, whether floats are stored in full or in halves.
    pub fn steps_for(a: &TensorType, dy: &TensorType, target: &Target) -> Option<u32> {
        let (&[time, batch, depth], &[.., hidden]) = (&a.shape[..], &dy.shape[..]) else { return None };
        let align = target.align().max(16);
        let starts_well = |steps: u32| {
            let begins =
                |width: u32| (2 * u64::from(steps) * u64::from(batch) * u64::from(width)).is_multiple_of(align);
            begins(depth) && begins(hidden)
        };
        let fewest = time.div_ceil(PIECES);
        let steps = (fewest..time).find(|&steps| starts_well(steps))?;
        // What `dy` was made from stays for longer, and the pieces are memory too.
        (u64::from(depth) * u64::from(time) + u64::from(hidden) * u64::from(steps)
            < u64::from(hidden) * u64::from(time))
        .then_some(steps)
    }

    fn product() -> Matmul {
        Matmul::new(Layout::Nn)
    }

    /// The type of `dy`.
    fn dy(inputs: &[TensorType], dtype: DType) -> Option<TensorType> {
        let (a, b) = (inputs.first()?, inputs.get(1)?);
        let (&[time, batch, _], &[_, hidden]) = (&a.shape[..], &b.shape[..]) else { return None };
        Some(TensorType::new(&[time, batch, hidden], dtype))
    }

    /// What `of` is told.
    fn of_recurrence(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Inner {
        let (piece, outputs) = outputs.split_last().expect("the last output is the piece");
        let dy = Self::dy(inputs, piece.dtype).expect("`outputs` accepted these inputs");
        Inner { inputs: [&[dy], &inputs[2..]].concat(), outputs: outputs.to_vec() }
    }

    /// What the product of these timesteps is told.
    fn of_product(at: &Lowering, times: &Range<u32>) -> Inner {
        let piece = at.outputs.last().expect("the last output is the piece");
        let some = |ty: &TensorType| TensorType::new(&[&[times.end - times.start], &ty.shape[1..]].concat(), ty.dtype);
        Inner { inputs: vec![some(&at.inputs[0]), at.inputs[1].clone()], outputs: vec![some(piece)] }
    }

    fn time(inputs: &[TensorType]) -> u32 {
        inputs[0].shape[0]
    }

    /// The timesteps of the piece that `t` is in.
    fn piece(&self, t: u32, time: u32) -> Range<u32> {
        let start = t / self.steps * self.steps;
        start..(start.saturating_add(self.steps)).min(time)
    }

    /// The dispatches that work out a piece.
    fn work_out(&self, at: &Lowering, times: &Range<u32>) -> Vec<Dispatch> {
        let inner = Self::of_product(at, times);
        let lowering = Lowering { inputs: &inner.inputs, outputs: &inner.outputs, wanted: &[true], target: at.target };
        let start = at.entries(Operand::Input(0), 0..times.start).end;
        let piece = Operand::Output(at.outputs.len() - 1);
        let place = |binding: &mut Binding| match (binding.reads, binding.writes) {
            (Some(Operand::Input(0)), _) => {
                binding.bytes = binding.bytes.start + start..binding.bytes.end + start;
            }
            (None, Some(_)) => binding.writes = Some(piece),
            _ => {}
        };
        let mut dispatches = Self::product().lower(&lowering);
        dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.bindings).for_each(place);
        dispatches
    }
}

impl Rule for PiecewiseGradient {
    fn name(&self) -> &'static str {
        self.of.rule().name()
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 | 1 => "a factor of the gradient that is handed to it, worked out in pieces",
            _ => self.of.rule().need(input - 1),
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let op = self.name();
        let fits = inputs.len() > 2 && self.steps > 0 && self.of.rule().is_stepwise();
        let dy = Self::product().outputs(&inputs[..2.min(inputs.len())])?.swap_remove(0);
        ShapeError::unless(fits && dy.shape.len() == 3, op, || {
            format!("its gradient is worked out in pieces of {} timesteps from {} tensors", self.steps, inputs.len())
        })?;
        let piece = TensorType::f32(&[&[self.steps.min(dy.shape[0])], &dy.shape[1..]].concat());
        let mut outputs = self.of.rule().outputs(&[&[dy], &inputs[2..]].concat())?;
        outputs.push(piece);
        Ok(outputs)
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let inner = self.of_recurrence(at.inputs, at.outputs);
        let (outer, piece) = (at.outputs.len() - 1, Operand::Output(at.outputs.len() - 1));
        let lowering =
            Lowering { inputs: &inner.inputs, outputs: &inner.outputs, wanted: &at.wanted[..outer], target: at.target };
        let one = lowering.entries(Operand::Input(0), 0..1).end.max(1);
        let mut held = 0..0;
        let mut all = Vec::new();
        for mut dispatch in self.of.rule().lower_in_pieces(&lowering, self.steps) {
            for binding in &mut dispatch.bindings {
                match binding.reads {
                    Some(Operand::Input(0)) => {
                        let t = clamp(binding.bytes.start / one);
                        if !held.contains(&t) {
                            held = self.piece(t, Self::time(at.inputs));
                            all.extend(self.work_out(at, &held));
                        }
                        let before = u64::from(held.start) * one;
                        binding.reads = Some(piece);
                        binding.bytes = binding.bytes.start - before..binding.bytes.end - before;
                    }
                    // `a` and `b` are where `dy` was.
                    Some(Operand::Input(i)) => binding.reads = Some(Operand::Input(i + 1)),
                    _ => {}
                }
            }
            all.push(dispatch);
        }
        all
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let inner = self.of_recurrence(at.inputs, at.outputs);
        let (outer, time) = (at.outputs.len() - 1, Self::time(at.inputs));
        let whole = Self::of_product(at, &(0..time));
        let lowering = Lowering { inputs: &whole.inputs, outputs: &whole.outputs, wanted: &[true], target: at.target };
        let dy = Self::product().reference(&inputs[..2], &lowering).swap_remove(0);
        let lowering =
            Lowering { inputs: &inner.inputs, outputs: &inner.outputs, wanted: &at.wanted[..outer], target: at.target };
        let rest: Vec<&[f64]> = [&[&dy[..]], &inputs[2..]].concat();
        let mut made = self.of.rule().reference(&rest, &lowering);
        // The piece has what was worked out last where that reached, and else what was before.
        let row = dy.len() / time as usize;
        let mut piece = vec![0.0; self.steps.min(time) as usize * row];
        let mut held = 0..0;
        for dispatch in self.of.rule().lower_in_pieces(&lowering, self.steps) {
            let of_dy = |binding: &&Binding| binding.reads == Some(Operand::Input(0));
            let Some(read) = dispatch.bindings.iter().find(of_dy) else { continue };
            let one = lowering.entries(Operand::Input(0), 0..1).end.max(1);
            let t = clamp(read.bytes.start / one);
            if !held.contains(&t) {
                held = self.piece(t, time);
                let part = &dy[held.start as usize * row..held.end as usize * row];
                piece[..part.len()].copy_from_slice(part);
            }
        }
        made.push(piece);
        made
    }

    fn in_place(&self) -> Vec<InPlace> {
        let of = self.of.rule().in_place().into_iter();
        of.map(|pair| InPlace { input: pair.input + 1, ..pair }).collect()
    }

    fn flops(&self, inputs: &[TensorType]) -> u64 {
        let Some(dy) = Self::dy(inputs, DType::F32) else { return 0 };
        let of = self.of.rule().flops(&[&[dy], &inputs[2..]].concat());
        of.saturating_add(Self::product().flops(&inputs[..2]))
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        // After the outputs of the recurrence, each of which lies on an input.
        let piece = Operand::Output(self.of.rule().in_place().len());
        let place = |operand: Operand| match operand {
            Operand::Input(0) => piece,
            Operand::Input(i) => Operand::Input(i + 1),
            made @ Operand::Output(_) => made,
        };
        let of = self.of.rule().halves(inputs - 1).into_iter();
        let mut groups: Vec<Vec<Operand>> = of.map(|group| group.into_iter().map(place).collect()).collect();
        groups.extend([vec![Operand::Input(0)], vec![Operand::Input(1)]]);
        groups
    }

    fn specimens() -> Vec<Specimen> {
        // Pieces that begin where any device lets a binding start; the last may be shorter.
        let lstm = |lengths: Option<&[u32]>, reverse, [t, b, h, v]: [u32; 4], steps| {
            let (a, w_out, y, gates) = ([t, b, v], [v, h], [t, b, h], [t, b, 4 * h]);
            let (state, w) = ([2, b, h], [4 * h, h]);
            let shapes: [&[u32]; 8] = [&a, &w_out, &gates, &y, &state, &w, &state, &[b]];
            let of = LstmGradient { lengths: lengths.is_some(), reverse };
            let op = PiecewiseGradient { of: Box::new(of.into()), steps };
            let specimen = Specimen::new(op, &shapes[..7 + usize::from(lengths.is_some())]);
            let specimen = specimen.filled(2, Data::Uniform(0.0, 1.0));
            lengths.map_or(specimen.clone(), |lengths| specimen.ids(7, lengths))
        };
        let gru = |reverse, [t, b, h, v]: [u32; 4], steps| {
            let (a, w_out, y, gates) = ([t, b, v], [v, h], [t, b, h], [t, b, 3 * h]);
            let (state, w) = ([1, b, h], [3 * h, h]);
            let shapes: [&[u32]; 8] = [&a, &w_out, &gates, &y, &y, &state, &w, &state];
            let op = PiecewiseGradient { of: Box::new(GruGradient { reverse }.into()), steps };
            Specimen::new(op, &shapes).filled(2, Data::Uniform(0.0, 1.0))
        };
        vec![
            lstm(None, false, [4, 1, 32, 32], 4),
            lstm(None, false, [5, 8, 8, 16], 2),
            lstm(Some(&[5, 0, 3, 2, 1, 4, 5, 5]), false, [5, 8, 8, 16], 2),
            lstm(Some(&[5, 0, 3, 2, 1, 4, 5, 5]), true, [5, 8, 8, 16], 2),
            gru(false, [5, 8, 8, 16], 2),
            gru(true, [7, 3, 32, 32], 4),
        ]
    }
}
