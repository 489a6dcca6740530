//! Checkpoints: all that a run is at a step, in one file, from which it goes on as if it had never
//! stopped.
//!
//! ```text
//! DIR/checkpoints/step-000000500.safetensors     the newest `keep` of them
//!                 step-000001000.safetensors
//!                 latest.safetensors             a link to the one that was written last
//!
//! bytes | 8: header's length | header: JSON, padded to a multiple of 8 | tensor | tensor | ...
//!         little-endian u64  |                                           little-endian, by name:
//!                            |                                             parameters/rnn.weight_hh_l0
//!         "__metadata__": {                                                first moment/rnn.weight_hh_l0
//!           "checkpoint": JSON, an `About`                                 carried state/rnn.state_l0
//!           "checksum":   CRC-32 of the file, these 8 digits as zeros      ...
//!           "format":     "pt" }
//! ```
//!
//! A version of Plimsoll reads its own checkpoints and those of every version before it. Entries of
//! [`About`] are only ever added, and one that an older file lacks has a default; what cannot be said so
//! raises [`About::version`], and what reads the older one stays. A newer version is refused by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::metrics::Written;
use crate::error::Error;
use crate::storage::{self, SealedFile, StorageError, load_sealed, save_sealed};
use crate::training::rate::PlateauState;
use crate::training::{Planned, TrainingState};

/// The version that is written, and the newest that can be read. Files of 1 lack the count of steps where
/// floats are stored in full; none of those was skipped.
pub const VERSION: u32 = 2;
/// The folder, within that of the run.
const FOLDER: &str = "checkpoints";
/// The entry of a file's metadata.
const ABOUT: &str = "checkpoint";
/// The link to the newest.
const LATEST: &str = "latest.safetensors";

/// What a checkpoint says beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Of the format: [`VERSION`].
    pub version: u32,
    /// The version of Plimsoll that wrote it.
    pub plimsoll: String,
    /// Updates made.
    pub step: u64,
    /// Batches read, over all epochs: the place in the data. Dropout and every shuffle are functions of
    /// the seed and of these two numbers.
    pub batches: u64,
    /// What the schedule has learnt from losses on the validation part.
    pub plateau: PlateauState,
    /// How far the metrics had been written.
    pub metrics: Written,
    /// Time that training took so far.
    pub seconds: f64,
    /// Time on all processors so far, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// Micro-steps of an update.
    pub accumulate: u32,
    /// The fingerprint of the plan.
    pub plan: String,
    /// The device.
    pub adapter: String,
    /// Its graphics API.
    pub backend: String,
    /// Its driver.
    pub driver: String,
    /// The fingerprint of the data.
    pub data: String,
    /// The run file, complete.
    pub config: String,
    /// What the run file cannot say.
    #[serde(default)]
    pub remark: String,
}

/// The one entry that every version has had.
#[derive(Deserialize)]
struct OfVersion {
    version: u32,
}

/// All that a run is at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What is known of it.
    pub about: About,
    /// What the device has.
    pub state: TrainingState,
}

impl Checkpoint {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that is damaged, none of these, or of a newer version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::of(load_sealed(path)?, path)
    }

    /// The checkpoint that is in `file`; errors call it `path`.
    ///
    /// # Errors
    /// A file that is none of these, or of a newer version.
    pub fn of(file: SealedFile, path: &Path) -> Result<Self, Error> {
        let damaged = |reason: String| StorageError::Damaged { path: path.into(), reason };
        let text = file.metadata.get(ABOUT).ok_or_else(|| damaged("it is no checkpoint".into()))?;
        let not_so = |error: serde_json::Error| damaged(format!("what it says of itself: {error}"));
        let OfVersion { version } = serde_json::from_str(text).map_err(not_so)?;
        if version > VERSION {
            let path = path.display();
            return Err(Error::Input(format!(
                "{path} is of format {version}, and this version of Plimsoll reads those up to {VERSION}; \
                 a newer one wrote it and can go on from it"
            )));
        }
        let about: About = serde_json::from_str(text).map_err(not_so)?;
        let tensors = file.tensors.into_values().collect();
        let state = TrainingState { step: about.step, plateau: about.plateau, tensors };
        Ok(Self { about, state })
    }

    /// Bytes of the file of a run's checkpoints, or a little more: numbers in it are written as long as
    /// they are.
    pub fn file_bytes(planned: &Planned, config: &str) -> u64 {
        /// All of [`About`] but the config, in its longest form.
        const WORDS: usize = 2048;
        let about = "x".repeat(WORDS) + &serde_json::to_string(config).unwrap_or_default();
        let metadata = BTreeMap::from([(ABOUT.to_string(), about)]);
        storage::sealed_bytes(&planned.state_shapes(), &metadata).unwrap_or(u64::MAX)
    }
}

/// The checkpoints of a run's folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Those of the run in `folder`.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.join(FOLDER) }
    }

    /// Where the checkpoint of `step` is, or would be.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:09}.safetensors"))
    }

    /// The steps of which there are checkpoints, the newest first; whether they are whole is another
    /// matter.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>, StorageError> {
        let mut steps: Vec<u64> = storage::names(&self.folder)?.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// Writes `checkpoint`, whole or not at all, then removes the oldest that are more than `keep`.
    ///
    /// # Errors
    /// Storage; those that were there are then untouched.
    pub fn write(&self, checkpoint: &Checkpoint, keep: u32) -> Result<(), StorageError> {
        let started = std::time::Instant::now();
        storage::create_folder(&self.folder)?;
        let about = serde_json::to_string(&checkpoint.about).expect("numbers and words can be written");
        let path = self.path(checkpoint.about.step);
        save_sealed(&path, &checkpoint.state.tensors, &BTreeMap::from([(ABOUT.to_string(), about)]))?;
        // Where there are no links, the newest is found by its name.
        let _ = self.link(&path);
        for step in self.steps()?.into_iter().skip(keep as usize) {
            storage::remove_file(&self.path(step))?;
        }
        let milliseconds = super::milliseconds(started);
        tracing::info!(step = checkpoint.about.step, path = %path.display(), milliseconds, "saved a checkpoint");
        Ok(())
    }

    #[cfg(unix)]
    fn link(&self, to: &Path) -> std::io::Result<()> {
        let made = self.folder.join(format!(".{LATEST}.0.tmp"));
        // One that a killed process left behind.
        let _ = fs::remove_file(&made);
        std::os::unix::fs::symlink(to.file_name().unwrap_or_default(), &made)?;
        fs::rename(&made, self.folder.join(LATEST))
    }

    #[cfg(not(unix))]
    fn link(&self, _: &Path) -> std::io::Result<()> {
        Ok(())
    }

    /// The newest checkpoint that is whole. Damaged ones are put aside under another name, so that none
    /// is counted among those to keep; of each a line is added to `told`.
    ///
    /// # Errors
    /// A checkpoint that cannot be read for another reason.
    pub fn newest(&self, told: &mut Vec<String>) -> Result<Option<Checkpoint>, Error> {
        for step in self.steps()? {
            let path = self.path(step);
            match Checkpoint::read(&path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(Error::Storage(error @ (StorageError::Damaged { .. } | StorageError::NotSafetensors { .. }))) => {
                    let aside = path.with_extension("damaged");
                    let kept = fs::rename(&path, &aside).map(|()| format!("; it is now {}", aside.display()));
                    told.push(format!("{error}{}. The one before it is used.", kept.unwrap_or_default()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Removes the checkpoints of an earlier run.
    ///
    /// # Errors
    /// Storage.
    pub fn clear(&self) -> Result<(), StorageError> {
        for name in storage::names(&self.folder)? {
            if step_of(&name).is_some() || name == LATEST {
                storage::remove_file(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes what a write left behind when its process was killed.
    ///
    /// # Errors
    /// Storage.
    pub fn tidy(&self) -> Result<(), StorageError> {
        if self.folder.is_dir() { storage::remove_temporary_files(&self.folder) } else { Ok(()) }
    }
}

/// The step that a file's name tells.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// A write in a thread of its own, if there was one to be had.
type Write = Result<JoinHandle<Result<(), StorageError>>, StorageError>;

/// Writes checkpoints while training goes on, one at a time.
#[derive(Debug)]
pub(super) struct Saver {
    checkpoints: Checkpoints,
    keep: u32,
    under_way: Option<(u64, Write)>,
}

impl Saver {
    pub(super) fn new(checkpoints: Checkpoints, keep: u32) -> Self {
        Self { checkpoints, keep, under_way: None }
    }

    /// Starts to write; the one before must have been waited for.
    pub(super) fn start(&mut self, checkpoint: Checkpoint) {
        let (checkpoints, keep, step) = (self.checkpoints.clone(), self.keep, checkpoint.about.step);
        let thread = std::thread::Builder::new().name("checkpoint".into());
        let spawned = thread.spawn(move || checkpoints.write(&checkpoint, keep));
        let path = self.checkpoints.path(step);
        self.under_way = Some((step, spawned.map_err(|source| StorageError::write(&path, 0, source))));
    }

    /// Whether nothing is being written any more.
    pub(super) fn is_done(&self) -> bool {
        let running = |(_, write): &(u64, Write)| write.as_ref().is_ok_and(|handle| !handle.is_finished());
        !self.under_way.as_ref().is_some_and(running)
    }

    /// Waits for what is being written; its step, and how it went.
    pub(super) fn wait(&mut self) -> Option<(u64, Result<(), StorageError>)> {
        let (step, write) = self.under_way.take()?;
        let wait = |handle: JoinHandle<_>| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Some((step, write.and_then(wait)))
    }
}
