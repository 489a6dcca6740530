//! A run from its file to its results: what a [`Config`] says, carried out with the rest of the
//! library.
//!
//! ```no_run
//! use plimsoll::config::Config;
//! use plimsoll::device::Device;
//! use plimsoll::run::{Folder, Run, Tally};
//! use plimsoll::training::Session;
//!
//! let run = Run::new(Config::default_run())?;
//! let device = Device::open()?;
//! let mut session = Session::start(run.plan(device.target())?, &device)?;
//! let (mut folder, mut tally) = (Folder::create("runs/first".as_ref())?, Tally::new());
//! let batches = run.batches()?;
//! for batch in batches.take(run.steps()? as usize) {
//!     let reports = session.step(&batch)?;
//!     folder.append(&reports)?;
//!     tally.add(&reports);
//! }
//! let reports = session.finish()?;
//! folder.append(&reports)?;
//! tally.add_last(&reports);
//! let summary = run.summary(&mut session, &tally)?;
//! folder.save(&run, &mut session, &summary, "")?;
//! # Ok::<(), plimsoll::error::Error>(())
//! ```

mod bench;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod checkpoint;
mod date;
mod disk;
mod events;
mod files;
mod fingerprint;
mod growing;
mod history;
mod host;
mod learn;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod metrics;
mod phases;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod probe;
mod report;
#[warn(clippy::indexing_slicing, clippy::panic)]
mod resume;
mod score;
mod settings;
mod source;
mod summary;

use crate::config::{Config, Length};
use crate::device::Device;
use crate::error::Error;
use crate::memory::Available;
use crate::nn::Time;
use crate::refusal::Refusal;
use crate::target::Target;
use crate::text::{Text, bigram_entropy, entropy, unigram_entropy};
use crate::training::{Planned, Session, Training};

pub use crate::plan::report::Peak;
pub use bench::{BenchReport, Peaks};
pub use date::day;
pub use disk::DiskUse;
pub use events::started;
pub use files::{Folder, Saved};
pub use history::{History, Look};
pub use host::HostUse;
pub use learn::{Learner, Open, Watcher};
pub use metrics::{Past, Written};
pub use phases::PhaseReport;
pub use probe::{Cache, Probed};
pub use report::{Allowed, PlanReport, ProgramReport};
pub use resume::Resumption;
pub use score::Score;
pub use source::{Batches, Examples, Part, Source};
pub use summary::{Driver, Summary, Tally};

pub use crate::target::AllowedBy;

/// A run and its data.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is to be done.
    pub config: Config,
    /// What is learnt from.
    pub source: Source,
    /// Whether [`Run::predictions`] will be asked for, which the plan has to know.
    pub predict: bool,
}

impl Run {
    /// Reads the data that `config` names.
    ///
    /// # Errors
    /// Data that cannot be read, or has nothing to learn from.
    pub fn new(config: Config) -> Result<Self, Error> {
        let source = Source::read(&config)?;
        Ok(Self { config, source, predict: false })
    }

    /// Its text, if that is what it learns from.
    pub fn text(&self) -> Option<&Text> {
        self.source.text()
    }

    /// Its examples, unless it learns from a text.
    pub fn examples(&self) -> Option<&Examples> {
        self.source.examples()
    }

    /// The run as the engine knows it. What is not there to be held out is not planned for.
    ///
    /// # Errors
    /// Sequences that are not as long as the window.
    pub fn training(&self) -> Result<Training, Error> {
        let (inputs, targets, time) = self.source.task();
        let mut training = self.config.training(inputs, targets, time, self.steps()?);
        if let Some(steps) = self.source.steps().filter(|_| time != Time::None) {
            let is_cut = matches!(self.config.data.source, crate::config::Source::Series { .. });
            if let Some(said) = self.config.train.window.filter(|&said| !is_cut && said != steps) {
                let reason = format!(
                    "`window = {said}` in `[train]`, and the sequences of the data have {steps} timesteps: they are \
                     learnt from whole; leave `window` out, or cut the data into sequences of {said}"
                );
                return Err(Error::Input(reason));
            }
            training.window = steps;
            training.fixed_window = !is_cut;
        }
        training.inputs_in_halves = self.source.fits_in_halves();
        training.lengths = self.source.has_lengths();
        training.evaluate =
            self.source.has(&self.config, Part::Validation)? || self.source.has(&self.config, Part::Test)?;
        training.predict = self.predict;
        // More reports than there are steps would only make the buffer they come back through larger.
        training.report_every = training.report_every.min(crate::ops::clamp(self.steps()?.max(1)));
        if training.carry_state && matches!(self.config.data.source, crate::config::Source::Series { .. }) {
            let reason = "`carry_state` is set, and windows of a series overlap: none begins where another ended";
            return Err(Error::Input(reason.into()));
        }
        if self.config.train.evaluate_every.is_some() && !self.source.has(&self.config, Part::Validation)? {
            let reason = "`evaluate_every` is set and no validation part is held out: set `validation` in `[data]`";
            return Err(Error::Input(reason.into()));
        }
        Ok(training)
    }

    /// Updates of the whole run.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn steps(&self) -> Result<u64, Error> {
        match self.config.train.length {
            Length::Steps(steps) => Ok(steps),
            Length::Epochs(epochs) => Ok(epochs.saturating_mul(self.batches()?.per_epoch())),
        }
    }

    /// Plans the run for `target`, with no device: where it does not fit as it is described, in another way that
    /// makes the same updates, unless its budget says not to; see [`Training::bargain`].
    ///
    /// # Errors
    /// Layers that do not fit one another; too little data for the batch.
    pub fn plan(&self, target: &Target) -> Result<Planned, Error> {
        self.plan_on(target, None)
    }

    /// The same for a device of a `host` that has no more memory than that: on a software adapter, whose memory is the
    /// host's, with what the batches and the copy of the state leave of it. [`Run::refusal`] tells whether they do.
    ///
    /// # Errors
    /// As [`Run::plan`].
    pub fn plan_on(&self, target: &Target, host: Option<&Available>) -> Result<Planned, Error> {
        let _span = tracing::debug_span!("plan", target = target.name).entered();
        let started = std::time::Instant::now();
        let batches = self.batches()?;
        let training = self.training()?;
        let room = host::room(&batches, host);
        let planned = match self.config.budget.bargain {
            true => training.bargain_in(target, &room)?,
            false => training.plan_in(target, &room)?.0,
        };
        let (bytes, values) = (planned.plan.planned_bytes(), planned.plan.graph.value_ids().count());
        let dispatches = planned.plan.schedule.steps.len();
        tracing::info!(bytes, values, dispatches, milliseconds = milliseconds(started), "planned the run");
        Ok(planned)
    }

    /// Why `planned`, a plan of this run, cannot be run on its device and a `host` that has no more memory than that
    /// beside the data, with what would fit both; `None` if it can.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn refusal(&self, planned: &Planned, host: Option<&Available>) -> Result<Option<Refusal>, Error> {
        Ok(self.refused(planned, &self.batches()?, host))
    }

    /// Takes the memory of a plan of this run on `device`: where that gives less than it promised, of a smaller one
    /// that makes the same updates, unless the run's budget says not to. Each time, `tell` is told.
    ///
    /// # Errors
    /// As [`Session::start_in_what_there_is`].
    pub fn start(&self, planned: Planned, device: &Device, tell: &mut dyn FnMut(&str)) -> Result<Session, Error> {
        match self.config.budget.bargain {
            true => Session::start_in_what_there_is(planned, device, tell),
            false => Session::start(planned, device),
        }
    }

    /// What is learnt from, batch by batch, without end.
    ///
    /// # Errors
    /// Too little data for the batch.
    pub fn batches(&self) -> Result<Batches, Error> {
        self.source.batches(&self.config)
    }

    /// Whether the validation part is to be looked at after `step`.
    pub fn evaluates_after(&self, step: u64) -> bool {
        self.config.train.evaluate_every.is_some_and(|every| step > 0 && step.is_multiple_of(every))
    }

    /// Nats per unit that bare frequencies need for the part of a text held out; without one, for the
    /// text. None of examples.
    ///
    /// # Errors
    /// None that a config which was read from a file can cause.
    pub fn unigram_entropy(&self) -> Result<Option<f64>, Error> {
        let Some(text) = self.text() else { return Ok(None) };
        let [train, held_out] = self.ids(text)?;
        if held_out.is_empty() {
            return Ok(Some(entropy(train)));
        }
        Ok(Some(unigram_entropy(train, held_out, text.vocabulary.len())?))
    }

    /// Nats per unit that the frequencies of pairs, each count plus one, need for the part of a text
    /// held out: a bigram model with add-one smoothing. None without one, and of examples.
    ///
    /// # Errors
    /// None that a config which was read from a file can cause.
    pub fn bigram_entropy(&self) -> Result<Option<f64>, Error> {
        let Some(text) = self.text() else { return Ok(None) };
        let [train, held_out] = self.ids(text)?;
        if held_out.len() < 2 {
            return Ok(None);
        }
        Ok(Some(bigram_entropy(train, held_out, text.vocabulary.len())?))
    }

    fn ids<'a>(&self, text: &'a Text) -> Result<[&'a [u32]; 2], Error> {
        let part = |part| source::ids(text, &self.config, part);
        Ok([part(Part::Train)?, part(Part::Validation)?])
    }

    /// Measures the parts held out, and what the run took. To be called when the last step is done.
    ///
    /// # Errors
    /// Device errors.
    pub fn summary(&self, session: &mut Session, tally: &Tally) -> Result<Summary, Error> {
        let validation = self.score(session, Part::Validation)?;
        let test = self.score(session, Part::Test)?;
        let summary = Summary::new(session, tally);
        Ok(Summary {
            validation_loss: validation.map(|s| s.loss),
            validation_accuracy: validation.and_then(|s| s.accuracy),
            test_loss: test.map(|s| s.loss),
            test_accuracy: test.and_then(|s| s.accuracy),
            unigram_entropy: self.unigram_entropy()?,
            bigram_entropy: self.bigram_entropy()?,
            ..summary
        })
    }
}

/// Milliseconds since `started`, for logs.
fn milliseconds(started: std::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Batch, Data, INPUTS, TARGETS};
    use crate::text::IGNORE;

    fn run(text: &str, validation: f64, batch: u32) -> Run {
        let mut config = Config::default_run();
        config.data.validation = validation;
        (config.train.batch, config.train.window) = (batch, Some(3));
        let text = Text::from_bytes(text.as_bytes(), crate::text::Unit::Char, "test").unwrap();
        Run { config, source: Source::Text(text), predict: false }
    }

    fn validation(run: &Run) -> Vec<Batch> {
        run.source.once(&run.config, Part::Validation, run.config.train.batch).unwrap().collect()
    }

    #[test]
    fn a_short_held_out_part_fills_the_rows_it_can_and_leaves_the_others_empty() {
        // 6 units held out: three streams of two, for four rows.
        let run = run("abcdefabcdef", 0.5, 4);
        let [batch] = &validation(&run)[..] else { panic!("one window of one prediction") };
        let Some(Data::U32(targets)) = batch.field(TARGETS) else { panic!("targets are ids") };
        assert_eq!(targets[..4], [1, 3, 5, IGNORE]);
        assert!(targets[4..].iter().all(|&t| t == IGNORE));
        assert_eq!(batch.field(INPUTS), Some(&Data::U32(vec![0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
        assert_eq!(targets.len(), 12);
    }

    #[test]
    fn without_a_held_out_part_nothing_is_evaluated_or_planned_for_it() {
        for part in [0.0, 0.1] {
            let run = run("abcdefabcdef", part, 2);
            assert!(validation(&run).is_empty());
            let planned = run.plan(&Target::profile("webgpu-default").unwrap()).unwrap();
            assert_eq!(planned.plan.dispatches("evaluate"), 0);
        }
        assert!(run("abcdefabcdef", 0.0, 2).unigram_entropy().unwrap() > Some(1.7));
    }

    #[test]
    fn a_test_part_is_the_end_and_the_validation_part_what_comes_before() {
        let mut run = run("abcdefghij", 0.2, 2);
        run.config.data.test = 0.3;
        let text = run.text().unwrap();
        let part = |part| source::ids(text, &run.config, part).unwrap().to_vec();
        assert_eq!(part(Part::Train), [0, 1, 2, 3, 4]);
        assert_eq!(part(Part::Validation), [5, 6]);
        assert_eq!(part(Part::Test), [7, 8, 9]);
    }

    #[test]
    fn a_text_too_short_is_found_out_by_planning() {
        let said = run("abcdef", 0.0, 4).plan(&Target::profile("webgpu-default").unwrap()).unwrap_err().to_string();
        assert!(said.contains("the largest batch is 3"), "{said}");
    }
}
