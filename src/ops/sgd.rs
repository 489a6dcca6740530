//! `w -= lr * g`, with momentum where it is asked for.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::optimizer::Update;
use super::{Data, Dispatch, Emit, InPlace, Lowering, Rule, ShapeError, Site, Slope, Specimen};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// One step of stochastic gradient descent, with momentum (Polyak 1964) where there is a buffer,
/// which is then its state; see [`Update`] for inputs and outputs.
///
/// ```text
/// d      = g + weight_decay * w
/// buffer = momentum * buffer + (1 - dampening) * d          in the first step d, undamped
/// w      = w - lr * buffer                                  Nesterov: lr * (d + momentum * buffer)
/// ```
///
/// where `scalars = (lr, 1, 1, momentum, first step, ..)`; without a buffer `w = w - lr * d`. Equal
/// to `torch.optim.SGD` up to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// Its buffer; `None` for plain descent.
    pub momentum: Option<Momentum>,
    /// What all optimizers are told.
    pub update: Update,
}

/// How directions are remembered. How much of them is kept is among the scalars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Momentum {
    /// Share of a new direction that is left out of the buffer.
    pub dampening: f32,
    /// Whether steps look ahead along the buffer (Nesterov 1983; as Sutskever et al. 2013 write it).
    pub nesterov: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Settings {
    dampening: f32,
    nesterov: u32,
}

impl Rule for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let state: &[&str] = if self.momentum.is_some() { &["buffer"] } else { &[] };
        self.update.outputs(self.name(), inputs, state)
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let Some(Momentum { dampening, nesterov }) = self.momentum else {
            return self.update.lower(at, &shader!("sgd"), &[], 0);
        };
        let settings = Settings { dampening, nesterov: nesterov.into() };
        self.update.lower(at, &shader!("sgd_momentum"), bytes_of(&settings), 1)
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let (momentum, first_step) = (inputs[2][3], inputs[2][4] != 0.0);
        self.update.reference(inputs, |at, state| {
            let d = at.g + at.decay * at.w;
            let Some(Momentum { dampening, nesterov }) = self.momentum else { return at.w - at.lr * d };
            let share = if first_step { 1.0 } else { 1.0 - f64::from(dampening) };
            let buffer = momentum * state[0] + share * d;
            state[0] = buffer;
            at.w - at.lr * if nesterov { d + momentum * buffer } else { buffer }
        })
    }

    fn in_place(&self) -> Vec<InPlace> {
        Update::in_place(usize::from(self.momentum.is_some()))
    }

    fn specimens() -> Vec<Specimen> {
        let of = |momentum: Option<Momentum>, update: Update, p: u32, first_step: f64| {
            let shapes: [&[u32]; 5] = [&[p], &[p], &[8], &[2], &[p]];
            let inputs = 4 + usize::from(momentum.is_some());
            Specimen::new(Sgd { momentum, update }, &shapes[..inputs])
                .filled(2, Data::Values(vec![0.05, 1.0, 1.0, 0.9, first_step, 0.0, 0.0, 0.0]))
                .filled(3, Data::Values(vec![3.0, 0.3]))
        };
        let damped = Momentum { dampening: 0.25, nesterov: false };
        let ahead = Momentum { dampening: 0.0, nesterov: true };
        let sizes = [4, 4 * 251, 4 * 257].into_iter();
        let plain = sizes.map(|p| of(None, Update::with_decay(0.1), p, 0.0));
        let p = 4 * 67;
        let kinds = [(None, 0.0), (Some(Momentum::default()), 0.0), (Some(damped), 0.0), (Some(damped), 1.0)];
        let kinds = kinds.into_iter().chain([(Some(ahead), 0.0)]);
        let kinds = kinds.flat_map(|(m, first)| Update::samples(p).map(|update| of(m, update, p, first)));
        let skipped = [None, Some(damped)].map(|m| Update::skipped(of(m, Update::with_decay(0.1), p, 0.0)));
        plain.chain(kinds).chain(skipped).collect()
    }
}
