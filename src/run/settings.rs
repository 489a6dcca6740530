//! From the words of a run file to the engine's own.

use crate::config::{self, Config, Nonlinearity, OptimizerConfig};
use crate::nn::{Layer, LayerKind, Model};
use crate::ops::Function;
use crate::text::{Unit, Vocabulary};
use crate::training::{Optimizer, Task, Training};

impl Config {
    /// A run file with every key, explained; it means the default run.
    pub const REFERENCE: &str = include_str!("../config/run.toml");

    /// What it says is to be learnt, of a text with this vocabulary.
    pub fn training(&self, vocabulary: &Vocabulary) -> Training {
        let vocabulary = u32::try_from(vocabulary.len()).expect("there are fewer than 2^21 units");
        Training {
            window: self.train.window,
            accumulate: self.train.accumulate,
            optimizer: self.train.optimizer.clone().into(),
            clip_norm: self.train.clip_norm,
            seed: self.seed,
            memory: self.budget.memory,
            report_every: self.train.report_every,
            ..Training::new(self.model(), Task::NextToken { vocabulary }, self.train.batch)
        }
    }

    /// Its layers.
    pub fn model(&self) -> Model {
        let layer = |l: &config::LayerConfig| Layer { name: l.name.clone(), kind: (&l.kind).into() };
        Model { layers: self.layers.iter().map(layer).collect() }
    }
}

impl From<config::Unit> for Unit {
    fn from(unit: config::Unit) -> Self {
        match unit {
            config::Unit::Char => Unit::Char,
            config::Unit::Byte => Unit::Byte,
        }
    }
}

impl From<&config::LayerKind> for LayerKind {
    fn from(kind: &config::LayerKind) -> Self {
        let activation = |function| LayerKind::Activation { function };
        match *kind {
            config::LayerKind::Embedding { size } => LayerKind::Embedding { size },
            config::LayerKind::Rnn { hidden_size, nonlinearity, bias } => {
                let nonlinearity = match nonlinearity {
                    Nonlinearity::Tanh => Function::Tanh,
                    Nonlinearity::Relu => Function::Relu,
                };
                LayerKind::Rnn { hidden_size, nonlinearity, bias }
            }
            config::LayerKind::Linear { out_features, bias } => LayerKind::Linear { out_features, bias },
            config::LayerKind::Tanh => activation(Function::Tanh),
            config::LayerKind::Relu => activation(Function::Relu),
            config::LayerKind::Sigmoid => activation(Function::Sigmoid),
        }
    }
}

impl From<OptimizerConfig> for Optimizer {
    fn from(optimizer: OptimizerConfig) -> Self {
        match optimizer {
            OptimizerConfig::Sgd { learning_rate, momentum, weight_decay } => {
                Optimizer::Sgd { learning_rate, momentum, dampening: 0.0, nesterov: false, weight_decay }
            }
            OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay } => {
                Optimizer::AdamW { learning_rate, betas, eps, weight_decay }
            }
        }
    }
}
