//! A run as a file: `run.toml`, read with every mistake reported at its line, and written back.
//!
//! Everything but the layers may be left out. This is the default run; [`Config::REFERENCE`] has
//! every key of every type:
//!
#![doc = concat!("```toml\n", include_str!("run.toml"), "```")]

mod checkpoint;
mod data;
mod error;
mod keys;
mod layer;
mod read;
mod schedule;
mod section;
#[cfg(test)]
mod tests;
mod train;
mod words;
mod write;

use crate::bytes::Bytes;

pub use checkpoint::{CheckpointConfig, Every};
pub use data::{DataConfig, Predict, Source, TargetKind, Unit};
pub use error::{ConfigError, Problem};
pub use layer::{Approximate, Init, LayerConfig, LayerKind, Nonlinearity};
pub use schedule::{Anneal, ScheduleConfig};
pub use train::{
    GroupConfig, Length, LossConfig, LossScaleConfig, NonFiniteConfig, OptimizerConfig, StorageConfig, TrainConfig,
};

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
    /// When it saves itself.
    pub checkpoint: CheckpointConfig,
    /// What it may use.
    pub budget: BudgetConfig,
}

/// What a run may use.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetConfig {
    /// Device memory; `None` is what the device offers.
    pub memory: Option<Bytes>,
    /// Timesteps of a window that are kept for the way back at once; `None`: all of them.
    pub segment: Option<u32>,
    /// States between segments that are kept at once; `None`: all of them.
    pub segment_states: Option<u32>,
    /// Blocks in which activations are recomputed on the way back, at most; `None`: all are kept.
    pub recompute: Option<u32>,
    /// Whether a gradient is released as soon as the optimizer has used it.
    pub release_gradients: bool,
    /// Whether copies of parameters in halves are kept from one micro-step to the next.
    pub keep_copies: bool,
    /// Whether a run that does not fit is made smaller by what changes no update.
    pub bargain: bool,
}

impl BudgetConfig {
    /// What a file without `[budget]` says.
    pub(crate) fn left_out() -> Self {
        Self {
            memory: None,
            segment: None,
            segment_states: None,
            recompute: None,
            release_gradients: false,
            keep_copies: true,
            bargain: true,
        }
    }
}

impl Config {
    /// The run file of the default run, its keys explained.
    pub const DEFAULT_FILE: &str = include_str!("run.toml");

    /// A run file with every key of every type, explained. Lines that begin with `#` and no space
    /// stand for alternatives to what comes before them.
    pub const REFERENCE: &str = include_str!("reference.toml");

    /// The run that is made when no file is given.
    pub fn default_run() -> Self {
        let data = DataConfig::left_out();
        let nonlinearity = Nonlinearity::Tanh;
        let (layers, bidirectional, dropout, bias) = (1, false, 0.0, true);
        let kinds = [
            LayerKind::Embedding { size: 64, padding_idx: None },
            LayerKind::Rnn { hidden_size: 256, layers, bidirectional, dropout, nonlinearity, bias },
            LayerKind::Linear { out_features: None, bias, tied: None },
        ];
        Self {
            seed: 1,
            layers: kinds.map(|kind| LayerConfig::new(kind.type_name(), kind)).into(),
            train: TrainConfig {
                batch: 32,
                window: Some(TrainConfig::WINDOW),
                length: Length::Steps(2000),
                clip_norm: Some(1.0),
                ..TrainConfig::left_out(&data)
            },
            checkpoint: CheckpointConfig::left_out(),
            budget: BudgetConfig { memory: Some(Bytes(64 << 20)), ..BudgetConfig::left_out() },
            data,
        }
    }
}
