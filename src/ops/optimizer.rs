//! What all optimizers share: `g = clamp(clip factor * g, -v, v)`, ranges of parameters, in place.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::bytes_of_f32;
use super::streams::{PIECE, Source, Streams, pieces};
use super::{Binding, Data, Dispatch, InPlace, Lowering, Operand, ShapeError, Specimen, clamp};
use crate::shader::Shader;
use crate::tensor::{DType, TensorType};

/// Elements of a slot that are updated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterRange {
    /// Which elements; both ends are multiples of 4.
    pub elements: Range<u64>,
    /// Their weight decay, instead of the optimizer's.
    pub weight_decay: f32,
    /// What their step size is multiplied by.
    pub rate_factor: f32,
}

/// The settings every optimizer has.
///
/// Every optimizer goes from `(w (P), g (P), scalars f32[8], norm f32[2], state (P)..)` to
/// `(w, state..)`, each in place, where P is a multiple of 4, and
///
/// ```text
/// scalars = (lr, c1, c2, momentum or beta1, 1 in the first step and 0 later, 0, 0, 0)
/// norm    = (norm, clip factor)      a factor of -1: gradients are not finite, and nothing changes
/// ```
///
/// What it calls `g` is `clamp(norm[1] * g, -clip_value, clip_value)`, and what it calls `lr` is
/// `scalars[0]` times the range's factor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// How strongly parameters are drawn to 0; each optimizer has its own way.
    pub weight_decay: f32,
    /// The greatest magnitude of a gradient's element, after clipping by norm; above 0.
    pub clip_value: Option<f32>,
    /// What is updated, in rising order, a dispatch each; all of P where there are none. Elements
    /// outside every range stay as they are, and nothing in the same program may then read the
    /// outputs.
    pub ranges: Vec<ParameterRange>,
}

/// One element and how it is updated: what a reference is told.
pub(super) struct Element {
    /// Step size.
    pub(super) lr: f64,
    /// Weight decay.
    pub(super) decay: f64,
    /// Parameter.
    pub(super) w: f64,
    /// Gradient, clipped.
    pub(super) g: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    skip: u32,
    rate_factor: f32,
    weight_decay: f32,
    clip_value: f32,
    /// Elements from one operand to the next in the texture; 0 in buffers.
    stream: u32,
}

impl Update {
    /// Decay and nothing else.
    pub fn with_decay(weight_decay: f32) -> Self {
        Self { weight_decay, ..Self::default() }
    }

    /// The ranges, or the one that is all of `len` elements.
    fn ranges(&self, len: u64) -> Vec<ParameterRange> {
        if self.ranges.is_empty() {
            return vec![ParameterRange { elements: 0..len, weight_decay: self.weight_decay, rate_factor: 1.0 }];
        }
        self.ranges.clone()
    }

    /// The outputs' types, or why shaders, which take four elements at a time, cannot take these.
    pub(super) fn outputs(
        &self,
        op: &'static str,
        inputs: &[TensorType],
        state: &[&str],
    ) -> Result<Vec<TensorType>, ShapeError> {
        let w = &inputs[0];
        ShapeError::unless(w.dtype == DType::F32 && w.len().is_multiple_of(4), op, || {
            format!("w {w} (P) must be f32 and P a multiple of 4")
        })?;
        for (name, tensor) in [("g", &inputs[1])].into_iter().chain(state.iter().copied().zip(&inputs[4..])) {
            ShapeError::unless(tensor == w, op, || format!("w {w} (P) and {name} {tensor} (P) differ in P"))?;
        }
        ShapeError::unless_is(op, "scalars", &inputs[2], &TensorType::f32(&[8]))?;
        ShapeError::unless_is(op, "norm", &inputs[3], &TensorType::f32(&[2]))?;
        let mut end = 0;
        for Range { start, end: next } in self.ranges.iter().map(|r| r.elements.clone()) {
            let fits = end <= start && start <= next && next <= w.len();
            ShapeError::unless(fits && start.is_multiple_of(4) && next.is_multiple_of(4), op, || {
                format!("elements {start}..{next} of w {w} (P): ranges rise in multiples of 4 and end within P")
            })?;
            end = next;
        }
        Ok(vec![w.clone(); 1 + state.len()])
    }

    /// A dispatch for each range and each binding's worth of it, or as much of it as goes to the texture at once. `settings`
    /// follow the shared part of the shader's `Params`; so many tensors of `state` are its further operands.
    pub(super) fn lower(&self, at: &Lowering, shader: &Shader, settings: &[u8], state: usize) -> Vec<Dispatch> {
        let len = at.inputs[0].len();
        let kept = state as u64;
        let streams = Streams { read: 2 + kept, written: 1 + kept };
        let mut all = Vec::new();
        for range in self.ranges(len) {
            // Cut where the chunks of the whole are, so that no binding grows by what it skips.
            for chunk in at.chunks(len) {
                let part = chunk.start.max(range.elements.start)..chunk.end.min(range.elements.end);
                if part.start >= part.end {
                    continue;
                }
                let dispatch = |elements, textured| {
                    self.dispatch(at, shader, settings, state, &ParameterRange { elements, ..range }, textured)
                };
                if streams.are_quicker_in_a_texture(at.target, part.end - part.start, PIECE) {
                    all.extend(pieces(part, PIECE).map(|piece| dispatch(piece, true)));
                } else {
                    all.push(dispatch(part, false));
                }
            }
        }
        all
    }

    fn dispatch(
        &self,
        at: &Lowering,
        shader: &Shader,
        settings: &[u8],
        state: usize,
        part: &ParameterRange,
        textured: bool,
    ) -> Dispatch {
        let bytes = bytes_of_f32(&part.elements);
        let aligned = |binding: Binding| binding.aligned(at.target.align(), 16);
        let (w, skip) = aligned(Binding::update(Operand::Input(0), Operand::Output(0), bytes.clone()));
        let source = Source::new(textured, w.bound_bytes());
        let (g, _) = aligned(Binding::read(Operand::Input(1), bytes.clone()));
        let mut bindings: Vec<Binding> = source.changed(0, w).collect();
        bindings.extend([source.operand(1, g), at.read(2), at.read(3)]);
        for (index, i) in (2..).zip(0..state) {
            let (kept, _) = aligned(Binding::update(Operand::Input(4 + i), Operand::Output(1 + i), bytes.clone()));
            bindings.extend(source.changed(index, kept));
        }
        let vectors = (part.elements.end - part.elements.start) / 4;
        let params = Params {
            len: clamp(vectors),
            skip,
            rate_factor: part.rate_factor,
            weight_decay: part.weight_decay,
            clip_value: self.clip_value.unwrap_or_default(),
            stream: source.stride(),
        };
        Dispatch {
            shader: shader.clone().with(&[("T", source.storage(0))]),
            params: [bytes_of(&params), settings].concat(),
            groups: at.cover(vectors, 256),
            bindings,
            tile: None,
        }
    }

    /// The outputs, where `step` takes an element and its state and returns the new parameter.
    pub(super) fn reference(&self, inputs: &[&[f64]], step: impl Fn(&Element, &mut [f64]) -> f64) -> Vec<Vec<f64>> {
        let (lr, factor) = (inputs[2][0], inputs[3][1]);
        let most = self.clip_value.map_or(f64::INFINITY, f64::from);
        let mut made: Vec<Vec<f64>> = [inputs[0]].iter().chain(&inputs[4..]).map(|x| x.to_vec()).collect();
        if factor < 0.0 {
            return made;
        }
        let mut state = vec![0.0; made.len() - 1];
        for range in self.ranges(inputs[0].len() as u64) {
            for i in clamp(range.elements.start) as usize..clamp(range.elements.end) as usize {
                let element = Element {
                    lr: lr * f64::from(range.rate_factor),
                    decay: range.weight_decay.into(),
                    w: made[0][i],
                    g: (factor * inputs[1][i]).clamp(-most, most),
                };
                state.iter_mut().zip(&made[1..]).for_each(|(s, of)| *s = of[i]);
                made[0][i] = step(&element, &mut state);
                made[1..].iter_mut().zip(&state).for_each(|(of, s)| of[i] = *s);
            }
        }
        made
    }

    /// `w` and `count` tensors of state, each updated where it lies.
    pub(super) fn in_place(count: usize) -> Vec<InPlace> {
        [InPlace::must(0, 0)].into_iter().chain((0..count).map(|i| InPlace::must(1 + i, 4 + i))).collect()
    }

    /// The specimen of an optimizer in a step whose gradients are not finite.
    pub(super) fn skipped(specimen: Specimen) -> Specimen {
        let spoilt = (0..specimen.inputs[1].len()).map(|i| if i % 3 == 0 { f64::NAN } else { 1.0 });
        specimen.filled(1, Data::Values(spoilt.collect())).filled(3, Data::Values(vec![f64::INFINITY, -1.0]))
    }

    /// Updates for specimens of `p` elements: all alike, and two ranges, of which the second begins
    /// where few devices let a binding begin.
    pub(super) fn samples(p: u32) -> [Update; 2] {
        let p = u64::from(p);
        let range = |elements, weight_decay, rate_factor| ParameterRange { elements, weight_decay, rate_factor };
        let ranges = vec![range(0..p / 8 * 4, 0.2, 1.0), range(p / 8 * 4..p, 0.0, 0.25)];
        [Update::with_decay(0.1), Update { weight_decay: 0.1, clip_value: Some(0.15), ranges }]
    }
}
