//! How the learning rate goes on: `schedule` in `[train]`.

use super::words::words;

/// How the learning rate goes on from step to step; the schedules of `torch.optim.lr_scheduler`,
/// told once for each update. `steps` that are `None` are those of the run.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleConfig {
    /// It stays.
    Constant,
    /// A factor that goes linearly from one number to another, and stays there.
    Linear {
        /// The first factor; above 0, at most 1.
        start_factor: f32,
        /// The last factor; from 0 to 1.
        end_factor: f32,
        /// Steps from the first to the last.
        steps: Option<u64>,
    },
    /// Half a cosine wave down to `eta_min` (Loshchilov & Hutter 2017, without restarts).
    Cosine {
        /// Steps down to `eta_min`; `T_max` in PyTorch.
        steps: Option<u64>,
        /// The least learning rate.
        eta_min: f32,
    },
    /// Times `gamma` after each `step_size` steps.
    Step {
        /// Steps from one change to the next.
        step_size: u64,
        /// The factor of a change.
        gamma: f32,
    },
    /// Times `gamma` after each `every` steps.
    Exponential {
        /// The factor of a change.
        gamma: f32,
        /// Steps from one change to the next.
        every: u64,
    },
    /// Up to `max_lr`, then far down, momentum against it (Smith & Topin 2019).
    OneCycle {
        /// The greatest learning rate; the optimizer's own is not used.
        max_lr: f32,
        /// Steps of the cycle.
        steps: Option<u64>,
        /// The part of them in which it rises; from 0 to 1.
        pct_start: f32,
        /// How many times greater `max_lr` is than the first learning rate.
        div_factor: f32,
        /// How many times greater the first learning rate is than the last.
        final_div_factor: f32,
        /// The form of rise and fall.
        anneal: Anneal,
        /// Whether momentum falls while the learning rate rises.
        cycle_momentum: bool,
        /// The least momentum.
        base_momentum: f32,
        /// The greatest momentum.
        max_momentum: f32,
        /// Whether it falls to the first learning rate before it falls to the last.
        three_phase: bool,
    },
    /// Times `factor` when the validation loss has stopped falling.
    Plateau {
        /// The factor of a change.
        factor: f32,
        /// Evaluations without a better loss that are borne.
        patience: u64,
        /// How much better is better, relative to the best.
        threshold: f32,
        /// Evaluations after a change that do not count.
        cooldown: u64,
        /// The least learning rate.
        min_lr: f32,
    },
}

words! {
    /// The form of the rise and fall of one cycle.
    Anneal {
        /// Half a cosine wave.
        Cos = "cos",
        /// A straight line.
        Linear = "linear",
    }
}

impl ScheduleConfig {
    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Linear { .. } => "linear",
            Self::Cosine { .. } => "cosine",
            Self::Step { .. } => "step",
            Self::Exponential { .. } => "exponential",
            Self::OneCycle { .. } => "one_cycle",
            Self::Plateau { .. } => "plateau",
        }
    }
}
