//! What a run will write, known before it begins.

use std::path::Path;

use super::Run;
use super::checkpoint::Checkpoint;
use super::events::LONGEST_RECORD;
use super::files::about_weights;
use super::metrics::LONGEST_LINE;
use crate::config::Every;
use crate::error::Error;
use crate::storage::{check_room, tensors_bytes};
use crate::training::Planned;

/// Lines of metrics that room is wanted for. Whoever asks for more steps than this may mean to end the
/// run by hand, and finds out when the disk is full, which costs nothing but lines.
const MOST_LINES: u64 = 1_000_000;

/// The bytes of the files that a run leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DiskUse {
    /// Of one checkpoint.
    pub checkpoint_bytes: u64,
    /// Checkpoints that are there at once: those that are kept, and one that is being written.
    pub checkpoints: u64,
    /// Of the weights at the end.
    pub weights_bytes: u64,
    /// Of a line of metrics for each step.
    pub metrics_bytes: u64,
    /// Of TensorBoard's record of each step, and of the run's settings.
    pub events_bytes: u64,
}

impl DiskUse {
    /// What `planned`, which is the plan of `run`, writes.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn of(run: &Run, planned: &Planned) -> Result<Self, Error> {
        let saves = run.config.checkpoint.every != Every::Never;
        let config = run.config.to_toml();
        let steps = run.steps()?;
        Ok(Self {
            checkpoint_bytes: if saves { Checkpoint::file_bytes(planned, &config) } else { 0 },
            checkpoints: if saves { u64::from(run.config.checkpoint.keep) + 1 } else { 0 },
            weights_bytes: tensors_bytes(&planned.named_shapes(), &about_weights(steps)).unwrap_or(u64::MAX),
            metrics_bytes: steps.min(MOST_LINES) * LONGEST_LINE,
            events_bytes: steps.min(MOST_LINES) * LONGEST_RECORD + config.len() as u64,
        })
    }

    /// All of it together.
    pub fn bytes(&self) -> u64 {
        let checkpoints = self.checkpoint_bytes.saturating_mul(self.checkpoints);
        [checkpoints, self.weights_bytes, self.metrics_bytes, self.events_bytes]
            .iter()
            .fold(0, |all, part| all.saturating_add(*part))
    }

    /// Refuses a run that would not fit on the disk that holds `folder`. What is there already of an
    /// earlier run, or of this one, is room that will be used again.
    ///
    /// # Errors
    /// [`crate::storage::StorageError::TooLittleRoom`], with both numbers.
    pub fn check(&self, folder: &Path) -> Result<(), Error> {
        Ok(check_room(folder, "the run writes", self.bytes().saturating_sub(held(folder)))?)
    }
}

/// Bytes of the files in a run's folder.
fn held(folder: &Path) -> u64 {
    let bytes = |folder: &Path| -> u64 {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.metadata().ok()).filter(|about| about.is_file());
        files.map(|about| about.len()).sum()
    };
    bytes(folder) + bytes(&folder.join("checkpoints"))
}
