//! How a run learns: `[train]`, its loss, its optimizer and its parameter groups.

use super::words::words;
use super::{DataConfig, ScheduleConfig, Source, TargetKind};

/// How a model learns.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Rows in one update: streams of a text, else examples.
    pub batch: u32,
    /// Steps of time in a row, as the file says; see [`TrainConfig::timesteps`].
    pub window: Option<u32>,
    /// Equal parts that a batch is run in; divides `batch`.
    pub accumulate: u32,
    /// When it ends.
    pub length: Length,
    /// Losses are read back from the device once in this many steps.
    pub report_every: u32,
    /// The validation loss is measured once in this many steps; `None`: at the end only.
    pub evaluate_every: Option<u64>,
    /// The greatest norm that all gradients together keep; `None` leaves them as they are.
    pub clip_norm: Option<f32>,
    /// The greatest absolute value that each element of a gradient keeps, after `clip_norm`.
    pub clip_value: Option<f32>,
    /// How floats between two dispatches are stored.
    pub storage: StorageConfig,
    /// How products read parameters; the optimizer's are in full.
    pub parameter_storage: StorageConfig,
    /// How the loss is scaled where they are stored in halves.
    pub loss_scale: LossScaleConfig,
    /// What becomes of the run if the loss or a gradient of a step is not finite; `None`: it goes on where floats
    /// are stored in halves, which overflow where `f32` does not, and else stops.
    pub non_finite: Option<NonFiniteConfig>,
    /// Whether a batch starts from the recurrent state that the one before ended with.
    pub carry_state: bool,
    /// What is made small.
    pub loss: LossConfig,
    /// What turns gradients into updates.
    pub optimizer: OptimizerConfig,
    /// How the learning rate goes on.
    pub schedule: ScheduleConfig,
    /// Steps in which the learning rate first rises linearly; the schedule begins after them.
    pub warmup: u64,
    /// Parameters with settings of their own; the first group that matches counts.
    pub groups: Vec<GroupConfig>,
}

words! {
    /// How floats between two dispatches are stored.
    StorageConfig {
        /// In full.
        F32 = "f32",
        /// In halves.
        F16 = "f16",
    }
}

words! {
    /// What becomes of a run with a step whose loss or gradients are not finite. The step changes nothing.
    NonFiniteConfig {
        /// It ends, with the weights as they were before that step.
        Stop = "stop",
        /// It goes on; where the loss is scaled dynamically, by a lower scale.
        Skip = "skip",
    }
}

/// How the loss is scaled before differentiation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossScaleConfig {
    /// By less after a step whose gradients are not finite, by more after many whose are.
    Dynamic,
    /// Always by this.
    Static(f32),
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After so many updates.
    Steps(u64),
    /// After so many passes over the training part.
    Epochs(u64),
}

/// What is made small; settings mean what they mean in `torch.nn`.
#[derive(Debug, Clone, PartialEq)]
pub enum LossConfig {
    /// The negative logarithm of the target's probability. For classes and texts.
    CrossEntropy {
        /// The share of each target that is spread over all classes; from 0 to 1.
        label_smoothing: f32,
        /// How much each class counts, by id; `None`: all the same. Only for classes.
        class_weights: Option<Vec<f32>>,
    },
    /// The square of the difference. For numbers.
    Mse,
    /// The absolute difference. For numbers.
    L1,
    /// Half the square below `delta`, linear above (Huber 1964). For numbers.
    Huber {
        /// Where it becomes linear.
        delta: f32,
    },
    /// Binary cross-entropy of logits. For bits.
    BceWithLogits,
}

/// What turns gradients into updates; settings mean what they mean in `torch.optim`.
#[derive(Debug, Clone, PartialEq)]
pub enum OptimizerConfig {
    /// Gradient descent.
    Sgd {
        /// The length of a step.
        learning_rate: f32,
        /// How much of the last update goes into the next one.
        momentum: f32,
        /// Whether the gradient is taken where momentum leads; needs momentum and no dampening.
        nesterov: bool,
        /// How much of each gradient is kept out of the momentum.
        dampening: f32,
        /// How much of each parameter is added to its gradient.
        weight_decay: f32,
    },
    /// Adam (Kingma & Ba 2015).
    Adam {
        /// The length of a step.
        learning_rate: f32,
        /// How slowly the means of gradients and of their squares forget.
        betas: [f32; 2],
        /// What keeps the division finite.
        eps: f32,
        /// How much of each parameter is added to its gradient.
        weight_decay: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW {
        /// The length of a step.
        learning_rate: f32,
        /// How slowly the means of gradients and of their squares forget.
        betas: [f32; 2],
        /// What keeps the division finite.
        eps: f32,
        /// How much of each parameter is taken away at each step, times the learning rate.
        weight_decay: f32,
    },
    /// Gradients divided by the root of their mean square (Hinton 2012).
    RmsProp {
        /// The length of a step.
        learning_rate: f32,
        /// How slowly the mean of squares forgets.
        alpha: f32,
        /// What keeps the division finite.
        eps: f32,
        /// How much of the last update goes into the next one.
        momentum: f32,
        /// Whether the mean gradient is taken off, so that the division is by a deviation.
        centered: bool,
        /// How much of each parameter is added to its gradient.
        weight_decay: f32,
    },
    /// Gradients divided by the root of the sum of their squares (Duchi et al. 2011).
    Adagrad {
        /// The length of a step.
        learning_rate: f32,
        /// How much the learning rate falls: it is divided by `1 + lr_decay * step`.
        lr_decay: f32,
        /// What keeps the division finite.
        eps: f32,
        /// What the sums start from.
        initial_accumulator_value: f32,
        /// How much of each parameter is added to its gradient.
        weight_decay: f32,
    },
}

/// Parameters with settings of their own: `[[train.group]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupConfig {
    /// Names such as `linear.bias`, in which `*` stands for any characters; at least one.
    pub parameters: Vec<String>,
    /// Replaces the optimizer's.
    pub weight_decay: Option<f32>,
    /// Replaces the optimizer's.
    pub learning_rate: Option<f32>,
}

impl TrainConfig {
    /// Timesteps of a window where the file does not say.
    pub const WINDOW: u32 = 32;

    /// Timesteps of a window that is cut from what goes on in time.
    pub fn timesteps(&self) -> u32 {
        self.window.unwrap_or(Self::WINDOW)
    }

    /// How a file without `[train]` learns from `data`.
    pub(super) fn left_out(data: &DataConfig) -> Self {
        Self {
            batch: 16,
            window: None,
            accumulate: 1,
            length: Length::Steps(1000),
            report_every: 10,
            evaluate_every: None,
            clip_norm: None,
            clip_value: None,
            storage: StorageConfig::F32,
            parameter_storage: StorageConfig::F32,
            loss_scale: LossScaleConfig::Dynamic,
            non_finite: None,
            carry_state: matches!(data.source, Source::Text { .. }),
            loss: LossConfig::left_out(data.target()),
            optimizer: OptimizerConfig::AdamW {
                learning_rate: 2e-3,
                betas: [0.9, 0.999],
                eps: 1e-8,
                weight_decay: 0.01,
            },
            schedule: ScheduleConfig::Constant,
            warmup: 0,
            groups: Vec::new(),
        }
    }
}

impl LossConfig {
    /// The usual loss for such targets.
    pub(super) fn left_out(target: TargetKind) -> Self {
        match target {
            TargetKind::Class => Self::CrossEntropy { label_smoothing: 0.0, class_weights: None },
            TargetKind::Number => Self::Mse,
            TargetKind::Bit => Self::BceWithLogits,
        }
    }

    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::CrossEntropy { .. } => "cross_entropy",
            Self::Mse => "mse",
            Self::L1 => "l1",
            Self::Huber { .. } => "huber",
            Self::BceWithLogits => "bce_with_logits",
        }
    }

    /// What its targets must be.
    pub fn target(&self) -> TargetKind {
        match self {
            Self::CrossEntropy { .. } => TargetKind::Class,
            Self::Mse | Self::L1 | Self::Huber { .. } => TargetKind::Number,
            Self::BceWithLogits => TargetKind::Bit,
        }
    }
}

impl OptimizerConfig {
    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Adam { .. } => "adam",
            Self::AdamW { .. } => "adamw",
            Self::RmsProp { .. } => "rmsprop",
            Self::Adagrad { .. } => "adagrad",
        }
    }

    /// Whether it has a momentum that a schedule can move: beta 1 is Adam's.
    pub fn has_momentum(&self) -> bool {
        match self {
            Self::Sgd { momentum, .. } | Self::RmsProp { momentum, .. } => *momentum > 0.0,
            Self::Adam { .. } | Self::AdamW { .. } => true,
            Self::Adagrad { .. } => false,
        }
    }
}
