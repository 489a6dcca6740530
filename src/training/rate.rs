//! How the step size follows the steps of a run: `learning_rate(step)`, a pure function.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::Optimizer;

/// Least change of a step size that a plateau makes, as in PyTorch.
const LEAST_CHANGE: f64 = 1e-8;

/// How the step size follows the steps of a run.
///
/// A schedule advances once an update, as where `scheduler.step()` of PyTorch is called after each
/// batch, or once in `every` updates, as where it is called after each epoch of `every` batches.
/// With warm-up of W updates it begins W updates later, from its own step 0, and update `s` from 0
/// before that takes `(s + 1) / W` of the optimizer's step size: `LinearLR(1 / W, 1, W - 1)`, and the
/// schedule after W updates of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// What the step size goes along.
    pub curve: Curve,
    /// Updates for each step along the curve; at least 1.
    pub every: u32,
    /// Updates before the curve begins.
    pub warmup: u32,
}

/// What a step size goes along. `t` counts steps of the schedule from 0; `base` is the optimizer's
/// step size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Curve {
    /// `base`.
    #[default]
    Constant,
    /// From `start_factor * base` evenly to `end_factor * base`, then that; as `LinearLR`.
    Linear {
        /// Factor at the start, above 0.
        start_factor: f64,
        /// Factor at the end.
        end_factor: f64,
        /// Steps from the one to the other.
        steps: u32,
    },
    /// `eta_min + (base - eta_min) * (1 + cos(pi t / steps)) / 2`, as `CosineAnnealingLR` (Loshchilov &
    /// Hutter 2017). Past `steps` it rises again and is back at `base` after as many more.
    Cosine {
        /// Steps from the greatest to the least.
        steps: u32,
        /// The least.
        eta_min: f64,
    },
    /// `base * gamma^(t / step_size)` with the quotient rounded down, as `StepLR`.
    Step {
        /// Steps from one fall to the next.
        step_size: u32,
        /// What the step size is multiplied by.
        gamma: f64,
    },
    /// `base * gamma^t`, as `ExponentialLR`.
    Exponential {
        /// What the step size is multiplied by at each step.
        gamma: f64,
    },
    /// Up to `max_lr` and down to almost nothing, as `OneCycleLR` (Smith & Topin 2019). The base is
    /// not used. Past `steps`, where PyTorch fails, it stays at its end.
    OneCycle(OneCycle),
    /// Lower whenever the validation loss has stopped falling, as `ReduceLROnPlateau` with mode `min`
    /// and a relative threshold. Told of losses by [`Schedule::observe`].
    Plateau {
        /// What the step size is multiplied by; below 1.
        factor: f64,
        /// Losses in a row that may be no better before the next one that is not lowers the step size.
        patience: u32,
        /// Share of the best loss by which a better one must be below it.
        threshold: f64,
        /// Losses after a reduction that are not counted.
        cooldown: u32,
        /// The least.
        min_lr: f64,
    },
}

/// The settings of `OneCycleLR`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// The greatest step size.
    pub max_lr: f64,
    /// Steps in all.
    pub steps: u32,
    /// Share of the steps on the way up.
    pub pct_start: f64,
    /// `max_lr` over the first step size.
    pub div_factor: f64,
    /// The first step size over the last.
    pub final_div_factor: f64,
    /// How the ways go.
    pub anneal: Anneal,
    /// Whether momentum, or the first of the betas, goes down as the step size goes up.
    pub cycle_momentum: bool,
    /// The least momentum.
    pub base_momentum: f64,
    /// The greatest momentum.
    pub max_momentum: f64,
    /// Whether the way down first takes as long as the way up, and then the rest to the end.
    pub three_phase: bool,
}

/// How a step size goes from one number to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    /// Along half a cosine.
    #[default]
    Cos,
    /// Along a line.
    Linear,
}

/// What an update is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The step size.
    pub learning_rate: f32,
    /// The momentum or first of the betas, where it is not the optimizer's own.
    pub momentum: Option<f32>,
}

/// What [`Curve::Plateau`] has learnt from the losses so far. Other curves leave it as it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// The least loss; `None` before the first that is a number.
    pub best: Option<f64>,
    /// Losses since that were no better.
    pub bad: u32,
    /// Losses that are not to be counted yet.
    pub cooldown: u32,
    /// How often the step size was lowered.
    pub reductions: u32,
}

impl Default for Schedule {
    /// A constant step size.
    fn default() -> Self {
        Curve::Constant.into()
    }
}

impl From<Curve> for Schedule {
    fn from(curve: Curve) -> Self {
        Self { curve, every: 1, warmup: 0 }
    }
}

impl Curve {
    /// `OneCycleLR` with PyTorch's defaults.
    pub fn one_cycle(max_lr: f64, steps: u32) -> Self {
        Curve::OneCycle(OneCycle {
            max_lr,
            steps,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            anneal: Anneal::Cos,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            three_phase: false,
        })
    }

    /// `ReduceLROnPlateau` with PyTorch's defaults.
    pub fn plateau() -> Self {
        Curve::Plateau { factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_lr: 0.0 }
    }

    /// Step size and momentum at step `t` of the schedule.
    fn at(self, t: u64, base: f64, state: &PlateauState) -> (f64, Option<f64>) {
        let steps = t as f64;
        let lr = match self {
            Curve::Constant => base,
            Curve::Linear { start_factor, end_factor, steps: most } => {
                let most = f64::from(most);
                base * (start_factor + (end_factor - start_factor) * steps.min(most) / most)
            }
            Curve::Cosine { steps: half, eta_min } => {
                eta_min + (base - eta_min) * (1.0 + (PI * steps / f64::from(half)).cos()) / 2.0
            }
            Curve::Step { step_size, gamma } => base * gamma.powf((t / u64::from(step_size)) as f64),
            Curve::Exponential { gamma } => base * gamma.powf(steps),
            Curve::OneCycle(cycle) => return cycle.at(steps),
            Curve::Plateau { factor, min_lr, .. } => {
                let lower = |lr: f64| Some((lr * factor).max(min_lr)).filter(|next| lr - next > LEAST_CHANGE);
                let rates = std::iter::successors(Some(base), |lr| lower(*lr));
                rates.take(state.reductions as usize + 1).last().unwrap_or(base)
            }
        };
        (lr, None)
    }
}

impl OneCycle {
    fn at(self, t: f64) -> (f64, Option<f64>) {
        let total = f64::from(self.steps);
        let initial = self.max_lr / self.div_factor;
        let last = initial / self.final_div_factor;
        let (slow, fast) = (self.max_momentum, self.base_momentum);
        // Each phase: its last step, and step size and momentum at its two ends.
        let up = (self.pct_start * total - 1.0, [initial, self.max_lr], [slow, fast]);
        let phases = if self.three_phase {
            let down = (2.0 * self.pct_start * total - 2.0, [self.max_lr, initial], [fast, slow]);
            vec![up, down, (total - 1.0, [initial, last], [slow, slow])]
        } else {
            vec![up, (total - 1.0, [self.max_lr, last], [fast, slow])]
        };
        let mut start = 0.0;
        let mut found = (1.0, phases[0]);
        for phase in phases {
            // A phase of no length is at its end.
            let share = if phase.0 > start { (t - start) / (phase.0 - start) } else { 1.0 };
            found = (share.min(1.0), phase);
            if t <= phase.0 {
                break;
            }
            start = phase.0;
        }
        let (share, (_, rates, momenta)) = found;
        (self.anneal.between(rates, share), self.cycle_momentum.then(|| self.anneal.between(momenta, share)))
    }
}

impl Anneal {
    fn between(self, [from, to]: [f64; 2], share: f64) -> f64 {
        match self {
            Anneal::Cos => to + (from - to) / 2.0 * (1.0 + (PI * share).cos()),
            Anneal::Linear => from + (to - from) * share,
        }
    }
}

impl Schedule {
    /// What update `step`, counted from 0, is made with, where `base` is the optimizer's step size.
    #[allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]
    pub fn at(&self, step: u64, base: f32, state: &PlateauState) -> Rate {
        let (base, warmup) = (f64::from(base), u64::from(self.warmup));
        let (lr, momentum) = if step < warmup {
            (base * (step + 1) as f64 / warmup as f64, None)
        } else {
            self.curve.at((step - warmup) / u64::from(self.every.max(1)), base, state)
        };
        Rate { learning_rate: lr as f32, momentum: momentum.map(|m| m as f32) }
    }

    /// Takes note of a validation loss, which a plateau goes by.
    pub fn observe(&self, state: &mut PlateauState, loss: f64) {
        let Curve::Plateau { patience, threshold, cooldown, .. } = self.curve else { return };
        if loss < state.best.unwrap_or(f64::INFINITY) * (1.0 - threshold) {
            (state.best, state.bad) = (Some(loss), 0);
        } else {
            state.bad += 1;
        }
        if state.cooldown > 0 {
            state.cooldown -= 1;
            state.bad = 0;
        }
        if state.bad > patience {
            *state = PlateauState { bad: 0, cooldown, reductions: state.reductions + 1, ..*state };
        }
    }

    /// Whether it multiplies the step size by something that does not depend on it, so that groups
    /// of parameters with step sizes of their own follow it as they would in PyTorch.
    pub fn is_a_factor(&self) -> bool {
        match self.curve {
            Curve::Cosine { eta_min, .. } => eta_min == 0.0,
            Curve::Plateau { min_lr, .. } => min_lr == 0.0,
            Curve::OneCycle(_) => false,
            _ => true,
        }
    }

    /// Whether it goes by validation losses, so that without any it never changes.
    pub fn needs_evaluation(&self) -> bool {
        matches!(self.curve, Curve::Plateau { .. })
    }

    /// What is wrong with the settings, or with them for this optimizer, if anything.
    ///
    /// # Errors
    /// The setting, its value and what it must be.
    pub fn check(&self, optimizer: Optimizer) -> Result<(), String> {
        counted("every", self.every)?;
        match self.curve {
            Curve::Constant => Ok(()),
            Curve::Linear { start_factor, end_factor, steps } => {
                counted("steps", steps)?;
                within(
                    "start_factor",
                    start_factor,
                    "above 0 and at most 1",
                    start_factor > 0.0 && start_factor <= 1.0,
                )?;
                within("end_factor", end_factor, "at least 0 and at most 1", (0.0..=1.0).contains(&end_factor))
            }
            Curve::Cosine { steps, eta_min } => {
                counted("steps", steps)?;
                positive("eta_min", eta_min)
            }
            Curve::Step { step_size, gamma } => {
                counted("step_size", step_size)?;
                positive("gamma", gamma)
            }
            Curve::Exponential { gamma } => positive("gamma", gamma),
            Curve::OneCycle(cycle) => cycle.check(optimizer),
            Curve::Plateau { factor, threshold, min_lr, .. } => {
                within("factor", factor, "at least 0 and below 1", (0.0..1.0).contains(&factor))?;
                within("threshold", threshold, "at least 0 and below 1", (0.0..1.0).contains(&threshold))?;
                positive("min_lr", min_lr)
            }
        }
    }
}

impl OneCycle {
    fn check(self, optimizer: Optimizer) -> Result<(), String> {
        counted("steps", self.steps)?;
        positive("max_lr", self.max_lr)?;
        within("pct_start", self.pct_start, "at least 0 and at most 1", (0.0..=1.0).contains(&self.pct_start))?;
        for (name, factor) in [("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)] {
            within(name, factor, "above 0", factor.is_finite() && factor > 0.0)?;
        }
        if !self.cycle_momentum {
            return Ok(());
        }
        for (name, momentum) in [("base_momentum", self.base_momentum), ("max_momentum", self.max_momentum)] {
            within(name, momentum, "at least 0 and below 1", (0.0..1.0).contains(&momentum))?;
        }
        if optimizer.momentum().is_none() {
            return Err("`cycle_momentum` is true, but the optimizer has no momentum to cycle; \
                        give it a `momentum` above 0 or set `cycle_momentum = false`"
                .into());
        }
        Ok(())
    }
}

fn counted(name: &str, n: u32) -> Result<(), String> {
    if n > 0 { Ok(()) } else { Err(format!("`{name}` of the schedule is 0 and must be at least 1")) }
}

fn positive(name: &str, x: f64) -> Result<(), String> {
    within(name, x, "a number of at least 0", x.is_finite() && x >= 0.0)
}

fn within(name: &str, value: f64, range: &str, fits: bool) -> Result<(), String> {
    if fits { Ok(()) } else { Err(format!("`{name}` of the schedule is {value} and must be {range}")) }
}

#[cfg(test)]
mod tests;
