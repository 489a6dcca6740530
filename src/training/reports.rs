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
    /// What came of scaling the loss, where it is scaled.
    pub scaling: Option<Scaling>,
}

/// What came of scaling the loss in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// What the loss of the next step is multiplied by.
    pub next_scale: f32,
    /// Whether the step left all parameters as they were, because a gradient was not finite.
    pub skipped: bool,
    /// How many steps of the run have been skipped so far.
    pub skipped_so_far: u64,
}

impl Scaling {
    /// From what the device has left of a step: (norm, clip factor) and (scale, .., steps skipped).
    pub(super) fn new(norm: &[f32], scaler: &[f32]) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of steps")]
        let skipped_so_far = scaler[3] as u64;
        Self { next_scale: scaler[0], skipped: norm[1] < 0.0, skipped_so_far }
    }
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
