//! A run carried out to its end: trained, looked at, saved on the way, and taken up again.
//!
//! ```text
//! checkpoint 0 -> step ... step -> look at validation -> checkpoint -> step ... -> checkpoint -> results
//!                   ^                                                     |
//!                   +---- the device was lost: opened anew, once <--------+
//! ```
//!
//! What is taken up goes on bit for bit: a checkpoint has all that the next step depends on, and the
//! metrics go back to the lines they had then.

mod non_finite;

use std::time::{Duration, Instant};

use non_finite::Skips;

use super::checkpoint::{About, Checkpoint, Saver, VERSION};
use super::metrics::{Past, Written};
use super::{Batches, Folder, Part, Run, Score, Summary, Tally};
use crate::config::Every;
use crate::device::Device;
use crate::engine::EngineError;
use crate::error::Error;
use crate::memory;
use crate::storage::StorageError;
use crate::training::{Planned, Session, StepReport, TrainingState};

/// Who watches a run, and may end it.
pub trait Watcher {
    /// Whether the run should end after the step at hand, and save itself.
    fn wants_end(&mut self) -> bool {
        false
    }

    /// A step was made, or the last reports came in.
    fn stepped(&mut self, _session: &Session, _reports: &[StepReport], _tally: &Tally) {}

    /// The validation part was looked at after `step`.
    fn scored(&mut self, _step: u64, _score: &Score) {}

    /// Something happened that the user should know of; a line, or several.
    fn told(&mut self, _news: &str) {}
}

/// Nobody watches.
impl Watcher for () {}

/// Opens a device, the same kind each time.
pub type Open<'a> = dyn FnMut() -> Result<Device, Error> + 'a;

/// A run under way.
pub struct Learner<'a> {
    run: &'a Run,
    folder: Folder,
    session: Session,
    batches: Batches,
    tally: Tally,
    /// What the saved run file cannot say.
    remark: String,
    /// What checkpoints say of the run, but for what changes from one to the next.
    about: About,
    saver: Saver,
    /// When a checkpoint was begun last, and after which step, whether or not it came to be.
    saved_at: Instant,
    saved_step: Option<u64>,
    /// Whether the last line of metrics could not be written, which was told then.
    lines_wait: bool,
    /// Steps that were not finite.
    skips: Skips,
}

impl<'a> Learner<'a> {
    /// Begins a run in a session that has its first weights. `remark` is what the run file cannot say.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn begin(run: &'a Run, mut folder: Folder, session: Session, remark: &str) -> Result<Self, Error> {
        let batches = run.batches()?;
        let saver = Saver::new(folder.checkpoints(), run.config.checkpoint.keep);
        let about = about(run, session.planned(), remark);
        folder.describe(run);
        Ok(Self {
            run,
            folder,
            session,
            batches,
            tally: Tally::new(),
            remark: remark.into(),
            about,
            saver,
            saved_at: Instant::now(),
            saved_step: None,
            lines_wait: false,
            skips: Skips::default(),
        })
    }

    /// Goes on from `checkpoint` in a new session of its run.
    ///
    /// # Errors
    /// A checkpoint of another run; storage; device errors.
    pub fn take_up(
        run: &'a Run,
        folder: Folder,
        session: Session,
        checkpoint: &Checkpoint,
        watcher: &mut dyn Watcher,
    ) -> Result<Self, Error> {
        let mut learner = Self::begin(run, folder, session, &checkpoint.about.remark)?;
        learner.go_back(checkpoint, watcher)?;
        Ok(learner)
    }

    /// Trains to the end, or until the watcher wants one, and saves what came of it. A device that is
    /// lost is opened anew, once.
    ///
    /// # Errors
    /// Device and storage errors. What was saved before stays.
    pub fn learn(mut self, open: &mut Open<'_>, watcher: &mut dyn Watcher) -> Result<(Session, Summary), Error> {
        let mut lost_before = false;
        loop {
            let ended = self.train_and_save(watcher);
            // Whatever happened, what is being written is written.
            self.wait(watcher);
            match ended {
                Ok(summary) => return Ok((self.session, summary)),
                Err(Error::Engine(EngineError::Lost { reason })) if !lost_before => {
                    tell(watcher, &format!("The device was lost: {reason}. It is opened anew."));
                    lost_before = true;
                    self = self.come_back(open, watcher)?;
                }
                Err(error) => {
                    if lost_before && matches!(error, Error::Engine(EngineError::Lost { .. })) {
                        self.tell_where_it_can_go_on(watcher);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn train_and_save(&mut self, watcher: &mut dyn Watcher) -> Result<Summary, Error> {
        let steps = self.run.steps()?;
        let _span = tracing::info_span!("train", folder = %self.folder.path().display()).entered();
        tracing::info!(from = self.session.steps(), to = steps, "training");
        if self.saved_step.is_none() {
            self.save(watcher)?;
            // Killed with lines of metrics but before its first checkpoint is whole, a run could not go on.
            self.wait(watcher);
        }
        while self.session.steps() < steps && self.skips.last_straw.is_none() && !watcher.wants_end() {
            let batch = self.batches.next().expect("batches of training have no end");
            let reports = self.session.step(&batch)?;
            self.tally.add(&reports);
            self.report(&reports, watcher);
            self.tell_of_skip(watcher)?;
            self.look_at_validation(watcher)?;
            if self.saver.is_done() {
                self.wait(watcher);
            }
            if self.is_due() {
                self.save(watcher)?;
            }
        }
        self.flush(watcher)?;
        self.tell_of_skip(watcher)?;
        if let Some(report) = self.skips.last_straw {
            return Err(self.give_up(&report, watcher)?);
        }
        if self.saved_step != Some(self.session.steps()) {
            self.save(watcher)?;
        }
        self.wait(watcher);
        let steps = self.session.steps();
        let weights = self.finite_weights(watcher)?;
        let summary = self.run.summary(&mut self.session, &self.tally)?;
        self.folder.save(self.run, &mut self.session, &summary, &self.remark)?;
        self.folder.settle()?;
        if self.session.steps() != steps {
            return Err(Error::Input(format!(
                "The run ended with numbers that are none: {weights} are in the folder. A smaller `learning_rate` may \
                 help"
            )));
        }
        tracing::info!(steps = self.session.steps(), seconds = summary.seconds, "ended");
        Ok(summary)
    }

    /// Passes on what steps said.
    fn report(&mut self, reports: &[StepReport], watcher: &mut dyn Watcher) {
        self.count_skips(reports);
        let appended = self.folder.append(reports);
        self.mind(appended, watcher);
        watcher.stepped(&self.session, reports, &self.tally);
    }

    /// Lines that cannot be written wait, and that is told once.
    fn mind(&mut self, written: Result<(), StorageError>, watcher: &mut dyn Watcher) {
        match written {
            Err(error) if !self.lines_wait => {
                tell(watcher, &format!("{error}. Training goes on; the lines are kept and written when they can be."));
                self.lines_wait = true;
            }
            result => self.lines_wait = result.is_err(),
        }
    }

    /// Waits for the steps under way, so that all before this line is told before what comes after it.
    fn flush(&mut self, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let reports = self.session.finish()?;
        self.tally.add_last(&reports);
        self.report(&reports, watcher);
        Ok(())
    }

    fn look_at_validation(&mut self, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let step = self.session.steps();
        if !self.run.evaluates_after(step) {
            return Ok(());
        }
        self.flush(watcher)?;
        if self.skips.last_straw.is_some() {
            return Ok(());
        }
        if let Some(score) = self.run.score(&mut self.session, Part::Validation)? {
            self.session.observe(score.loss);
            let appended = self.folder.append_score(step, &score);
            self.mind(appended, watcher);
            tracing::info!(step, loss = score.loss, accuracy = score.accuracy, "looked at the validation part");
            watcher.scored(step, &score);
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        match self.run.config.checkpoint.every {
            Every::Never => false,
            Every::Steps(steps) => self.session.steps().is_multiple_of(steps),
            Every::Seconds(seconds) => self.saved_at.elapsed() >= Duration::from_secs(seconds),
        }
    }

    /// Takes the state out of the device and starts to write it; training need not wait for the disk.
    /// What keeps it from being written is told, and tried again when the next checkpoint is due.
    fn save(&mut self, watcher: &mut dyn Watcher) -> Result<(), Error> {
        if self.run.config.checkpoint.every == Every::Never {
            return Ok(());
        }
        self.flush(watcher)?;
        self.wait(watcher);
        // What is left of a run that is to end is not what any of its steps has come to.
        if self.skips.last_straw.is_some() {
            return Ok(());
        }
        let step = self.session.steps();
        (self.saved_at, self.saved_step) = (Instant::now(), Some(step));
        let metrics = self.folder.settle();
        let state = self.session.capture()?;
        match self.checkpoint(metrics, state) {
            Ok(checkpoint) => self.saver.start(checkpoint),
            Err(reason) => tell_not_saved(step, &reason, watcher),
        }
        Ok(())
    }

    /// All that the run is in this state, or why that is nothing to go back to.
    fn checkpoint(&self, metrics: Result<Written, StorageError>, state: TrainingState) -> Result<Checkpoint, String> {
        let metrics = metrics.map_err(|error| error.to_string())?;
        if let Some(name) = state.first_not_finite() {
            return Err(format!("`{name}` has an element that is no finite number"));
        }
        let (step, plateau) = (state.step, state.plateau);
        let (seconds, cpu_seconds) = (self.tally.seconds(), self.tally.cpu_seconds());
        let about = About { step, batches: step, plateau, metrics, seconds, cpu_seconds, ..self.about.clone() };
        Ok(Checkpoint { about, state })
    }

    /// Waits for the checkpoint that is being written, and tells if it could not be.
    fn wait(&mut self, watcher: &mut dyn Watcher) {
        if let Some((step, Err(error))) = self.saver.wait() {
            tell_not_saved(step, &error.to_string(), watcher);
        }
    }

    /// Goes on from the newest checkpoint on a device opened anew. Where that is the same one, it is by the same plan, whatever
    /// memory is left now: what the lost device had may still be counted. A device that refuses it is given a smaller one.
    fn come_back(self, open: &mut Open<'_>, watcher: &mut dyn Watcher) -> Result<Self, Error> {
        let mut told = Vec::new();
        let newest = self.folder.checkpoints().newest(&mut told)?;
        told.iter().for_each(|news| tell(watcher, news));
        let Some(checkpoint) = newest else {
            let reason = "and the run has no checkpoint to go on from: `every` in `[checkpoint]` says when one is made";
            return Err(EngineError::Lost { reason: reason.into() }.into());
        };
        let before = self.session.planned().clone();
        // What it holds of the host's memory is to be had again.
        drop(self.session);
        let mut device = open()?;
        let planned = if before.plan.target.is_of_one_device_with(device.target()) {
            device.choose_kernels_by(before.plan.target.rates);
            before
        } else {
            let host = memory::available();
            let planned = self.run.plan_on(device.target(), host.as_ref())?;
            if let Some(refusal) = self.run.refusal(&planned, host.as_ref())? {
                return Err(Error::Refused(Box::new(refusal)));
            }
            planned
        };
        let session = self.run.start(planned, &device, &mut |news| tell(watcher, news))?;
        let about = about(self.run, session.planned(), &self.remark);
        let mut learner = Self { session, about, ..self };
        tell(watcher, &format!("Going on from the checkpoint of step {}.", checkpoint.about.step));
        learner.go_back(&checkpoint, watcher)?;
        Ok(learner)
    }

    /// Makes the session, the data and the metrics what they were at `checkpoint`.
    fn go_back(&mut self, checkpoint: &Checkpoint, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let about = &checkpoint.about;
        for difference in self.about.differences(about) {
            tell(watcher, &format!("From here on not to the bit what it would have been: {difference}."));
        }
        self.session.restore(&checkpoint.state)?;
        self.batches.seek(about.batches);
        let (past, same) = self.folder.go_back(checkpoint)?;
        if !same {
            let lines = past.losses.len();
            tell(
                watcher,
                &format!(
                    "The metrics are not what they were at step {}: the lines of {lines} steps before it are kept.",
                    about.step
                ),
            );
        }
        let Past { tokens, losses } = past;
        self.tally = Tally::after(about.seconds, about.cpu_seconds, tokens, losses);
        (self.saved_at, self.saved_step) = (Instant::now(), Some(about.step));
        (self.lines_wait, self.skips) = (false, Skips::default());
        Ok(())
    }

    fn tell_where_it_can_go_on(&self, watcher: &mut dyn Watcher) {
        if let Ok(Some(step)) = self.folder.checkpoints().steps().map(|steps| steps.first().copied()) {
            let folder = self.folder.path().display();
            tell(
                watcher,
                &format!(
                    "The device was lost a second time. The run is saved up to step {step}; \
                 `plimsoll train --resume {folder}` goes on from there."
                ),
            );
        }
    }
}

/// Says something to who watches, and to the log.
fn tell(watcher: &mut dyn Watcher, news: &str) {
    tracing::warn!("{news}");
    watcher.told(news);
}

fn tell_not_saved(step: u64, reason: &str, watcher: &mut dyn Watcher) {
    tell(
        watcher,
        &format!(
            "No checkpoint of step {step}: {reason}. Training goes on, the checkpoints before it are untouched, \
         and the next is tried when it is due."
        ),
    );
}

/// What a run's checkpoints say of it, before the first step.
fn about(run: &Run, planned: &Planned, remark: &str) -> About {
    let target = &planned.plan.target;
    About {
        version: VERSION,
        plimsoll: env!("CARGO_PKG_VERSION").into(),
        step: 0,
        batches: 0,
        plateau: Default::default(),
        metrics: Default::default(),
        seconds: 0.0,
        cpu_seconds: None,
        accumulate: planned.training.accumulate,
        plan: planned.plan.digest(),
        adapter: target.name.clone(),
        backend: target.backend.clone(),
        driver: target.driver.clone(),
        data: run.source.fingerprint(),
        config: run.config.to_toml(),
        remark: remark.into(),
    }
}
