//! How parameters follow their gradients.

use crate::ids::ValueId;
use crate::ops::{AdamW, Op, Sgd};

/// An optimizer and its settings; defaults and meaning are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum (Polyak 1964).
    Sgd {
        /// Step size.
        learning_rate: f32,
        /// Share of the last direction that is kept; 0 for none.
        momentum: f32,
        /// Share of each parameter added to its gradient.
        weight_decay: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW {
        /// Step size.
        learning_rate: f32,
        /// How slowly the two moments forget.
        betas: [f32; 2],
        /// What keeps the division finite.
        eps: f32,
        /// Share of each parameter taken away at each step, times the step size.
        weight_decay: f32,
    },
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::adamw(1e-3)
    }
}

impl Optimizer {
    /// AdamW with its defaults but for the step size.
    pub fn adamw(learning_rate: f32) -> Self {
        Optimizer::AdamW { learning_rate, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 }
    }

    /// Gradient descent with momentum.
    pub fn sgd(learning_rate: f32, momentum: f32) -> Self {
        Optimizer::Sgd { learning_rate, momentum, weight_decay: 0.0 }
    }

    /// The step size.
    pub fn learning_rate(self) -> f32 {
        match self {
            Optimizer::Sgd { learning_rate, .. } | Optimizer::AdamW { learning_rate, .. } => learning_rate,
        }
    }

    /// What it remembers of each parameter between steps.
    pub(super) fn state(self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd { momentum: 0.0, .. } => &[],
            Optimizer::Sgd { .. } => &["momentum"],
            Optimizer::AdamW { .. } => &["first moment", "second moment"],
        }
    }

    /// The op that updates a group of parameters.
    pub(super) fn op(self) -> Op {
        match self {
            Optimizer::Sgd { momentum, weight_decay, .. } => Sgd { momentum, weight_decay }.into(),
            Optimizer::AdamW { betas: [beta1, beta2], eps, weight_decay, .. } => {
                AdamW { beta1, beta2, eps, weight_decay }.into()
            }
        }
    }

    /// The op's inputs after parameter and gradient, in its own order.
    pub(super) fn order(self, state: &[ValueId], scalars: ValueId, norm: ValueId) -> Vec<ValueId> {
        let (state, rest) = (state.iter().copied(), [scalars, norm]);
        match self {
            Optimizer::Sgd { .. } => rest.into_iter().chain(state).collect(),
            Optimizer::AdamW { .. } => state.chain(rest).collect(),
        }
    }

    /// What the op is told at step `step`, counted from 1: the step size and what makes up for
    /// moments that started at zero.
    #[allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]
    pub(super) fn scalars(self, step: u64) -> [f32; 4] {
        let correction = |beta: f32| {
            let power = f64::from(beta).powf(step as f64);
            (1.0 / (1.0 - power)) as f32
        };
        match self {
            Optimizer::Sgd { learning_rate, .. } => [learning_rate, 1.0, 1.0, 0.0],
            Optimizer::AdamW { learning_rate, betas, .. } => {
                [learning_rate, correction(betas[0]), correction(betas[1]), 0.0]
            }
        }
    }

    pub(super) fn check(self) -> Result<(), String> {
        let fail = |name: &str, value: f32, range: &str| Err(format!("`{name}` is {value} and must be {range}"));
        let positive = |x: f32| x.is_finite() && x >= 0.0;
        let share = |x: f32| (0.0..1.0).contains(&x);
        let rate = self.learning_rate();
        if !positive(rate) {
            return fail("learning_rate", rate, "a number of at least 0");
        }
        match self {
            Optimizer::Sgd { momentum, .. } if !share(momentum) => fail("momentum", momentum, "at least 0 and below 1"),
            Optimizer::AdamW { betas, .. } if !betas.into_iter().all(share) => {
                let wrong = if share(betas[0]) { betas[1] } else { betas[0] };
                fail("betas", wrong, "at least 0 and below 1, both")
            }
            Optimizer::AdamW { eps, .. } if !(eps.is_finite() && eps > 0.0) => fail("eps", eps, "above 0"),
            Optimizer::Sgd { weight_decay, .. } | Optimizer::AdamW { weight_decay, .. } if !positive(weight_decay) => {
                fail("weight_decay", weight_decay, "a number of at least 0")
            }
            _ => Ok(()),
        }
    }
}
