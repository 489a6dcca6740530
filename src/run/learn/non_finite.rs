//! Steps whose loss or gradients are not finite: told with where that began, passed over or the run's end.

use super::{Learner, tell};
use crate::error::Error;
use crate::run::Watcher;
use crate::training::{NonFinite, Origin, StepReport};

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
    fn count(&mut self, reports: &[StepReport], policy: NonFinite) {
        for report in reports {
            if !report.skipped {
                self.in_a_row = 0;
                continue;
            }
            self.in_a_row += 1;
            if policy == NonFinite::Stop || self.in_a_row >= MOST_SKIPPED {
                self.last_straw = self.last_straw.or(Some(*report));
            } else if !self.told {
                (self.to_tell, self.told) = (Some(*report), true);
            }
        }
    }
}

impl Learner<'_> {
    /// Takes note of steps that changed nothing.
    pub(super) fn count_skips(&mut self, reports: &[StepReport]) {
        let policy = self.session.planned().training.on_non_finite();
        self.skips.count(reports, policy);
    }

    /// Tells of the first step that was passed over, with where that began. Where the loss is scaled dynamically
    /// such steps are how its scale is found, and the metrics have them.
    pub(super) fn tell_of_skip(&mut self, watcher: &mut dyn Watcher) -> Result<(), Error> {
        let Some(report) = self.skips.to_tell.take().filter(|report| report.next_loss_scale.is_none()) else {
            return Ok(());
        };
        self.flush(watcher)?;
        let what = self.what_happened(&report)?;
        tell(
            watcher,
            &format!(
                "{what} The step changed nothing, and training goes on; further ones like it have `\"skipped\":true` in the \
             metrics."
            ),
        );
        Ok(())
    }

    /// Ends a run that a step has nothing to teach: saves the weights as they were before it and says why.
    pub(super) fn give_up(&mut self, report: &StepReport, watcher: &mut dyn Watcher) -> Result<Error, Error> {
        self.wait(watcher);
        self.folder.settle()?;
        let what = self.what_happened(report)?;
        let in_a_row = if self.skips.in_a_row >= MOST_SKIPPED && self.policy() == NonFinite::Skip {
            format!(" It is the {MOST_SKIPPED}th in a row that changed nothing.")
        } else {
            String::new()
        };
        if self.policy() == NonFinite::Stop {
            // The device has changed nothing since.
            self.session.count_from(report.step - 1);
        }
        let summary = self.run.summary(&mut self.session, &self.tally)?;
        self.folder.save(self.run, &mut self.session, &summary, &self.remark)?;
        Ok(Error::Input(format!(
            "{what}{in_a_row} The run ends, and the weights as they were before it are in the folder. A smaller \
             `learning_rate` or a `clip_norm` may help; a new run can begin from those weights with `--init`, and \
             `non_finite = \"skip\"` under `[train]` passes over such steps"
        )))
    }

    fn policy(&self) -> NonFinite {
        self.session.planned().training.on_non_finite()
    }

    /// A sentence of what a step came to, and where in it that began.
    fn what_happened(&mut self, report: &StepReport) -> Result<String, Error> {
        let StepReport { step, loss, grad_norm, .. } = *report;
        let origin = self.origin(step)?;
        let origin = origin.map_or_else(
            || "made again, it is finite: it must have begun with the state carried into it".to_string(),
            |origin| format!("the first number that is not finite is {origin}"),
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
