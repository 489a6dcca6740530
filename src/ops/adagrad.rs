//! `w -= lr * g / (sqrt(sum of all g^2 so far) + eps)`

use bytemuck::bytes_of;

use super::optimizer::Update;
use super::{Data, Dispatch, Emit, InPlace, Lowering, Rule, ShapeError, Site, Slope, Specimen};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// One step of Adagrad (Duchi et al. 2011), with the state `squares`; see [`Update`] for inputs and
/// outputs.
///
/// ```text
/// d       = g + weight_decay * w
/// squares = squares + d^2
/// w       = w - lr * d / (sqrt(squares) + eps)
/// ```
///
/// where `scalars = (lr, ..)`, any decay of the rate already in it. Equal to `torch.optim.Adagrad` up
/// to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Adagrad {
    /// Keeps the quotient finite where no gradient ever flowed.
    pub eps: f32,
    /// What all optimizers are told.
    pub update: Update,
}

impl Rule for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        self.update.outputs(self.name(), inputs, &["squares"])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        self.update.lower(at, &shader!("adagrad"), bytes_of(&self.eps), 1)
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        self.update.reference(inputs, |at, state| {
            let d = at.g + at.decay * at.w;
            state[0] += d * d;
            at.w - at.lr * d / (state[0].sqrt() + f64::from(self.eps))
        })
    }

    fn in_place(&self) -> Vec<InPlace> {
        Update::in_place(1)
    }

    fn specimens() -> Vec<Specimen> {
        let of = |update: Update, p: u32| {
            Specimen::new(Adagrad { eps: 1e-3, update }, &[&[p], &[p], &[8], &[2], &[p]])
                .filled(2, Data::Values(vec![0.05, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
                .filled(3, Data::Values(vec![3.0, 0.3]))
                .filled(4, Data::Uniform(0.0, 1.0))
        };
        let sizes = [4, 4 * 257].into_iter().map(|p| of(Update::with_decay(0.1), p));
        let skipped = Update::skipped(of(Update::with_decay(0.1), 4 * 67));
        sizes.chain(Update::samples(4 * 67).map(|update| of(update, 4 * 67))).chain([skipped]).collect()
    }
}
