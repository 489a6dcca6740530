//! Steps whose loss or gradients are not finite: told with where that began, passed over or the run's end.

use super::{Learner, tell, tell_not_saved};
use crate::config::Every;
use crate::error::Error;
use crate::run::{Part, Watcher};
use crate::training::{LossScale, NonFinite, Origin, StepReport};

/// So many steps in a row that changed nothing, and the run has nowhere to go.
const MOST_SKIPPED: u64 = 100;

/// What a run has seen of steps that are not finite.
#[derive(Debug, Default)]
pub(super) struct Skips {
    /// Those since the last step that was applied.
    in_a_row: u64,
    /// The first of the run that is still to be looked into.
    to_tell: Option<StepReport>,
    told: bool,
    /// The first of those that the run ends for.
    pub(super) last_straw: Option<StepReport>,
}

impl Skips {
    /// Takes note of what steps said; a run that may skip goes on unless nothing but that is left to it.
    ///
    /// Where the loss is scaled `dynamically`, steps of finite loss are how its scale is found, and nothing to tell.
    fn count(&mut self, reports: &[StepReport], policy: NonFinite, dynamically: bool) {
        for report in reports {
            if !report.skipped {
                self.in_a_row = 0;
                continue;
            }
            self.in_a_row += 1;
            if policy == NonFinite::Stop || self.in_a_row >= MOST_SKIPPED {
                self.last_straw = self.last_straw.or(Some(*report));
            } else if !(self.told || dynamically && report.loss.is_finite()) {
                (self.to_tell, self.told) = (Some(*report), true);
            }
        }
    }
}

impl Learner<'_> {
    /// Takes note of steps that changed nothing.
    pub(super) fn count_skips(&mut self, reports: &[StepReport]) {
        let scaling = self.session.planned().training.scaling();
        let dynamically = matches!(scaling, Some(LossScale::Dynamic { .. }));
        self.skips.count(reports, self.policy(), dynamically);
    }

    /// Tells of the first step that was passed over, with where that began.
    pub(super) fn tell_of_skip(&mut self, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let Some(report) = self.skips.to_tell.take() else { return Ok(()) };
        self.flush(watcher)?;
        let what = self.what_happened(&report, false)?;
        tell(
            watcher,
            &format!(
                "{what} The step changed nothing, and training goes on; further ones like it have `\"skipped\":true` \
                 in the metrics."
            ),
        );
        Ok(())
    }

    /// Ends a run that a step has nothing to teach: saves the weights as they were before it and says why.
    pub(super) fn give_up(&mut self, report: &StepReport, watcher: &mut dyn Watcher) -> Result<Error, Error> {
        self.wait(watcher);
        let stops = self.policy() == NonFinite::Stop;
        let in_part = stops && self.session.planned().training.release_gradients && report.loss.is_finite();
        let as_it_was = stops && self.bring_back(report.step - 1, in_part, watcher)?;
        let what = self.what_happened(report, as_it_was)?;
        let in_a_row = if stops {
            if self.session.steps() >= report.step {
                // The device has changed nothing since.
                self.session.count_from(report.step - 1);
            }
            self.tally.stopped(report.skipped_so_far - 1);
            String::new()
        } else {
            format!(" It is the {MOST_SKIPPED}th in a row that changed nothing.")
        };
        // Said before the disk is asked for anything: a full one must not keep it from being said.
        tell(watcher, &format!("{what}{in_a_row}"));
        let settled = self.folder.settle();
        self.mind(settled.map(|_| ()), watcher);
        if as_it_was && self.run.config.checkpoint.every != Every::Never {
            self.save_as_it_was(watcher)?;
        }
        let mut weights = self.finite_weights(watcher)?;
        if in_part && !as_it_was {
            weights += ", though some may have been changed by the step itself before it was known, as gradients are \
                        released early and there is no checkpoint to make the steps before it from again,";
        }
        let summary = self.run.summary(&mut self.session, &self.tally)?;
        self.folder.save(self.run, &mut self.session, &summary, &self.remark)?;
        let scale = if self.session.planned().training.scaling().is_some() { " or of `loss_scale`" } else { "" };
        let skip = if stops { ", and `non_finite = \"skip\"` under `[train]` passes over such steps" } else { "" };
        Ok(Error::Input(format!(
            "{what}{in_a_row} The run ends, and {weights} are in the folder. A smaller value of `learning_rate`{scale}, or \
             a `clip_norm`, may help; a new run can begin from those weights with `--init`{skip}"
        )))
    }

    /// Makes the session what it was after `step`, since when nothing that is learnt has changed, or only `in_part`,
    /// where gradients are released before all of them are known; returns whether it is.
    ///
    /// What has changed in part, and state that is carried from window to window has gone on, and is brought back by making the steps since the
    /// newest checkpoint again, to the bit: as long as a checkpoint is old, or until the watcher wants an end.
    fn bring_back(&mut self, step: u64, in_part: bool, watcher: &mut dyn Watcher) -> Result<bool, Error> {
        if !self.session.planned().training.carry_state && !in_part {
            return Ok(true);
        }
        let mut told = Vec::new();
        let newest = self.folder.checkpoints().newest(&mut told)?;
        told.iter().for_each(|news| tell(watcher, news));
        let Some(checkpoint) = newest.filter(|checkpoint| checkpoint.about.step <= step) else { return Ok(false) };
        let from = checkpoint.about.step;
        if step - from > MOST_SKIPPED {
            tell(watcher, &format!("The {} steps since the last checkpoint are made again, to find out.", step - from));
        }
        self.session.restore(&checkpoint.state)?;
        let mut batches = self.run.batches()?;
        batches.seek(checkpoint.about.batches);
        while self.session.steps() < step {
            if watcher.wants_end() {
                return Ok(false);
            }
            let batch = batches.next().expect("batches of training have no end");
            self.session.step(&batch)?;
            let now = self.session.steps();
            // A schedule may wait for a plateau of what is held out.
            if self.run.evaluates_after(now)
                && let Some(score) = self.run.score(&mut self.session, Part::Validation)?
            {
                self.session.observe(score.loss);
            }
        }
        self.session.finish()?;
        Ok(true)
    }

    /// Saves a checkpoint of the run as it was before the step that it is stopped for.
    fn save_as_it_was(&mut self, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let step = self.session.steps();
        let metrics = self.folder.written_up_to(step);
        let state = self.session.capture_before_skips()?;
        match self.checkpoint(metrics, state) {
            Ok(checkpoint) => self.saver.start(checkpoint),
            Err(reason) => tell_not_saved(step, &reason, watcher),
        }
        self.wait(watcher);
        Ok(())
    }

    /// Makes sure that the weights at hand are numbers: a step may be finite in all that it is told by, and its
    /// update too large for `f32`. Else takes those of the newest checkpoint, whose numbers all are; says which.
    pub(super) fn finite_weights(&mut self, watcher: &mut dyn Watcher) -> Result<String, Error> {
        let spoilt = |(_, _, numbers): &(String, Vec<u64>, Vec<f32>)| numbers.iter().any(|x| !x.is_finite());
        let step = self.session.steps();
        let Some((name, ..)) = self.session.parameters()?.into_iter().find(spoilt) else {
            return Ok(format!("the weights as they were after step {step}"));
        };
        let mut told = Vec::new();
        let newest = self.folder.checkpoints().newest(&mut told)?;
        told.iter().for_each(|news| tell(watcher, news));
        let Some(checkpoint) = newest else {
            return Err(Error::Input(format!(
                "`{name}` has an element that is no finite number after step {step}: an update was too large for \
                 `f32`. Nothing is saved, for there is no checkpoint to go back to; a smaller `learning_rate` will do"
            )));
        };
        self.session.restore(&checkpoint.state)?;
        Ok(format!(
            "`{name}` no longer being finite after step {step}, the weights of the checkpoint of step {}",
            checkpoint.about.step
        ))
    }

    fn policy(&self) -> NonFinite {
        self.session.planned().training.on_non_finite()
    }

    /// A sentence of what a step came to, and where in it that began, looked for in the state that there was before
    /// the step, or else in that of now.
    fn what_happened(&mut self, report: &StepReport, as_it_was: bool) -> Result<String, Error> {
        let StepReport { step, loss, grad_norm, .. } = *report;
        let origin = self.origin(step)?;
        let carries = self.session.planned().training.carry_state && !as_it_was;
        let made_again = if carries { "made again from the state that is carried now, " } else { "" };
        let origin = origin.map_or_else(
            || "made again, it is finite: it must have begun with the state carried into it".to_string(),
            |origin| format!("{made_again}the first number that is not finite is {origin}"),
        );
        Ok(format!("Step {step} has the loss {loss} and gradients of norm {grad_norm}; {origin}."))
    }

    fn origin(&mut self, step: u64) -> Result<Option<Origin>, Error> {
        let mut batches = self.run.batches()?;
        batches.seek(step.saturating_sub(1));
        let batch = batches.next().expect("batches of training have no end");
        self.session.find_non_finite(step, &batch)
    }
}
