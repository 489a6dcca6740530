//! `w -= lr * m' / (sqrt(v') + eps)`: Adam, with weight decay in the moments or apart from them.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::optimizer::Update;
use super::{Data, Dispatch, Emit, InPlace, Lowering, Rule, ShapeError, Site, Slope, Specimen};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// One step of Adam (Kingma & Ba 2015) or of `AdamW` (Loshchilov & Hutter 2019, Decoupled Weight
/// Decay Regularization), with the state `m, v`; see [`Update`] for inputs and outputs.
///
/// ```text
/// g = g + weight_decay * w                  only where the decay is coupled
/// m = beta1 * m + (1 - beta1) * g
/// v = beta2 * v + (1 - beta2) * g^2
/// w = (1 - lr * weight_decay) * w           only where it is decoupled
/// w = w - lr * (c1 * m) / (sqrt(c2 * v) + eps)
/// ```
///
/// where `scalars = (lr, c1, c2, beta1, ..)` and, in step `t` from 1, `ci = 1 / (1 - betai^t)`.
/// Equal to `torch.optim.Adam` and `torch.optim.AdamW` up to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// How much of the mean square gradient is kept.
    pub beta2: f32,
    /// Keeps the quotient finite where no gradient ever flowed.
    pub eps: f32,
    /// Whether weight decay stays out of the moments.
    pub decoupled: bool,
    /// What all optimizers are told.
    pub update: Update,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Settings {
    beta2: f32,
    eps: f32,
    decoupled: u32,
}

impl Rule for Adam {
    fn name(&self) -> &'static str {
        if self.decoupled { "adamw" } else { "adam" }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        self.update.outputs(self.name(), inputs, &["m", "v"])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let settings = Settings { beta2: self.beta2, eps: self.eps, decoupled: self.decoupled.into() };
        self.update.lower(at, &shader!("adam"), bytes_of(&settings), 2)
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let [beta2, eps] = [self.beta2, self.eps].map(f64::from);
        let (c1, c2, beta1) = (inputs[2][1], inputs[2][2], inputs[2][3]);
        self.update.reference(inputs, |at, state| {
            let (coupled, decoupled) = if self.decoupled { (0.0, at.decay) } else { (at.decay, 0.0) };
            let g = at.g + coupled * at.w;
            let m = beta1 * state[0] + (1.0 - beta1) * g;
            let v = beta2 * state[1] + (1.0 - beta2) * g * g;
            state.copy_from_slice(&[m, v]);
            (1.0 - at.lr * decoupled) * at.w - at.lr * (c1 * m) / ((c2 * v).sqrt() + eps)
        })
    }

    fn in_place(&self) -> Vec<InPlace> {
        Update::in_place(2)
    }

    fn specimens() -> Vec<Specimen> {
        const LONG: u32 = 2 * (128 * 1024 + 4 * 67);
        let of = |decoupled: bool, update: Update, p: u32| {
            let (beta1, op) = (0.9f64, Adam { beta2: 0.999, eps: 1e-8, decoupled, update });
            let third_step = [0.05, 1.0 / (1.0 - beta1.powi(3)), 1.0 / (1.0 - 0.999f64.powi(3)), beta1];
            Specimen::new(op, &[&[p], &[p], &[8], &[2], &[p], &[p]])
                .filled(2, Data::Values([&third_step[..], &[0.0; 4]].concat()))
                .filled(3, Data::Values(vec![3.0, 0.3]))
                .filled(5, Data::Uniform(0.0, 1.0))
        };
        let sizes = [4, 4 * 251, 4 * 257];
        let all = sizes.into_iter().map(|p| of(true, Update::with_decay(0.1), p));
        let p = 4 * 67;
        let kinds = [true, false].into_iter().flat_map(|d| Update::samples(p).map(|update| of(d, update, p)));
        // More than a dispatch has in a texture, in ranges of which the second begins where few devices let a binding begin.
        let [_, long] = Update::samples(LONG);
        all.chain(kinds)
            .chain([of(true, long, LONG)])
            .chain([Update::skipped(of(true, Update::with_decay(0.1), p))])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::ParameterRange;

    #[test]
    fn a_length_that_is_no_multiple_of_four_is_refused_with_its_shape() {
        let mut op = Adam { beta2: 0.999, eps: 1e-8, decoupled: true, update: Update::default() };
        let inputs = |p: u32, v: u32| [p, p, 8, 2, p, v].map(|n| TensorType::f32(&[n]));
        let refusal = |op: &Adam, p, v| op.outputs(&inputs(p, v)).unwrap_err().to_string();
        assert_eq!(refusal(&op, 6, 6), "adamw: w f32[6] (P) must be f32 and P a multiple of 4");
        assert_eq!(refusal(&op, 8, 12), "adamw: w f32[8] (P) and v f32[12] (P) differ in P");
        assert!(op.outputs(&inputs(8, 8)).is_ok());
        for (start, end) in [(0, 6), (4, 12), (8, 4)] {
            let elements = std::ops::Range { start, end };
            op.update.ranges = vec![ParameterRange { elements, weight_decay: 0.0, rate_factor: 1.0 }];
            assert!(refusal(&op, 8, 8).contains("ranges rise in multiples of 4 and end within P"));
        }
    }
}
