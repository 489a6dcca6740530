//! A run as a file: `run.toml`, read with every mistake reported at its line, and written back.
//!
//! Everything but the layers may be left out. All keys, with the values of the default run:
//!
#![doc = concat!("```toml\n", include_str!("run.toml"), "```")]

mod error;
mod keys;
mod layers;
mod read;
mod section;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;

use crate::bytes::Bytes;

pub use error::{ConfigError, Problem};

/// A run: its data, its model, how it is trained and what it may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Decides every random number of the run.
    pub seed: u64,
    /// What is learnt from.
    pub data: DataConfig,
    /// The model, from its input on.
    pub layers: Vec<LayerConfig>,
    /// How it learns.
    pub train: TrainConfig,
    /// What it may use.
    pub budget: BudgetConfig,
}

/// The text of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConfig {
    /// The file of the text; `None` is the text embedded in the program.
    pub text: Option<PathBuf>,
    /// What the text is cut into.
    pub unit: Unit,
    /// The part of the text, at its end, that is kept for validation; at least 0, below 1.
    pub validation: f64,
}

/// What a text is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Unicode characters.
    Char,
    /// Bytes.
    Byte,
}

/// One layer of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConfig {
    /// The prefix of its tensors; no two layers share one.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
}

/// What a layer computes.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// A row of a table for each unit.
    Embedding {
        /// Columns of the table.
        size: u32,
    },
    /// An Elman network over the window.
    Rnn {
        /// Units of the state.
        hidden_size: u32,
        /// What is applied to each new state.
        nonlinearity: Nonlinearity,
        /// Whether it has `bias_ih_l0` and `bias_hh_l0`.
        bias: bool,
    },
    /// A matrix product.
    Linear {
        /// Rows of the matrix; `None` is the size of the vocabulary.
        out_features: Option<u32>,
        /// Whether it has `bias`.
        bias: bool,
    },
    /// The hyperbolic tangent of each element.
    Tanh,
    /// The greater of 0 and each element.
    Relu,
    /// The logistic function of each element.
    Sigmoid,
}

/// What an Elman network applies to each new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    Tanh,
    /// The greater of 0 and the element.
    Relu,
}

/// How a model learns.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// Streams in one update.
    pub batch: u32,
    /// Units of each stream that a step reads.
    pub window: u32,
    /// Equal parts that a batch is run in; divides `batch`.
    pub accumulate: u32,
    /// Updates of the whole run.
    pub steps: u64,
    /// What turns gradients into updates.
    pub optimizer: OptimizerConfig,
    /// The greatest norm that all gradients together keep; `None` leaves them as they are.
    pub clip_norm: Option<f32>,
    /// Losses are read back from the device once in this many steps.
    pub report_every: u32,
}

/// What turns gradients into updates.
#[derive(Debug, Clone, PartialEq)]
pub enum OptimizerConfig {
    /// Gradient descent.
    Sgd {
        /// The length of a step.
        learning_rate: f32,
        /// How much of the last update goes into the next one.
        momentum: f32,
        /// How much of each parameter is added to its gradient.
        weight_decay: f32,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// The length of a step.
        learning_rate: f32,
        /// How slowly the means of gradients and of their squares forget.
        betas: [f32; 2],
        /// Added to the denominator.
        eps: f32,
        /// How much of each parameter a step of length 1 would take away.
        weight_decay: f32,
    },
}

/// What a run may use.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetConfig {
    /// Device memory; `None` is what the device offers.
    pub memory: Option<Bytes>,
}

impl Config {
    /// The run that is made when no file is given.
    pub fn default_run() -> Self {
        let kinds = [
            LayerKind::Embedding { size: 64 },
            LayerKind::Rnn { hidden_size: 256, nonlinearity: Nonlinearity::Tanh, bias: true },
            LayerKind::Linear { out_features: None, bias: true },
        ];
        let layer = |kind: LayerKind| LayerConfig { name: kind.type_name().to_owned(), kind };
        Self {
            layers: kinds.map(layer).into(),
            train: TrainConfig { batch: 32, steps: 2000, clip_norm: Some(1.0), ..Self::left_out().train },
            budget: BudgetConfig { memory: Some(Bytes(64 << 20)) },
            ..Self::left_out()
        }
    }

    /// What a file that says nothing stands for. It has no layers, which a file must give.
    fn left_out() -> Self {
        Self {
            seed: 1,
            data: DataConfig { text: None, unit: Unit::Char, validation: 0.1 },
            layers: Vec::new(),
            train: TrainConfig {
                batch: 16,
                window: 32,
                accumulate: 1,
                steps: 1000,
                optimizer: OptimizerConfig::AdamW {
                    learning_rate: 2e-3,
                    betas: [0.9, 0.999],
                    eps: 1e-8,
                    weight_decay: 0.01,
                },
                clip_norm: None,
                report_every: 10,
            },
            budget: BudgetConfig { memory: None },
        }
    }
}

impl Unit {
    /// Its name in `run.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Char => "char",
            Self::Byte => "byte",
        }
    }
}

impl Nonlinearity {
    /// Its name in `run.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tanh => "tanh",
            Self::Relu => "relu",
        }
    }
}

impl LayerKind {
    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Embedding { .. } => "embedding",
            Self::Rnn { .. } => "rnn",
            Self::Linear { .. } => "linear",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
        }
    }
}

impl OptimizerConfig {
    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::AdamW { .. } => "adamw",
        }
    }
}
