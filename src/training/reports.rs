//! What a session says of its steps and of held-out data.

/// What a step did. Plain numbers: nothing of the computation is kept alive by them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Which step, counted from 1.
    pub step: u64,
    /// The loss of its batch, before the update.
    pub loss: f32,
    /// The step size.
    pub learning_rate: f32,
    /// The gradients' global norm, before clipping.
    pub grad_norm: f32,
    /// Valid targets of the batch.
    pub tokens: u64,
    /// Whether it left everything as it was, because the loss or a gradient is not finite, or an earlier step
    /// of a run that stops for that was not.
    pub skipped: bool,
    /// How many steps of the run have been skipped so far.
    pub skipped_so_far: u64,
    /// What the loss of the next step is multiplied by, where it is scaled.
    pub next_loss_scale: Option<f32>,
}

/// Losses summed over held-out data.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The sum.
    pub total: f64,
    /// Over how many valid targets.
    pub tokens: u64,
    /// What the sum is divided by for a mean: those, each with the weight of its class.
    pub weight: f64,
    /// How many of those targets are predicted rightly, where they are classes or bits, but not the
    /// units of a text.
    pub hits: Option<u64>,
}

impl Evaluation {
    /// The mean, in the loss's own unit (nats for cross-entropy); `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.total / self.weight)
    }

    /// The share of targets that are predicted rightly, where that can be told.
    pub fn accuracy(&self) -> Option<f64> {
        let hits = self.hits.filter(|_| self.tokens > 0)?;
        Some(hits as f64 / self.tokens as f64)
    }
}
