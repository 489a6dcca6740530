//! From the words of a run file to the engine's own.

use crate::config::{self, Approximate, Config, Nonlinearity, OptimizerConfig, ScheduleConfig};
use crate::nn::{Cell, Init, Inputs, Layer, LayerKind, Loss, Model, Recurrent, Targets, Task, Time, gain};
use crate::ops::{self, Function};
use crate::text;
use crate::training::rate::{self, OneCycle};
use crate::training::{
    LossScale, Network, NonFinite, Optimizer, ParameterGroup, Schedule, Segments, Storage, Training,
};

impl Config {
    /// What it says is to be learnt from examples of this kind, in a run of `steps` updates.
    ///
    /// A window is that of `[train]` in a task with time.
    pub fn training(&self, inputs: Inputs, targets: Targets, time: Time, steps: u64) -> Training {
        let task = Task { inputs, targets, time, loss: (&self.train.loss).into() };
        let train = &self.train;
        let writes = task.writes();
        Training {
            window: if task.is_sequence() { train.timesteps() } else { 1 },
            carry_state: train.carry_state,
            sample: writes && train.carry_state,
            accumulate: train.accumulate,
            optimizer: (&train.optimizer).into(),
            schedule: self.schedule(steps),
            groups: train.groups.iter().map(ParameterGroup::from).collect(),
            clip_norm: train.clip_norm,
            clip_value: train.clip_value,
            storage: train.storage.into(),
            parameter_storage: train.parameter_storage.into(),
            loss_scale: train.loss_scale.into(),
            non_finite: train.non_finite.map(NonFinite::from),
            seed: self.seed,
            memory: self.budget.memory,
            release_gradients: self.budget.release_gradients,
            keep_copies: self.budget.keep_copies,
            recompute: self.budget.recompute,
            segments: self.budget.segment.map(|timesteps| Segments { timesteps, states: self.budget.segment_states }),
            report_every: train.report_every,
            ..Training::with_network(Network::Layers { model: self.model(), task }, train.batch)
        }
    }

    /// Its layers.
    pub fn model(&self) -> Model {
        Model { layers: self.layers.iter().map(Layer::from).collect() }
    }

    /// How the learning rate goes on in a run of `steps` updates.
    fn schedule(&self, steps: u64) -> Schedule {
        let (all, warmup) = (count(steps), count(self.train.warmup));
        // What has no length of its own takes what warm-up leaves of the run.
        let rest = all.saturating_sub(warmup).max(1);
        let of = |steps: Option<u64>| steps.map_or(rest, count);
        let mut every = 1;
        let curve = match self.train.schedule {
            ScheduleConfig::Constant => rate::Curve::Constant,
            ScheduleConfig::Linear { start_factor, end_factor, steps } => rate::Curve::Linear {
                start_factor: exact(start_factor),
                end_factor: exact(end_factor),
                steps: of(steps),
            },
            ScheduleConfig::Cosine { steps, eta_min } => {
                rate::Curve::Cosine { steps: of(steps), eta_min: exact(eta_min) }
            }
            ScheduleConfig::Step { step_size, gamma } => {
                rate::Curve::Step { step_size: count(step_size), gamma: exact(gamma) }
            }
            ScheduleConfig::Exponential { gamma, every: updates } => {
                every = count(updates);
                rate::Curve::Exponential { gamma: exact(gamma) }
            }
            ScheduleConfig::OneCycle {
                max_lr,
                steps,
                pct_start,
                div_factor,
                final_div_factor,
                anneal,
                cycle_momentum,
                base_momentum,
                max_momentum,
                three_phase,
            } => rate::Curve::OneCycle(OneCycle {
                max_lr: exact(max_lr),
                steps: of(steps),
                pct_start: exact(pct_start),
                div_factor: exact(div_factor),
                final_div_factor: exact(final_div_factor),
                anneal: match anneal {
                    config::Anneal::Cos => rate::Anneal::Cos,
                    config::Anneal::Linear => rate::Anneal::Linear,
                },
                cycle_momentum,
                base_momentum: exact(base_momentum),
                max_momentum: exact(max_momentum),
                three_phase,
            }),
            ScheduleConfig::Plateau { factor, patience, threshold, cooldown, min_lr } => rate::Curve::Plateau {
                factor: exact(factor),
                patience: count(patience),
                threshold: exact(threshold),
                cooldown: count(cooldown),
                min_lr: exact(min_lr),
            },
        };
        Schedule { curve, every, warmup }
    }
}

/// The decimal number that was written, which `f32` only comes near to.
fn exact(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// A count; beyond 2^32 steps one is as good as another.
fn count(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl From<config::Unit> for text::Unit {
    fn from(unit: config::Unit) -> Self {
        match unit {
            config::Unit::Char => text::Unit::Char,
            config::Unit::Byte => text::Unit::Byte,
            config::Unit::Word => text::Unit::Word,
        }
    }
}

impl From<&config::LayerConfig> for Layer {
    fn from(layer: &config::LayerConfig) -> Self {
        let gain = gain::LINEAR;
        let init = match layer.init {
            config::Init::Default => None,
            config::Init::XavierUniform => Some(Init::XavierUniform { gain }),
            config::Init::XavierNormal => Some(Init::XavierNormal { gain }),
            config::Init::KaimingUniform => Some(Init::KaimingUniform { gain: gain::RELU }),
            config::Init::KaimingNormal => Some(Init::KaimingNormal { gain: gain::RELU }),
            config::Init::Orthogonal => Some(Init::Orthogonal { gain }),
        };
        Self { name: layer.name.clone(), kind: (&layer.kind).into(), inputs: layer.input.clone(), init }
    }
}

impl From<&config::LayerKind> for LayerKind {
    fn from(kind: &config::LayerKind) -> Self {
        use config::LayerKind as Word;
        let activation = |function| LayerKind::Activation { function };
        let curve = |function| LayerKind::Curve { function };
        let recurrent = |cell, hidden_size, layers, bidirectional, dropout, bias, forget_bias| {
            LayerKind::Recurrent(Recurrent { cell, hidden_size, layers, bidirectional, dropout, bias, forget_bias })
        };
        match *kind {
            Word::Embedding { size, padding_idx } => LayerKind::Embedding { size, padding_idx },
            Word::Rnn { hidden_size, layers, bidirectional, dropout, nonlinearity, bias } => {
                let function = match nonlinearity {
                    Nonlinearity::Tanh => Function::Tanh,
                    Nonlinearity::Relu => Function::Relu,
                };
                recurrent(Cell::Rnn(function), hidden_size, layers, bidirectional, dropout, bias, None)
            }
            Word::Gru { hidden_size, layers, bidirectional, dropout, bias, reset_after } => {
                let cell = if reset_after { Cell::Gru } else { Cell::GruResetBefore };
                recurrent(cell, hidden_size, layers, bidirectional, dropout, bias, None)
            }
            Word::Lstm { hidden_size, layers, bidirectional, dropout, bias, forget_bias } => {
                recurrent(Cell::Lstm, hidden_size, layers, bidirectional, dropout, bias, forget_bias)
            }
            Word::Linear { out_features, bias, ref tied } => {
                LayerKind::Linear { out_features, bias, tied: tied.clone() }
            }
            Word::LayerNorm { eps, elementwise_affine, bias } => {
                LayerKind::LayerNorm { eps, affine: elementwise_affine, bias }
            }
            Word::Dropout { p } => LayerKind::Dropout { p },
            Word::Tanh => activation(Function::Tanh),
            Word::Relu => activation(Function::Relu),
            Word::Sigmoid => activation(Function::Sigmoid),
            Word::Silu => curve(ops::Curve::Silu),
            Word::Gelu { approximate: Approximate::None } => curve(ops::Curve::Gelu),
            Word::Gelu { approximate: Approximate::Tanh } => curve(ops::Curve::GeluTanh),
            Word::Softplus { beta, threshold } => curve(ops::Curve::Softplus { beta, threshold }),
            Word::LeakyRelu { negative_slope } => curve(ops::Curve::LeakyRelu { negative_slope }),
            Word::Add => LayerKind::Add,
            Word::Concat => LayerKind::Concat,
            Word::Last => LayerKind::Last,
        }
    }
}

impl From<&config::LossConfig> for Loss {
    fn from(loss: &config::LossConfig) -> Self {
        match loss {
            config::LossConfig::CrossEntropy { label_smoothing, class_weights } => Loss::CrossEntropy {
                label_smoothing: *label_smoothing,
                class_weights: class_weights.clone().unwrap_or_default(),
            },
            config::LossConfig::Mse => Loss::Mse,
            config::LossConfig::L1 => Loss::L1,
            config::LossConfig::Huber { delta } => Loss::Huber { delta: *delta },
            config::LossConfig::BceWithLogits => Loss::BceWithLogits,
        }
    }
}

impl From<config::StorageConfig> for Storage {
    fn from(storage: config::StorageConfig) -> Self {
        match storage {
            config::StorageConfig::F32 => Storage::F32,
            config::StorageConfig::F16 => Storage::F16,
        }
    }
}

impl From<config::LossScaleConfig> for LossScale {
    fn from(scale: config::LossScaleConfig) -> Self {
        match scale {
            config::LossScaleConfig::Dynamic => LossScale::default(),
            config::LossScaleConfig::Static(scale) => LossScale::Static(scale),
        }
    }
}

impl From<config::NonFiniteConfig> for NonFinite {
    fn from(policy: config::NonFiniteConfig) -> Self {
        match policy {
            config::NonFiniteConfig::Stop => NonFinite::Stop,
            config::NonFiniteConfig::Skip => NonFinite::Skip,
        }
    }
}

impl From<&config::GroupConfig> for ParameterGroup {
    fn from(group: &config::GroupConfig) -> Self {
        let config::GroupConfig { parameters, weight_decay, learning_rate } = group.clone();
        Self { parameters, weight_decay, learning_rate }
    }
}

impl From<&OptimizerConfig> for Optimizer {
    fn from(optimizer: &OptimizerConfig) -> Self {
        match *optimizer {
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov, dampening, weight_decay } => {
                Optimizer::Sgd { learning_rate, momentum, dampening, nesterov, weight_decay }
            }
            OptimizerConfig::Adam { learning_rate, betas, eps, weight_decay } => {
                Optimizer::Adam { learning_rate, betas, eps, weight_decay }
            }
            OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay } => {
                Optimizer::AdamW { learning_rate, betas, eps, weight_decay }
            }
            OptimizerConfig::RmsProp { learning_rate, alpha, eps, momentum, centered, weight_decay } => {
                Optimizer::RmsProp { learning_rate, alpha, eps, momentum, centered, weight_decay }
            }
            OptimizerConfig::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value, weight_decay } => {
                Optimizer::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value, weight_decay }
            }
        }
    }
}
