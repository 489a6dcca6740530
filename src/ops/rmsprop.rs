//! `w -= lr * g / (sqrt(mean of g^2) + eps)`

use bytemuck::{Pod, Zeroable, bytes_of};

use super::optimizer::Update;
use super::{Data, Dispatch, Emit, InPlace, Lowering, Rule, ShapeError, Site, Slope, Specimen};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// One step of `RMSprop` (Hinton 2012; centred as in Graves 2013), with the state `v`, then `mean`
/// where it is centred, then `buffer` where it has momentum; see [`Update`] for inputs and outputs.
///
/// ```text
/// d      = g + weight_decay * w
/// v      = alpha * v + (1 - alpha) * d^2
/// mean   = alpha * mean + (1 - alpha) * d               0 if not centred
/// buffer = momentum * buffer + d / (sqrt(v - mean^2) + eps)
/// w      = w - lr * buffer
/// ```
///
/// where `scalars = (lr, 1, 1, momentum, ..)`. Equal to `torch.optim.RMSprop` up to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct RmsProp {
    /// How much of the means is kept.
    pub alpha: f32,
    /// Keeps the quotient finite where no gradient ever flowed.
    pub eps: f32,
    /// Whether the mean's square is taken from the mean square.
    pub centered: bool,
    /// Whether there is a buffer.
    pub momentum: bool,
    /// What all optimizers are told.
    pub update: Update,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Settings {
    alpha: f32,
    eps: f32,
}

impl RmsProp {
    fn state(&self) -> Vec<&'static str> {
        let optional = [(self.centered, "mean"), (self.momentum, "buffer")];
        ["v"].into_iter().chain(optional.into_iter().filter_map(|(has, name)| has.then_some(name))).collect()
    }
}

impl Rule for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        self.update.outputs(self.name(), inputs, &self.state())
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let settings = Settings { alpha: self.alpha, eps: self.eps };
        let shader = shader!("rmsprop").with(&[("C", self.centered.into()), ("M", self.momentum.into())]);
        self.update.lower(at, &shader, bytes_of(&settings), self.state().len())
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let ([alpha, eps], momentum) = ([self.alpha, self.eps].map(f64::from), inputs[2][3]);
        self.update.reference(inputs, |at, state| {
            let d = at.g + at.decay * at.w;
            state[0] = alpha * state[0] + (1.0 - alpha) * d * d;
            let mut variance = state[0];
            if self.centered {
                state[1] = alpha * state[1] + (1.0 - alpha) * d;
                variance -= state[1] * state[1];
            }
            let step = d / (variance.sqrt() + eps);
            let buffer = state.last_mut().filter(|_| self.momentum);
            let step = buffer.map_or(step, |buffer| {
                *buffer = momentum * *buffer + step;
                *buffer
            });
            at.w - at.lr * step
        })
    }

    fn in_place(&self) -> Vec<InPlace> {
        Update::in_place(self.state().len())
    }

    fn specimens() -> Vec<Specimen> {
        let of = |[centered, momentum]: [bool; 2], update: Update, p: u32| {
            let op = RmsProp { alpha: 0.75, eps: 1e-3, centered, momentum, update };
            let inputs = 4 + op.state().len();
            let shapes: [&[u32]; 7] = [&[p], &[p], &[8], &[2], &[p], &[p], &[p]];
            Specimen::new(op, &shapes[..inputs])
                .filled(2, Data::Values(vec![0.05, 1.0, 1.0, 0.9, 0.0, 0.0, 0.0, 0.0]))
                .filled(3, Data::Values(vec![3.0, 0.3]))
                // No less than the square of any mean, as every history makes it.
                .filled(4, Data::Uniform(1.0, 2.0))
        };
        let kinds = [[false, false], [true, false], [false, true], [true, true]];
        let small = of([true, true], Update::with_decay(0.1), 4);
        let large = of([false, false], Update::with_decay(0.1), 4 * 257);
        let p = 4 * 67;
        let all = kinds.into_iter().flat_map(|kind| Update::samples(p).map(|update| of(kind, update, p)));
        let skipped = Update::skipped(of([true, true], Update::with_decay(0.1), p));
        all.chain([small, large, skipped]).collect()
    }
}
