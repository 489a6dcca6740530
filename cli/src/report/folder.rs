//! What a run's folder says, whether it has ended, is under way, or was cut off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll::config::Config;
use plimsoll::error::Error;
use plimsoll::run::checkpoint::{Checkpoint, Checkpoints};
use plimsoll::run::{AllowedBy, Folder, History, Run, started};
use plimsoll::storage::{Lock, names};
use plimsoll::target::Target;
use plimsoll::training::Planned;
use serde::Deserialize;

use crate::plan::report;

/// A checkpoint of more bytes is not read for the sake of a page.
const MOST_READ: u64 = 256 << 20;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It made all its steps.
    Done,
    /// It was ended early, and saved.
    Ended,
    /// A process has its folder.
    UnderWay,
    /// It has no results, and nobody works on it: it was killed, or failed.
    CutOff,
}

/// What matters here of `plan.json`, which `plimsoll plan --json` prints too.
#[derive(Clone, Deserialize)]
pub(super) struct PlanFile {
    pub(super) version: String,
    pub(super) planned_bytes: u64,
    pub(super) lower_bound_bytes: u64,
    pub(super) memory: Option<Allowed>,
    pub(super) window: u32,
    pub(super) vocabulary: u32,
    pub(super) outputs: u32,
    pub(super) parameters: u64,
    pub(super) dispatches_per_step: u64,
    pub(super) roles: BTreeMap<String, u64>,
    pub(super) target: Target,
}

#[derive(Clone, Deserialize)]
pub(super) struct Allowed {
    pub(super) bytes: u64,
    pub(super) by: AllowedBy,
}

/// What matters here of `summary.json`.
#[derive(Clone, Deserialize)]
pub(super) struct SummaryFile {
    pub(super) version: String,
    pub(super) adapter: String,
    pub(super) backend: String,
    pub(super) planned_bytes: u64,
    pub(super) allocated_bytes: Option<u64>,
    pub(super) allocations_after_first_step: Option<u64>,
    pub(super) steps: u64,
    pub(super) train_loss: Option<f64>,
    pub(super) validation_loss: Option<f64>,
    pub(super) validation_accuracy: Option<f64>,
    pub(super) test_loss: Option<f64>,
    pub(super) test_accuracy: Option<f64>,
    pub(super) unigram_entropy: Option<f64>,
    pub(super) seconds: f64,
    pub(super) tokens_per_second: f64,
}

/// A checkpoint's file.
pub(super) struct Saved {
    pub(super) step: u64,
    pub(super) bytes: u64,
    /// Seconds since 1970, where the disk tells.
    pub(super) written: Option<u64>,
}

/// A run's folder, read.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) state: State,
    pub(super) history: History,
    pub(super) summary: Option<SummaryFile>,
    /// What was planned when the run began or was taken up.
    pub(super) plan: Option<PlanFile>,
    /// Whether the folder has it, and not only this page.
    pub(super) plan_is_its_own: bool,
    /// The run with its data, or why they cannot be read here.
    pub(super) run: Result<Run, String>,
    /// It planned anew for the run's device, or why it cannot be.
    pub(super) planned: Result<Planned, String>,
    pub(super) saved: Vec<Saved>,
    /// When its first and its last step were reported, in seconds since 1970.
    pub(super) when: Option<(f64, f64)>,
    /// What its reader should know.
    pub(super) warnings: Vec<String>,
}

impl Found {
    /// Reads the folder `path`; nothing in it is changed.
    ///
    /// # Errors
    /// A folder that is not there, or without a run; a run file that cannot be read.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() || !Folder::has_run(path)? {
            let (shown, what) = (path.display(), if path.is_dir() { "a run's folder" } else { "a folder" });
            return Err(Error::Input(format!(
                "there is no run to report on: {shown} is not {what}; `plimsoll train --out DIR` makes one"
            )));
        }
        let mut warnings = Vec::new();
        let config = config(path)?;
        let history = History::read(path)?;
        let summary: Option<SummaryFile> = json(path, "summary.json", &mut warnings);
        let run = Run::new(config.clone()).map_err(|error| error.to_string());
        let plan: Option<PlanFile> = json(path, "plan.json", &mut warnings);
        let mut plan = plan.and_then(|plan| plausible(plan, &mut warnings));
        let planned = match &run {
            Ok(run) => run.plan(&target(plan.as_ref())).map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        let plan_is_its_own = plan.is_some();
        if let (None, Ok(run), Ok(planned)) = (&plan, &run, &planned) {
            let text = serde_json::to_value(report(run, planned)?);
            plan = text.ok().and_then(|text| serde_json::from_value(text).ok());
            warnings.push(
                "The folder does not say which device it was planned for (it has no plan.json): the plan shown is \
                 one for WebGPU's default limits."
                    .into(),
            );
        }
        let state = state(path, summary.as_ref(), &history, run.as_ref().ok());
        let saved = saved(path)?;
        let found = Self {
            name: name(path),
            path: path.into(),
            when: started(path),
            config,
            state,
            history,
            summary,
            plan,
            plan_is_its_own,
            run,
            planned,
            saved,
            warnings,
        };
        Ok(found.warned().held_against_its_checkpoint())
    }

    /// Notes what is amiss in what was read.
    fn warned(mut self) -> Self {
        let mut say = Vec::new();
        let History { steps, losses, grad_norms, skipped, unreadable, .. } = &self.history;
        let of_steps = steps.iter().zip(losses.iter().zip(grad_norms));
        let bad = of_steps.filter(|(_, (loss, norm))| !(loss.is_finite() && norm.is_finite()));
        let all_bad: Vec<u64> = bad.map(|(step, _)| *step).collect();
        let of_those = skipped.len();
        if let Some(first) = all_bad.first() {
            let n = counted(all_bad.len(), "step has", "steps have");
            say.push(format!(
                "{n} a loss or a gradient norm that is no finite number, the first of them step {first}."
            ));
        }
        if of_those > 0 {
            let n = counted(of_those, "step was", "steps were");
            say.push(format!("{n} skipped: the loss or a gradient was not finite, so nothing was learnt from it."));
        }
        if *unreadable > 0 {
            let n = counted(usize::try_from(*unreadable).unwrap_or(usize::MAX), "line", "lines");
            say.push(format!("{n} of metrics.jsonl cannot be read; the last one may be half written."));
        }
        if !steps.is_sorted_by(|a, b| a < b) {
            say.push("metrics.jsonl has steps that are not in order.".into());
        }
        if let Some(summary) = &self.summary {
            // Steps that changed nothing are none of a run that was stopped for the first of them.
            let last = steps.iter().rev().find(|step| !skipped.contains(step));
            if last.is_some_and(|last| *last > summary.steps) {
                say.push(format!("summary.json is of step {}; the run has gone on since.", summary.steps));
            }
            if let Some(made) = summary.allocations_after_first_step.filter(|n| *n > 0) {
                say.push(format!("{made} buffers were created after the first step, and none should be."));
            }
            if summary.allocated_bytes.is_some_and(|held| held != summary.planned_bytes) {
                say.push("The device held another number of bytes than was planned.".into());
            }
        }
        let damaged = names(&self.path.join("checkpoints")).unwrap_or_default();
        for name in damaged.iter().filter(|name| name.ends_with(".damaged")) {
            say.push(format!("The checkpoint {name} was found damaged and put aside."));
        }
        self.warnings.extend(say);
        self
    }

    /// Notes if the newest checkpoint is not whole, or the data are no longer those that it knows.
    fn held_against_its_checkpoint(mut self) -> Self {
        let Some(newest) = self.saved.first().filter(|newest| newest.bytes <= MOST_READ) else { return self };
        match (Checkpoint::read(&Checkpoints::of(&self.path).path(newest.step)), &self.run) {
            (Ok(checkpoint), Ok(run)) if checkpoint.about.data != run.source.fingerprint() => self.warnings.push(
                "The data that are here now are not those that the run learnt from, so what is told of them is of \
                 others."
                    .into(),
            ),
            (Err(error), _) if self.state != State::UnderWay => self.warnings.push(format!("{error}.")),
            _ => {}
        }
        self
    }

    /// Seconds that a step takes, as the folder tells.
    pub(super) fn seconds_a_step(&self) -> Option<f64> {
        if let Some(summary) = self.summary.as_ref().filter(|summary| summary.steps > 0) {
            return Some(summary.seconds / summary.steps as f64);
        }
        let ((first, last), steps) = (self.when?, self.history.steps.len());
        (steps > 1).then(|| (last - first) / (steps - 1) as f64)
    }
}

/// One or many of something.
pub(super) fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The run file; of a run that has not saved one, that of its newest checkpoint.
fn config(path: &Path) -> Result<Config, Error> {
    let file = path.join("config.toml");
    let checkpoints = Checkpoints::of(path);
    match checkpoints.steps()?.first() {
        Some(step) if !file.is_file() => {
            let about = Checkpoint::read(&checkpoints.path(*step))?.about;
            Ok(Config::from_toml(&about.config, "the checkpoint's run file")?)
        }
        _ => Ok(Config::read(&file)?),
    }
}

/// A file of JSON; one that is not there is none, and one that is not what it should be is told of.
fn json<T: for<'a> Deserialize<'a>>(path: &Path, name: &str, warnings: &mut Vec<String>) -> Option<T> {
    let path = path.join(name);
    // What is no file, such as a pipe, may never end.
    let text = fs::metadata(&path).is_ok_and(|about| about.is_file()).then(|| fs::read(&path).ok())??;
    let read = serde_json::from_slice(&text);
    read.map_err(|error| warnings.push(format!("{name} cannot be used: {error}."))).ok()
}

/// What the run was planned for, or else what any device has.
fn target(plan: Option<&PlanFile>) -> Target {
    let wide = || Target::profile("webgpu-default").expect("this profile ships with the library");
    plan.map_or_else(wide, |plan| plan.target.clone())
}

/// A plan for a device that there can be; another is told of, and not used.
fn plausible(plan: PlanFile, warnings: &mut Vec<String>) -> Option<PlanFile> {
    let checked = plan.target.clone().checked();
    checked.map_err(|reason| warnings.push(format!("plan.json cannot be used: {reason}."))).ok()?;
    Some(plan)
}

fn state(path: &Path, summary: Option<&SummaryFile>, history: &History, run: Option<&Run>) -> State {
    if Lock::is_taken(path) {
        return State::UnderWay;
    }
    // Steps that changed nothing are none of a run that was stopped for the first of them.
    let applied = history.steps.iter().rev().find(|step| !history.skipped.contains(step));
    let last = applied.copied().unwrap_or(0);
    match summary {
        Some(summary) if summary.steps < last => State::CutOff,
        Some(summary) if run.and_then(|run| run.steps().ok()).is_some_and(|all| summary.steps < all) => State::Ended,
        Some(_) => State::Done,
        None => State::CutOff,
    }
}

fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    whole.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
}

fn saved(path: &Path) -> Result<Vec<Saved>, Error> {
    let checkpoints = Checkpoints::of(path);
    let of = |step: u64| {
        let about = fs::metadata(checkpoints.path(step)).ok()?;
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        Some(Saved { step, bytes: about.len(), written: about.modified().ok().and_then(since) })
    };
    // One that has just been removed by the run that keeps the newest only is passed over.
    Ok(checkpoints.steps()?.into_iter().filter_map(of).collect())
}
