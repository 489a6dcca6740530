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
//! let mut streams = run.streams()?;
//! while session.steps() < run.config.train.steps {
//!     let reports = session.step(&streams.next_window().into())?;
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

mod files;
mod report;
mod settings;
mod summary;

use crate::config::Config;
use crate::error::Error;
use crate::target::Target;
use crate::text::{IGNORE, Streams, Text, Window, entropy, unigram_entropy};
use crate::training::{Batch, Planned, Session, Training};

pub use files::{Folder, Saved};
pub use report::{Allowed, AllowedBy, Peak, PlanReport, ProgramReport};
pub use summary::{Summary, Tally};

/// A run and its text.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is to be done.
    pub config: Config,
    /// What is learnt from.
    pub text: Text,
}

impl Run {
    /// Reads the text that `config` names.
    ///
    /// # Errors
    /// A text that cannot be read, or has no units.
    pub fn new(config: Config) -> Result<Self, Error> {
        let unit = config.data.unit.into();
        let text = match &config.data.text {
            Some(path) => Text::read(path, unit)?,
            None => Text::embedded(unit)?,
        };
        Ok(Self { config, text })
    }

    /// The ids to learn from, and those held out.
    ///
    /// # Errors
    /// None that a config which was read from a file can cause.
    pub fn parts(&self) -> Result<(&[u32], &[u32]), Error> {
        Ok(self.text.split(self.config.data.validation)?)
    }

    /// The run as the engine knows it. What is not there to be held out is not planned for.
    ///
    /// # Errors
    /// As [`Run::parts`].
    pub fn training(&self) -> Result<Training, Error> {
        let training = self.config.training(&self.text.vocabulary);
        Ok(Training { evaluate: self.parts()?.1.len() >= 2, ..training })
    }

    /// Plans the run for `target`, with no device.
    ///
    /// # Errors
    /// Layers that do not fit one another; a text too short for the batch.
    pub fn plan(&self, target: &Target) -> Result<Planned, Error> {
        self.streams()?;
        self.training()?.plan(target)
    }

    /// What is learnt from, window by window.
    ///
    /// # Errors
    /// A text too short for the batch.
    pub fn streams(&self) -> Result<Streams, Error> {
        let train = &self.config.train;
        Ok(Streams::new(self.parts()?.0.into(), train.batch, train.window)?)
    }

    /// The part held out, once through, in batches for [`Session::evaluate`]: as many streams as a
    /// micro-step has rows, or as the text is long enough for. None if it has less than two units.
    ///
    /// # Errors
    /// As [`Run::parts`].
    pub fn validation(&self) -> Result<Vec<Batch>, Error> {
        let held_out = self.parts()?.1;
        let rows = self.config.train.batch / self.config.train.accumulate.max(1);
        let most = u32::try_from(held_out.len() / 2).unwrap_or(u32::MAX);
        if most == 0 {
            return Ok(Vec::new());
        }
        let streams = Streams::new(held_out.into(), rows.min(most), self.config.train.window)?;
        let windows = (0..streams.windows_per_pass()).map(|step| streams.window_at(step));
        Ok(windows.map(|window| with_rows(window, rows).into()).collect())
    }

    /// Nats per unit that bare frequencies need for the part held out; without one, for the text.
    ///
    /// # Errors
    /// As [`Run::parts`].
    pub fn unigram_entropy(&self) -> Result<f64, Error> {
        let (train, held_out) = self.parts()?;
        if held_out.is_empty() {
            return Ok(entropy(train));
        }
        Ok(unigram_entropy(train, held_out, self.text.vocabulary.len())?)
    }

    /// Measures the loss on the part held out, and what the run took. To be called when the last
    /// step is done.
    ///
    /// # Errors
    /// Device errors.
    pub fn summary(&self, session: &mut Session, tally: &Tally) -> Result<Summary, Error> {
        let validation_loss = match self.validation()? {
            batches if batches.is_empty() => None,
            batches => session.evaluate(batches)?.mean(),
        };
        Ok(Summary::new(session, tally, validation_loss, self.unigram_entropy()?))
    }
}

/// The same window with rows added in which there is nothing to predict.
fn with_rows(window: Window, rows: u32) -> Window {
    let (had, has) = (window.rows as usize, rows as usize);
    let widen = |ids: &[u32], filler: u32| -> Vec<u32> {
        ids.chunks(had).flat_map(|step| step.iter().copied().chain(std::iter::repeat_n(filler, has - had))).collect()
    };
    let mut reset = window.reset;
    reset.resize(has, true);
    Window { inputs: widen(&window.inputs, 0), targets: widen(&window.targets, IGNORE), reset, rows, ..window }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Data;

    fn run(text: &str, validation: f64, batch: u32) -> Run {
        let mut config = Config::default_run();
        config.data.validation = validation;
        (config.train.batch, config.train.window) = (batch, 3);
        let text = Text::from_bytes(text.as_bytes(), config.data.unit.into(), "test").unwrap();
        Run { config, text }
    }

    #[test]
    fn a_short_held_out_part_fills_the_rows_it_can_and_leaves_the_others_empty() {
        // 6 units held out: three streams of two, for four rows.
        let run = run("abcdefabcdef", 0.5, 4);
        let [batch] = &run.validation().unwrap()[..] else { panic!("one window of one prediction") };
        let Data::U32(targets) = &batch.targets else { panic!("targets are ids") };
        assert_eq!(targets[..4], [1, 3, 5, IGNORE]);
        assert!(targets[4..].iter().all(|&t| t == IGNORE));
        assert_eq!(batch.inputs, Data::U32(vec![0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(targets.len(), 12);
    }

    #[test]
    fn without_a_held_out_part_nothing_is_evaluated_or_planned_for_it() {
        for validation in [0.0, 0.1] {
            let run = run("abcdefabcdef", validation, 2);
            assert!(run.validation().unwrap().is_empty());
            let planned = run.plan(&Target::profile("webgpu-default").unwrap()).unwrap();
            assert_eq!(planned.plan.dispatches("evaluate"), 0);
        }
        assert!(run("abcdefabcdef", 0.0, 2).unigram_entropy().unwrap() > 1.7);
    }

    #[test]
    fn a_text_too_short_is_found_out_by_planning() {
        let said = run("abcdef", 0.0, 4).plan(&Target::profile("webgpu-default").unwrap()).unwrap_err().to_string();
        assert!(said.contains("the largest batch is 3"), "{said}");
    }
}
