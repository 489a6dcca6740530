//! Losses, each (1): summed over what there is to learn, and scaled to a mean over the whole update.

use super::LayerError;
use super::builder::Builder;
use crate::ids::ValueId;
use crate::ops::{CrossEntropy, ElementwiseLoss, Measure};

impl Builder {
    /// The cross-entropy of softmax(`logits` (.., C)) and the classes `targets` (..).
    ///
    /// # Errors
    /// Shapes that do not fit; a program without losses.
    pub fn cross_entropy(&mut self, logits: ValueId, targets: ValueId) -> Result<ValueId, LayerError> {
        self.cross_entropy_with(logits, targets, 0.0, None)
    }

    /// The same with `label_smoothing` of each target spread over all classes, and a weight for
    /// each class, (C).
    ///
    /// # Errors
    /// As [`Builder::cross_entropy`].
    pub fn cross_entropy_with(
        &mut self,
        logits: ValueId,
        targets: ValueId,
        label_smoothing: f32,
        weights: Option<ValueId>,
    ) -> Result<ValueId, LayerError> {
        let mut inputs = vec![logits, targets, self.loss_scale()?];
        inputs.extend(weights);
        let op = CrossEntropy { label_smoothing, weighted: weights.is_some(), ..CrossEntropy::default() };
        self.apply_one(op, &inputs)
    }

    /// The squared error of `x` and `targets`, of one shape.
    ///
    /// # Errors
    /// As [`Builder::cross_entropy`].
    pub fn mse(&mut self, x: ValueId, targets: ValueId) -> Result<ValueId, LayerError> {
        self.elementwise(Measure::Squared, x, targets)
    }

    /// The absolute error of `x` and `targets`, of one shape.
    ///
    /// # Errors
    /// As [`Builder::cross_entropy`].
    pub fn l1(&mut self, x: ValueId, targets: ValueId) -> Result<ValueId, LayerError> {
        self.elementwise(Measure::Absolute, x, targets)
    }

    /// Huber's error of `x` and `targets`, of one shape: half the square up to `delta`, then a line.
    ///
    /// # Errors
    /// As [`Builder::cross_entropy`].
    pub fn huber(&mut self, x: ValueId, targets: ValueId, delta: f32) -> Result<ValueId, LayerError> {
        self.elementwise(Measure::Huber { delta }, x, targets)
    }

    /// The cross-entropy of sigmoid(`x`) and `targets` from 0 to 1, of one shape.
    ///
    /// # Errors
    /// As [`Builder::cross_entropy`].
    pub fn bce_with_logits(&mut self, x: ValueId, targets: ValueId) -> Result<ValueId, LayerError> {
        self.elementwise(Measure::LogisticCrossEntropy, x, targets)
    }

    fn elementwise(&mut self, measure: Measure, x: ValueId, targets: ValueId) -> Result<ValueId, LayerError> {
        let scale = self.loss_scale()?;
        self.apply_one(ElementwiseLoss { measure, accumulate: false, seeded: false }, &[x, targets, scale])
    }
}
