//! In what precision a run keeps what it makes, and what keeps small gradients from vanishing in it.

use super::Training;
use crate::error::Error;
use crate::ops::loss_scaler::SCALES;

/// How floats between two dispatches are stored. Arithmetic is `f32` either way, and so are parameters as the optimizer
/// has them, their gradients and what it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In full.
    #[default]
    F32,
    /// In halves wherever the kernels can: activations, gates, carried state, the gradients of all these, and
    /// numbers of a batch that products alone read, which are uploaded so ([`Training::inputs_in_halves`]). Halves the
    /// memory of a window; keeps 11 bits of each number.
    F16,
}

/// What the loss is multiplied by before differentiation, so that halves can hold its gradients. The
/// gradients of parameters are divided by it again; a step in which one of them is not finite is skipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LossScale {
    /// Always by this.
    Static(f32),
    /// As `torch.amp.GradScaler` does: by less after a step that was skipped, by more after many that were not.
    Dynamic {
        /// By what at first.
        initial: f32,
        /// Steps in a row after which it doubles.
        interval: u32,
    },
}

impl Default for LossScale {
    /// `torch.amp.GradScaler`'s.
    fn default() -> Self {
        LossScale::Dynamic { initial: 65536.0, interval: 2000 }
    }
}

impl LossScale {
    /// By what at first.
    pub fn initial(self) -> f32 {
        match self {
            LossScale::Static(scale) => scale,
            LossScale::Dynamic { initial, .. } => initial,
        }
    }

    /// What is wrong with it, if anything.
    pub(super) fn check(self) -> Result<(), String> {
        let initial = self.initial();
        if !(initial.is_finite() && initial > 0.0) {
            return Err(format!("the loss is scaled by {initial}, which must be a finite number above 0"));
        }
        match self {
            LossScale::Static(scale) if scale < SCALES[0] => Err(format!(
                "the loss is scaled by {scale}, which must be at least {}: gradients are divided by it again",
                SCALES[0]
            )),
            LossScale::Dynamic { interval: 0, .. } => {
                Err("the loss scale grows after 0 steps, which must be at least 1".into())
            }
            LossScale::Dynamic { .. } if !(SCALES[0]..=SCALES[1]).contains(&initial) => Err(format!(
                "the loss scale starts at {initial}, which must be from {} to {}, between which it moves",
                SCALES[0], SCALES[1]
            )),
            _ => Ok(()),
        }
    }
}

impl Training {
    /// The same with floats stored so; with all in full, parameters as well.
    pub fn storage(self, storage: Storage) -> Self {
        let parameter_storage = if storage == Storage::F32 { Storage::F32 } else { self.parameter_storage };
        Self { storage, parameter_storage, ..self }
    }

    /// The same with the factors of products that are parameters read so: in halves, each program makes copies of
    /// them, 2 bytes an element, beside what the optimizer updates in full (Micikevicius et al. 2018, "Mixed Precision
    /// Training"). It takes memory and saves none; it is faster where a device multiplies halves faster. A parameter
    /// above 65504 is infinite in halves, and the step one that is not finite. Text is written with parameters in full,
    /// as each is read but once there.
    pub fn parameter_storage(self, parameter_storage: Storage) -> Self {
        Self { parameter_storage, ..self }
    }

    /// Whether copies of parameters in halves outlive the micro-step that makes them.
    pub(super) fn copies_are_kept(&self) -> bool {
        let copied = self.learn && self.parameter_storage == Storage::F16;
        copied && self.accumulate > 1 && self.keep_copies
    }

    pub(super) fn check_storage(&self) -> Result<(), Error> {
        if self.parameter_storage == Storage::F16 && self.storage == Storage::F32 {
            return Err(Error::Input(
                "products are to read parameters in halves, and what they make is kept in full; store both in halves, \
                 or parameters in full too"
                    .into(),
            ));
        }
        Ok(())
    }

    /// How the loss is scaled, if it is.
    pub fn scaling(&self) -> Option<LossScale> {
        (self.storage == Storage::F16 && self.learn).then_some(self.loss_scale)
    }
}
