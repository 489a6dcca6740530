//! What a step's gradients make of the factor that losses are scaled by, so that halves can hold them.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Data, Dispatch, Emit, InPlace, Lowering, Rule, ShapeError, Site, Slope, Specimen};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// The state of loss scaling after a step (Micikevicius et al. 2018, Mixed Precision Training), with the
/// rules and names of `torch.amp.GradScaler`.
///
/// From `(norm f32[2], scalars f32[8], scaler f32[4])` to `(scalars, scaler)`, both in place, where
///
/// ```text
/// scaler = (scale, steps since it changed, steps applied, steps skipped)
/// scalars[6] = scalars[7]       a word that comes back only from a device that computes
/// ```
///
/// A step whose gradients are not all finite, which [`GradientNorm`] tells by a clip factor below 0, is
/// skipped by the optimizers and makes `scale` smaller by `backoff`; after `interval` steps in a row that
/// were applied it grows by `growth`. Counts are exact up to 2^24 steps.
///
/// What the optimizer is told of how far the run has come counts the steps that were applied: its `c1` and
/// `c2` if `beta2` says what the latter is made of, and which step is the first.
///
/// [`GradientNorm`]: super::GradientNorm
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScaler {
    /// Steps in a row after which the scale grows; 0 for never.
    pub interval: u32,
    /// What it grows by.
    pub growth: f32,
    /// What it is multiplied by after a step that was skipped.
    pub backoff: f32,
    /// For Adam, how much of the mean square gradient it keeps.
    pub beta2: Option<f32>,
}

/// What a scale stays between: beyond, it is not the scale that gradients are not finite for.
pub const SCALES: [f32; 2] = [1.0 / 1_048_576.0, 16_777_216.0];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    corrects: u32,
    interval: u32,
    log_beta2: f32,
    growth: f32,
    backoff: f32,
    least: f32,
    most: f32,
}

impl Rule for LossScaler {
    fn name(&self) -> &'static str {
        "loss scaler"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        for (i, (name, len)) in [("norm", 2), ("scalars", 8), ("scaler", 4)].into_iter().enumerate() {
            ShapeError::unless_is(self.name(), name, &inputs[i], &TensorType::f32(&[len]))?;
        }
        Ok(inputs[1..].to_vec())
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        #[expect(clippy::cast_possible_truncation, reason = "the device computes in f32")]
        // Not the logarithm of 0, for WGSL promises no infinity; e to the power of this is 0 all the same.
        let log_beta2 = self.beta2.map_or(0.0, |beta2| f64::from(beta2).ln().max(-1000.0) as f32);
        let params = Params {
            corrects: self.beta2.is_some().into(),
            interval: self.interval,
            log_beta2,
            growth: self.growth,
            backoff: self.backoff,
            least: SCALES[0],
            most: SCALES[1],
        };
        vec![Dispatch {
            shader: shader!("loss_scaler"),
            params: bytes_of(&params).to_vec(),
            groups: [1, 1, 1],
            bindings: vec![at.read(0), at.update(1, 0), at.update(2, 1)],
            tile: None,
        }]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let (mut scalars, mut scaler) = (inputs[1].to_vec(), inputs[2].to_vec());
        let [least, most, growth, backoff] = [SCALES[0], SCALES[1], self.growth, self.backoff].map(f64::from);
        let applied = scaler[2];
        let correction = |beta: f64| 1.0 / (1.0 - beta.powf(applied + 1.0));
        if let Some(beta2) = self.beta2 {
            scalars[1] = correction(scalars[3]);
            scalars[2] = correction(beta2.into());
        }
        scalars[4] = f64::from(u8::from(applied == 0.0));
        scalars[6] = scalars[7];
        if inputs[0][1] < 0.0 {
            let scale = (scaler[0] * backoff).max(least);
            scaler = vec![scale, 0.0, applied, scaler[3] + 1.0];
        } else {
            scaler[1] += 1.0;
            scaler[2] += 1.0;
            if self.interval > 0 && scaler[1] >= f64::from(self.interval) {
                scaler[0] = (scaler[0] * growth).min(most);
                scaler[1] = 0.0;
            }
        }
        vec![scalars, scaler]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 1), InPlace::must(1, 2)]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |interval, beta2, factor: f64, scaler: [f64; 4]| {
            let op = LossScaler { interval, growth: 2.0, backoff: 0.5, beta2 };
            Specimen::new(op, &[&[2], &[8], &[4]])
                .filled(0, Data::Values(vec![3.0, factor]))
                .filled(1, Data::Values(vec![0.05, 1.0, 1.0, 0.9, 0.0, 0.0, 0.0, 77.0]))
                .filled(2, Data::Values(scaler.to_vec()))
        };
        vec![
            of(2000, Some(0.999), 1.0, [65536.0, 0.0, 0.0, 0.0]),
            of(2000, Some(0.999), 0.5, [65536.0, 1998.0, 2500.0, 3.0]),
            of(2000, Some(0.5), 1.0, [65536.0, 1999.0, 7.0, 3.0]),
            of(2000, Some(0.0), 1.0, [65536.0, 0.0, 2.0, 0.0]),
            of(2000, None, -1.0, [65536.0, 5.0, 7.0, 0.0]),
            // A scale that never grows, and ends of the range.
            of(0, None, 1.0, [128.0, 9.0, 9.0, 0.0]),
            of(1, None, 1.0, [16_777_216.0, 0.0, 0.0, 0.0]),
            of(1, None, -1.0, [1.0 / 1_048_576.0, 0.0, 0.0, 0.0]),
        ]
    }
}
