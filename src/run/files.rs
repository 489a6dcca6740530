//! The folder that a run leaves behind, and a run taken up from one.
//!
//! ```text
//! config.toml        the whole run; `plimsoll train config.toml` repeats it
//! vocabulary.json    the units of a text, by id
//! model.safetensors  the weights, by PyTorch's names
//! metrics.jsonl      a line a step, and one for each look at the validation part
//! summary.json       what it came to
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Run, Score, Summary};
use crate::config::Config;
use crate::device::Device;
use crate::error::Error;
use crate::nn::{Inputs, Targets, Time};
use crate::storage::{self, NamedTensor, StorageError, load_tensors, save_tensors, write_atomically};
use crate::target::Target;
use crate::text::Vocabulary;
use crate::training::{Planned, Session, StepReport, Training};

const CONFIG: &str = "config.toml";
const VOCABULARY: &str = "vocabulary.json";
const MODEL: &str = "model.safetensors";
const METRICS: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";

/// The folder of a run under way.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    metrics: File,
}

/// A line of `metrics.jsonl`. What is no number is null, for JSON has no word for it.
#[derive(Serialize)]
struct Line {
    step: u64,
    loss: f32,
    learning_rate: f32,
    grad_norm: f32,
    tokens: u64,
    #[serde(flatten)]
    scaling: Option<ScalingLine>,
}

/// What a line has besides where the loss is scaled.
#[derive(Serialize)]
struct ScalingLine {
    skipped: bool,
    next_loss_scale: f32,
}

/// A line of `metrics.jsonl` where the validation part was looked at.
#[derive(Serialize)]
struct ScoreLine {
    step: u64,
    validation_loss: f64,
    validation_accuracy: Option<f64>,
}

impl Folder {
    /// Makes the folder, unless it is there, and begins its metrics anew.
    ///
    /// # Errors
    /// Storage.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        storage::create_folder(path)?;
        let metrics = path.join(METRICS);
        let file = File::create(&metrics).map_err(|e| StorageError::write(&metrics, 0, e))?;
        Ok(Self { path: path.into(), metrics: file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line for each step to the metrics.
    ///
    /// # Errors
    /// Storage.
    pub fn append(&mut self, reports: &[StepReport]) -> Result<(), StorageError> {
        let mut lines = String::new();
        for &StepReport { step, loss, learning_rate, grad_norm, tokens, scaling } in reports {
            let scaling = scaling.map(|s| ScalingLine { skipped: s.skipped, next_loss_scale: s.next_scale });
            let line = Line { step, loss, learning_rate, grad_norm, tokens, scaling };
            lines += &serde_json::to_string(&line).expect("numbers can be written");
            lines.push('\n');
        }
        let path = self.path.join(METRICS);
        self.metrics.write_all(lines.as_bytes()).map_err(|e| StorageError::write(&path, lines.len() as u64, e))
    }

    /// Adds a line for what the validation part said after `step`.
    ///
    /// # Errors
    /// Storage.
    pub fn append_score(&mut self, step: u64, score: &Score) -> Result<(), StorageError> {
        let line = ScoreLine { step, validation_loss: score.loss, validation_accuracy: score.accuracy };
        let line = serde_json::to_string(&line).expect("numbers can be written") + "\n";
        let path = self.path.join(METRICS);
        self.metrics.write_all(line.as_bytes()).map_err(|e| StorageError::write(&path, line.len() as u64, e))
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
        let about = [("plimsoll", summary.version.to_string()), ("steps", summary.steps.to_string())];
        let about: BTreeMap<String, String> = about.map(|(key, value)| (key.to_string(), value)).into();
        let mut config = run.config.to_toml();
        if !remark.is_empty() {
            config = format!("# {remark}\n{config}");
        }
        write_atomically(&self.path.join(CONFIG), config.as_bytes())?;
        if let Some(text) = run.text() {
            write_atomically(&self.path.join(VOCABULARY), &json(&text.vocabulary, false))?;
        }
        save_tensors(&self.path.join(MODEL), &tensors, &about)?;
        Ok(write_atomically(&self.path.join(SUMMARY), &json(summary, true))?)
    }
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
    fn metrics_read_back_to_the_same_bits_and_are_json_whatever_the_numbers() {
        let scratch = Scratch::new();
        let mut folder = Folder::create(&scratch.path("a/b")).unwrap();
        let losses = [0.1f32, 1.0 / 3.0, 5.0, 1e-42, f32::MAX, f32::MIN_POSITIVE, f32::NAN, f32::INFINITY];
        let report =
            |loss| StepReport { step: 7, loss, learning_rate: 2e-3, grad_norm: loss, tokens: 512, scaling: None };
        losses.chunks(3).for_each(|some| {
            let reports: Vec<_> = some.iter().map(|&loss| report(loss)).collect();
            folder.append(&reports).unwrap();
        });
        let text = std::fs::read_to_string(folder.path().join(METRICS)).unwrap();
        assert!(
            text.starts_with(r#"{"step":7,"loss":0.1,"learning_rate":0.002,"grad_norm":0.1,"tokens":512}"#),
            "{text}"
        );
        for (line, loss) in text.lines().zip(losses) {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            match json["loss"].as_number() {
                Some(number) => assert_eq!(number.to_string().parse::<f32>().unwrap().to_bits(), loss.to_bits()),
                None => assert!(json["loss"].is_null() && !loss.is_finite()),
            }
        }
        assert_eq!(text.lines().count(), losses.len());
    }

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
