//! The folder that a run leaves behind, and a run taken up from one.
//!
//! ```text
//! config.toml        the whole run; `plimsoll train config.toml` repeats it
//! vocabulary.json    the units of a text, by id
//! checkpoints/       all of its state at some steps, from which it goes on
//! model.safetensors  the weights, by PyTorch's names
//! metrics.jsonl      a line a step, and one for each look at the validation part
//! events.out.*       the same for TensorBoard
//! plan.json          what was planned, and for which device
//! summary.json       what it came to
//! .lock              locked while a run writes here
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checkpoint::{Checkpoint, Checkpoints};
use super::events::Events;
use super::metrics::{Metrics, Past, Written};
use super::{History, PlanReport, Run, Score, Summary};
use crate::config::Config;
use crate::device::Device;
use crate::error::Error;
use crate::nn::{Inputs, Targets, Time};
use crate::storage::{
    self, Lock, NamedTensor, StorageError, check_regular, load_tensors, read_stream, save_tensors, write_atomically,
};
use crate::target::Target;
use crate::text::Vocabulary;
use crate::training::{Planned, Session, StepReport, Training};

const CONFIG: &str = "config.toml";
const VOCABULARY: &str = "vocabulary.json";
const MODEL: &str = "model.safetensors";
pub(super) const METRICS: &str = "metrics.jsonl";
const PLAN: &str = "plan.json";
/// More bytes than any such file has.
const MOST_BYTES_OF_PLAN: u64 = 1 << 30;
const SUMMARY: &str = "summary.json";

/// The folder of a run under way, which no other run can write to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    metrics: Metrics,
    events: Events,
    _lock: Lock,
}

impl Folder {
    /// Makes the folder, unless it is there, takes it, begins its metrics anew and removes the
    /// checkpoints of an earlier run.
    ///
    /// # Errors
    /// A run that has it already; storage.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        storage::create_folder(path)?;
        let lock = Lock::take(path)?;
        let metrics = Metrics::create(&path.join(METRICS))?;
        let folder = Self { path: path.into(), metrics, events: Events::of(path), _lock: lock };
        folder.tidy()?;
        folder.checkpoints().clear()?;
        Ok(folder)
    }

    /// Whether a run was begun in the folder `path`.
    ///
    /// # Errors
    /// Storage.
    pub fn has_run(path: &Path) -> Result<bool, StorageError> {
        Ok(path.join(CONFIG).is_file() || !Checkpoints::of(path).steps()?.is_empty())
    }

    /// Takes the folder of a run that was ended, to go on with it.
    ///
    /// # Errors
    /// A folder that is not there; a run that has it; storage.
    pub fn reopen(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            let shown = path.display();
            return Err(Error::Input(format!("there is no run to go on with: {shown} is no folder")));
        }
        let lock = Lock::take(path)?;
        let metrics = Metrics::reopen(&path.join(METRICS))?;
        let folder = Self { path: path.into(), metrics, events: Events::of(path), _lock: lock };
        folder.tidy()?;
        Ok(folder)
    }

    /// Removes what was being written when a process was killed.
    fn tidy(&self) -> Result<(), StorageError> {
        storage::remove_temporary_files(&self.path)?;
        self.checkpoints().tidy()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::of(&self.path)
    }

    /// Adds a line for each step to the metrics. Lines that a full disk does not take are kept, and
    /// written when it does.
    ///
    /// # Errors
    /// Storage.
    pub fn append(&mut self, reports: &[StepReport]) -> Result<(), StorageError> {
        let written = self.metrics.append(reports);
        written.and(self.events.append(reports))
    }

    /// Adds a line for what the validation part said after `step`.
    ///
    /// # Errors
    /// Storage.
    pub fn append_score(&mut self, step: u64, score: &Score) -> Result<(), StorageError> {
        let written = self.metrics.append_score(step, score);
        written.and(self.events.append_score(step, score))
    }

    /// Has the disk keep all lines so far, and says how far that is.
    ///
    /// # Errors
    /// Storage; a file that was removed.
    pub fn settle(&mut self) -> Result<Written, StorageError> {
        // They are made anew from the lines, should the run be taken up; nothing depends on them.
        let _ = self.events.write();
        self.metrics.settle()
    }

    /// How far the lines go that are of steps up to `step`.
    ///
    /// # Errors
    /// Storage.
    pub(super) fn written_up_to(&self, step: u64) -> Result<Written, StorageError> {
        self.metrics.written_up_to(step)
    }

    /// Goes back to the metrics as they were at a checkpoint. The answer's second is false if the file
    /// is not what it was then.
    ///
    /// # Errors
    /// Storage.
    pub fn go_back(&mut self, checkpoint: &Checkpoint) -> Result<(Past, bool), StorageError> {
        let found = self.metrics.cut(checkpoint.about.metrics, checkpoint.about.step)?;
        // Records that a full disk does not take wait, as lines do; the next that are added tell of it.
        let _ = self.events.rewrite(&History::read(&self.path)?);
        Ok(found)
    }

    /// Has TensorBoard show the settings of `run` beside its scalars.
    pub fn describe(&mut self, run: &Run) {
        self.events.describe(&run.config);
    }

    /// Writes what was planned, and for which device.
    ///
    /// # Errors
    /// Storage.
    pub fn save_plan(&self, plan: &PlanReport) -> Result<(), StorageError> {
        write_atomically(&self.path.join(PLAN), &json(plan, true))
    }

    /// What the run was planned for, where its folder says so.
    pub fn planned_for(&self) -> Option<Target> {
        let path = self.path.join(PLAN);
        let text = check_regular(&path).and_then(|()| read_stream(&path, MOST_BYTES_OF_PLAN)).ok()?;
        let mut plan: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let target: Target = serde_json::from_value(plan.get_mut("target")?.take()).ok()?;
        target.checked().ok()
    }

    /// The run that was begun here and ended before its first checkpoint, if that is how it stands.
    ///
    /// # Errors
    /// A config that cannot be read.
    pub fn begun(&self) -> Result<Option<Config>, Error> {
        let config = self.path.join(CONFIG);
        let has_lines = std::fs::metadata(self.path.join(METRICS)).is_ok_and(|about| about.len() > 0);
        if has_lines || !config.is_file() {
            return Ok(None);
        }
        Ok(Some(Config::read(&config)?))
    }

    /// Writes the config, so that a run that is ended before its first checkpoint can be begun again,
    /// and the vocabulary. `remark` becomes the config's first line.
    ///
    /// # Errors
    /// Storage.
    pub fn save_config(&self, run: &Run, remark: &str) -> Result<(), StorageError> {
        let mut config = run.config.to_toml();
        if !remark.is_empty() {
            config = format!("# {remark}\n{config}");
        }
        write_atomically(&self.path.join(CONFIG), config.as_bytes())?;
        match run.text() {
            Some(text) => write_atomically(&self.path.join(VOCABULARY), &json(&text.vocabulary, false)),
            None => Ok(()),
        }
    }

    /// Writes weights, config, vocabulary and summary, each whole or not at all. `remark` becomes
    /// the config's first line.
    ///
    /// # Errors
    /// Storage; device errors.
    pub fn save(&self, run: &Run, session: &mut Session, summary: &Summary, remark: &str) -> Result<(), Error> {
        let parameters = session.state_dict()?;
        let tensors: Vec<NamedTensor<'_>> =
            parameters.iter().map(|(name, shape, numbers)| (name.clone(), shape.clone(), &numbers[..])).collect();
        let about = about_weights(summary.steps);
        // Someone may have removed the folder; the weights are worth making it again.
        storage::create_folder(&self.path)?;
        self.save_config(run, remark)?;
        save_tensors(&self.path.join(MODEL), &tensors, &about)?;
        Ok(write_atomically(&self.path.join(SUMMARY), &json(summary, true))?)
    }
}

/// What the file of weights says of itself.
pub(super) fn about_weights(steps: u64) -> BTreeMap<String, String> {
    let about = [("plimsoll", env!("CARGO_PKG_VERSION").to_string()), ("steps", steps.to_string())];
    about.map(|(key, value)| (key.to_string(), value)).into()
}

fn json(value: &impl Serialize, pretty: bool) -> Vec<u8> {
    let text = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut text = text.expect("numbers, words and lists of them can be written");
    text.push(b'\n');
    text
}

/// A run as its folder has it.
#[derive(Clone, Debug)]
pub struct Saved {
    path: PathBuf,
    /// What was done.
    pub config: Config,
    /// The units it knows.
    pub vocabulary: Vocabulary,
}

impl Saved {
    /// Reads the config and the vocabulary of the run in the folder `path`.
    ///
    /// # Errors
    /// Files that are not there, or not what their names say.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let config = Config::read(&path.join(CONFIG))?;
        let file = path.join(VOCABULARY);
        let vocabulary = serde_json::from_slice(&storage::read_file(&file)?)
            .map_err(|e| Error::Input(format!("{} is not a vocabulary: {e}", file.display())))?;
        Ok(Self { path: path.into(), config, vocabulary })
    }

    /// Plans what sampling takes, and nothing of training.
    ///
    /// # Errors
    /// Layers that do not fit one another.
    pub fn plan(&self, target: &Target) -> Result<Planned, Error> {
        let vocabulary = self.vocabulary.size();
        let (inputs, targets) = (Inputs::Tokens { vocabulary }, Targets::Classes(vocabulary));
        let training = self.config.training(inputs, targets, Time::EachStep, 1);
        if !training.sample {
            let reason = "only a model that was trained on a text, with state carried from window to window, can write";
            return Err(Error::Input(reason.into()));
        }
        Training { batch: 1, window: 1, accumulate: 1, learn: false, evaluate: false, ..training }.plan(target)
    }

    /// A session that has the saved weights and can write text.
    ///
    /// # Errors
    /// Weights that do not belong to the config; a refusal; device errors.
    pub fn session(&self, device: &Device) -> Result<Session, Error> {
        let weights = load_tensors(&self.path.join(MODEL))?;
        let mut session = Session::start(self.plan(device.target())?, device)?;
        session.load(&weights)?;
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Role;
    use crate::storage::tests::Scratch;
    use crate::text::Text;
    use crate::training::{Batch, Sampling, Writer};

    #[test]
    fn to_sample_takes_the_weights_and_nothing_of_training() {
        let scratch = Scratch::new();
        let vocabulary = Text::from_bytes(b"abcd", crate::text::Unit::Char, "test").unwrap().vocabulary;
        let saved = Saved { path: scratch.path("."), config: Config::default_run(), vocabulary };
        let planned = saved.plan(&Target::profile("lavapipe").unwrap()).unwrap();
        let programs: Vec<_> = planned.plan.schedule.programs.iter().map(|p| p.name).collect();
        assert_eq!(programs, ["sample"]);
        for (role, bytes) in planned.plan.roles() {
            let of_training = matches!(role, Role::Gradient | Role::OptimizerState);
            assert!(!of_training || bytes == 0, "{role:?}: {bytes}");
        }
        let mut session = Session::on_host(planned).unwrap();
        let written =
            Writer::new(&mut session, &saved.vocabulary, Sampling::default()).unwrap().write("ab", 5).unwrap();
        assert_eq!(written.len(), 5);
        let said = session.step(&Batch::classes(vec![1.0], vec![0])).unwrap_err().to_string();
        assert!(said.contains("without learning"), "{said}");
    }

    #[test]
    fn a_folder_that_is_no_run_says_which_file_is_missing() {
        let scratch = Scratch::new();
        let said = Saved::open(&scratch.path("no")).unwrap_err().to_string();
        assert!(said.contains("config.toml"), "{said}");
        std::fs::write(scratch.path(CONFIG), Config::default_run().to_toml()).unwrap();
        let said = Saved::open(&scratch.path(".")).unwrap_err().to_string();
        assert!(said.contains("vocabulary.json does not exist"), "{said}");
        std::fs::write(scratch.path(VOCABULARY), "{}").unwrap();
        let said = Saved::open(&scratch.path(".")).unwrap_err().to_string();
        assert!(said.contains("vocabulary.json is not a vocabulary"), "{said}");
    }
}
