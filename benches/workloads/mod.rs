//! The workloads that speed is measured by, as run files with made-up data.
//!
//! | | model | an update |
//! |---|---|---|
//! | W1 | perceptron 784-512-512-10 | 128 rows, cross entropy, AdamW |
//! | W2 | perceptron 1024-2048-2048-1024 | 256 rows, squared error, SGD with momentum |
//! | W3 | embedding 128, LSTM 2 x 256, 96 characters | 32 streams x 64, AdamW, clipped at 1 |
//! | W4 | embedding 64, Elman 128, 96 characters | 16 streams x 32, SGD |
//! | W5 | embedding 128, GRU 512, 96 characters | 32 streams x 128, AdamW |
//! | W6 | W1 | 8 micro-steps of 16 rows |
//! | R | W3 with one layer | as W3 |

mod data;

use std::error::Error;
use std::path::Path;

use plimsoll::config::{Config, Source};
use plimsoll::run::Run;
use plimsoll::{Batch, Training};

/// All of them.
pub(crate) const NAMES: [&str; 7] = ["w1", "w2", "w3", "w4", "w5", "w6", "r"];

/// A run to be measured, and the batches that it is given in turn.
pub(crate) struct Workload {
    pub(crate) training: Training,
    pub(crate) batches: Vec<Batch>,
}

impl Workload {
    /// Reads a run file and its data, which are made where there are none. Lines of `settings` are
    /// read as if they stood at the file's end, in `[train]`.
    pub(crate) fn read(name: &str, settings: &str) -> Result<Self, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/workloads");
        let path = folder.join(name).with_extension("toml");
        let text = std::fs::read_to_string(&path).map_err(|reason| format!("{}: {reason}", path.display()))?;
        let mut config = Config::from_toml(&format!("{text}\n{settings}\n"), name)?;
        let Source::Arrays { file, .. } = &mut config.data.source else {
            return Err(format!("{name}: the data of a workload are arrays").into());
        };
        *file = folder.join(&file);
        let file = file.clone();
        data::write(&config, &file, if name == "w2" { 1024 } else { 784 })?;
        let run = Run::new(config)?;
        let batches = run.batches()?;
        let all = usize::try_from(batches.per_epoch())?;
        Ok(Self { training: run.training()?, batches: batches.take(all).collect() })
    }
}
