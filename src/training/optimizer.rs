//! How parameters follow their gradients.

use crate::ids::ValueId;
use crate::ops::{Adagrad, Adam, Momentum, Op, ParameterRange, RmsProp, Sgd, Update};

/// An optimizer and its settings; defaults and meaning are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum (Polyak 1964), as `torch.optim.SGD`.
    Sgd {
        /// Step size.
        learning_rate: f32,
        /// Share of the last direction that is kept; 0 for none.
        momentum: f32,
        /// Share of a new direction that is left out, after the first step.
        dampening: f32,
        /// Whether steps look ahead along the momentum (Nesterov 1983).
        nesterov: bool,
        /// Share of each parameter added to its gradient.
        weight_decay: f32,
    },
    /// Adam (Kingma & Ba 2015), as `torch.optim.Adam`.
    Adam {
        /// Step size.
        learning_rate: f32,
        /// How slowly the two moments forget.
        betas: [f32; 2],
        /// What keeps the division finite.
        eps: f32,
        /// Share of each parameter added to its gradient.
        weight_decay: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`.
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
    /// Gradients over their root mean square (Hinton 2012), as `torch.optim.RMSprop`.
    RmsProp {
        /// Step size.
        learning_rate: f32,
        /// How slowly the mean square forgets.
        alpha: f32,
        /// What keeps the division finite.
        eps: f32,
        /// Share of the last direction that is kept; 0 for none.
        momentum: f32,
        /// Whether the variance stands for the mean square (Graves 2013).
        centered: bool,
        /// Share of each parameter added to its gradient.
        weight_decay: f32,
    },
    /// Gradients over the root of the sum of all squares so far (Duchi et al. 2011), as
    /// `torch.optim.Adagrad`.
    Adagrad {
        /// Step size.
        learning_rate: f32,
        /// In step `t` from 1 the step size is divided by `1 + (t - 1) * lr_decay`.
        lr_decay: f32,
        /// What keeps the division finite.
        eps: f32,
        /// What the sums of squares start from.
        initial_accumulator_value: f32,
        /// Share of each parameter added to its gradient.
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

    /// Adam with its defaults but for the step size.
    pub fn adam(learning_rate: f32) -> Self {
        Optimizer::Adam { learning_rate, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }

    /// Gradient descent with momentum.
    pub fn sgd(learning_rate: f32, momentum: f32) -> Self {
        Optimizer::Sgd { learning_rate, momentum, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }

    /// `RMSprop` with its defaults but for the step size.
    pub fn rmsprop(learning_rate: f32) -> Self {
        let (alpha, eps) = (0.99, 1e-8);
        Optimizer::RmsProp { learning_rate, alpha, eps, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }

    /// Adagrad with its defaults but for the step size.
    pub fn adagrad(learning_rate: f32) -> Self {
        let (lr_decay, eps, initial_accumulator_value) = (0.0, 1e-10, 0.0);
        Optimizer::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value, weight_decay: 0.0 }
    }

    /// The step size, before any schedule.
    pub fn learning_rate(self) -> f32 {
        match self {
            Optimizer::Sgd { learning_rate, .. }
            | Optimizer::Adam { learning_rate, .. }
            | Optimizer::AdamW { learning_rate, .. }
            | Optimizer::RmsProp { learning_rate, .. }
            | Optimizer::Adagrad { learning_rate, .. } => learning_rate,
        }
    }

    /// Weight decay of parameters that no group says otherwise of.
    pub fn weight_decay(self) -> f32 {
        match self {
            Optimizer::Sgd { weight_decay, .. }
            | Optimizer::Adam { weight_decay, .. }
            | Optimizer::AdamW { weight_decay, .. }
            | Optimizer::RmsProp { weight_decay, .. }
            | Optimizer::Adagrad { weight_decay, .. } => weight_decay,
        }
    }

    /// The momentum or the first of the betas, which a schedule may change; `None` where the
    /// optimizer remembers no direction.
    pub fn momentum(self) -> Option<f32> {
        match self {
            Optimizer::Sgd { momentum, .. } | Optimizer::RmsProp { momentum, .. } => {
                Some(momentum).filter(|m| *m != 0.0)
            }
            Optimizer::Adam { betas, .. } | Optimizer::AdamW { betas, .. } => Some(betas[0]),
            Optimizer::Adagrad { .. } => None,
        }
    }

    /// What it remembers of each parameter between steps, in the op's order.
    pub(super) fn state(self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd { .. } if self.momentum().is_none() => &[],
            Optimizer::Sgd { .. } => &["momentum"],
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => &["first moment", "second moment"],
            Optimizer::RmsProp { centered, .. } => match (centered, self.momentum()) {
                (false, None) => &["mean square"],
                (false, Some(_)) => &["mean square", "momentum"],
                (true, None) => &["mean square", "mean"],
                (true, Some(_)) => &["mean square", "mean", "momentum"],
            },
            Optimizer::Adagrad { .. } => &["sum of squares"],
        }
    }

    /// What every element of its state holds before the first step.
    pub fn initial_state(self) -> f32 {
        match self {
            Optimizer::Adagrad { initial_accumulator_value, .. } => initial_accumulator_value,
            _ => 0.0,
        }
    }

    /// The op that updates a slot of parameters. `clip_value` is the greatest magnitude left to an
    /// element of a gradient; `ranges` are parts of the slot with settings of their own, and
    /// without any the whole slot is updated alike.
    pub(super) fn op(self, clip_value: Option<f32>, ranges: Vec<ParameterRange>) -> Op {
        let update = Update { weight_decay: self.weight_decay(), clip_value, ranges };
        let remembers = self.momentum().is_some();
        match self {
            Optimizer::Sgd { dampening, nesterov, .. } => {
                Sgd { momentum: remembers.then_some(Momentum { dampening, nesterov }), update }.into()
            }
            Optimizer::Adam { betas: [_, beta2], eps, .. } => Adam { beta2, eps, decoupled: false, update }.into(),
            Optimizer::AdamW { betas: [_, beta2], eps, .. } => Adam { beta2, eps, decoupled: true, update }.into(),
            Optimizer::RmsProp { alpha, eps, centered, .. } => {
                RmsProp { alpha, eps, centered, momentum: remembers, update }.into()
            }
            Optimizer::Adagrad { eps, .. } => Adagrad { eps, update }.into(),
        }
    }

    /// The op's inputs after parameter and gradient, in its own order.
    pub(super) fn order(self, state: &[ValueId], scalars: ValueId, norm: ValueId) -> Vec<ValueId> {
        [scalars, norm].into_iter().chain(state.iter().copied()).collect()
    }

    /// What the op is told at step `step`, counted from 1, where a schedule has come to the step size
    /// `learning_rate` and perhaps to a momentum: `(lr, c1, c2, momentum or beta1, first step, 0, 0, 0)`.
    ///
    /// `c1` and `c2` make up for moments that started at zero, and are 1 where there are none.
    #[allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]
    pub(super) fn scalars(self, step: u64, learning_rate: f32, momentum: Option<f32>) -> [f32; 8] {
        let correction = |beta: f32| {
            let power = f64::from(beta).powf(step as f64);
            (1.0 / (1.0 - power)) as f32
        };
        let momentum = self.momentum().map_or(0.0, |own| momentum.unwrap_or(own));
        let first_step = if step == 1 { 1.0 } else { 0.0 };
        let (lr, c1, c2) = match self {
            Optimizer::Adam { betas, .. } | Optimizer::AdamW { betas, .. } => {
                (learning_rate, correction(momentum), correction(betas[1]))
            }
            Optimizer::Adagrad { lr_decay, .. } => {
                let decay = 1.0 + step.saturating_sub(1) as f64 * f64::from(lr_decay);
                ((f64::from(learning_rate) / decay) as f32, 1.0, 1.0)
            }
            Optimizer::Sgd { .. } | Optimizer::RmsProp { .. } => (learning_rate, 1.0, 1.0),
        };
        [lr, c1, c2, momentum, first_step, 0.0, 0.0, 0.0]
    }

    /// How much of the mean square gradient Adam keeps; `None` of an optimizer whose scalars need no such
    /// correction.
    pub(super) fn beta2(self) -> Option<f32> {
        match self {
            Optimizer::Adam { betas, .. } | Optimizer::AdamW { betas, .. } => Some(betas[1]),
            Optimizer::Sgd { .. } | Optimizer::RmsProp { .. } | Optimizer::Adagrad { .. } => None,
        }
    }

    /// What is wrong with the settings, if anything.
    pub(super) fn check(self) -> Result<(), String> {
        const SHARE: &str = "at least 0 and below 1";
        positive("learning_rate", self.learning_rate())?;
        match self {
            Optimizer::Sgd { momentum, dampening, nesterov, .. } => {
                within("momentum", momentum, SHARE, share(momentum))?;
                let ranged = (0.0..=1.0).contains(&dampening);
                within("dampening", dampening, "at least 0 and at most 1", ranged)?;
                if nesterov && (momentum == 0.0 || dampening != 0.0) {
                    return Err("`nesterov` needs a `momentum` above 0 and no `dampening`".into());
                }
            }
            Optimizer::Adam { betas, eps, .. } | Optimizer::AdamW { betas, eps, .. } => {
                let wrong = if share(betas[0]) { betas[1] } else { betas[0] };
                within("betas", wrong, "at least 0 and below 1, both", share(wrong))?;
                above_zero("eps", eps)?;
            }
            Optimizer::RmsProp { alpha, eps, momentum, .. } => {
                within("alpha", alpha, SHARE, share(alpha))?;
                above_zero("eps", eps)?;
                within("momentum", momentum, SHARE, share(momentum))?;
            }
            Optimizer::Adagrad { lr_decay, eps, initial_accumulator_value, .. } => {
                positive("lr_decay", lr_decay)?;
                above_zero("eps", eps)?;
                positive("initial_accumulator_value", initial_accumulator_value)?;
            }
        }
        positive("weight_decay", self.weight_decay())
    }
}

fn share(x: f32) -> bool {
    (0.0..1.0).contains(&x)
}

fn positive(name: &str, x: f32) -> Result<(), String> {
    within(name, x, "a number of at least 0", x.is_finite() && x >= 0.0)
}

fn above_zero(name: &str, x: f32) -> Result<(), String> {
    within(name, x, "above 0", x.is_finite() && x > 0.0)
}

fn within(name: &str, value: f32, range: &str, fits: bool) -> Result<(), String> {
    if fits { Ok(()) } else { Err(format!("`{name}` is {value} and must be {range}")) }
}

#[cfg(test)]
mod tests;
