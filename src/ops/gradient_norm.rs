//! `|g| = sqrt(sum of g^2)` over all gradients at once, and the factor that shortens it to a limit.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::squares::{self, PARTIALS};
use super::{Data, Dispatch, Emit, Lowering, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// The length of the gradients taken as one vector, and the factor that clips it
/// (Pascanu et al. 2013, On the difficulty of training recurrent neural networks).
///
/// From `g_1, .., g_G`, `f32` and each a multiple of 4 long, to `norm f32[2]` and a scratch
/// `partials f32[G * 64]`:
///
/// ```text
/// norm[0] = sqrt(sum of all g^2)
/// norm[1] = min(1, max_norm / (norm[0] + 1e-6))      1 without max_norm; NaN where norm[0] is NaN
/// ```
///
/// Where it comes `after` others, their `norm f32[2]` comes next: theirs are among the gradients taken as one
/// vector, and where their factor is below 0 so is this one.
///
/// Where the step is guarded, the step's `loss f32[1]` and `scaler f32[4]` of [`LossScaler`] come last. The
/// gradients are those of the loss times the scale: both numbers are of the gradients without it, and the
/// factor takes it from them. Where the loss or a gradient is not finite the factor is -1, and optimizers leave
/// everything as it is; with [`Guard::Stop`] so it is in all steps after that.
///
/// [`LossScaler`]: super::LossScaler
///
/// As `torch.nn.utils.clip_grad_norm_`. Nothing is multiplied here; optimizers take the factor.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientNorm {
    /// The greatest length left as it is.
    pub max_norm: Option<f32>,
    /// What becomes of a step that is not finite; `None`: it spoils what it updates.
    pub guard: Option<Guard>,
    /// Whether the norm of other gradients is among its inputs.
    pub after: bool,
}

/// What becomes of the steps after one whose loss or gradients are not finite; itself it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// They are made as if it had not been.
    Skip,
    /// None of them changes anything either, so that all stays as it was before it.
    Stop,
}

impl GradientNorm {
    /// How many of the inputs are gradients.
    fn gradients(&self, inputs: usize) -> usize {
        inputs.saturating_sub(if self.guard.is_some() { 2 } else { 0 } + usize::from(self.after))
    }

    /// What comes after the gradients: names and elements.
    fn others(&self) -> Vec<(&'static str, u32)> {
        let guard = self.guard.is_some().then_some([("loss", 1), ("scaler", 4)]);
        self.after.then_some(("norm", 2)).into_iter().chain(guard.into_iter().flatten()).collect()
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ClipParams {
    len: u32,
    clips: u32,
    guard: u32,
    after: u32,
    max_norm: f32,
}

impl Rule for GradientNorm {
    fn name(&self) -> &'static str {
        "gradient norm"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let gradients = self.gradients(inputs.len());
        ShapeError::unless(gradients > 0, self.name(), || "there is no gradient to measure".into())?;
        for (input, (name, len)) in inputs[gradients..].iter().zip(self.others()) {
            ShapeError::unless_is(self.name(), name, input, &TensorType::f32(&[len]))?;
        }
        for (i, g) in inputs[..gradients].iter().enumerate() {
            let fits = g.dtype == DType::F32 && g.len().is_multiple_of(4);
            ShapeError::unless(fits, self.name(), || format!("g_{} {g} (P) must be f32 and P a multiple of 4", i + 1))?;
        }
        let partials = clamp(gradients as u64 * u64::from(PARTIALS));
        Ok(vec![TensorType::f32(&[2]), TensorType::f32(&[partials])])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let params = ClipParams {
            len: clamp(at.outputs[1].len()),
            clips: self.max_norm.is_some().into(),
            guard: self.guard.map_or(0, |guard| if guard == Guard::Skip { 1 } else { 2 }),
            after: self.after.into(),
            max_norm: self.max_norm.unwrap_or_default(),
        };
        let gradients = self.gradients(at.inputs.len());
        // Something has to be bound, even though it is not read.
        let other = |name| {
            let place = self.others().iter().position(|(other, _)| *other == name);
            place.map_or_else(|| at.read_again(1), |i| at.read(gradients + i))
        };
        let [before, loss, scaler] = ["norm", "loss", "scaler"].map(other);
        let clip = Dispatch {
            shader: shader!("clip_factor"),
            params: bytes_of(&params).to_vec(),
            groups: [1, 1, 1],
            bindings: vec![at.read_again(1), before, loss, scaler, at.write(0)],
            tile: None,
        };
        let squares = (0..gradients).flat_map(|i| squares::dispatches(at, i));
        squares.chain([clip]).collect()
    }

    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>> {
        let gradients = &inputs[..self.gradients(inputs.len())];
        let partials: Vec<f64> = gradients.iter().flat_map(|g| squares::reference(at, g)).collect();
        let scale = self.guard.map_or(1.0, |_| inputs[inputs.len() - 1][0]);
        let before = self.after.then(|| inputs[gradients.len()]);
        let sum: f64 = partials.iter().sum::<f64>() + before.map_or(0.0, |norm| (norm[0] * scale).powi(2));
        // What is too large for the device is infinite there.
        let sum = if sum > f32::MAX.into() { f64::INFINITY } else { sum };
        let good = match (self.guard, inputs) {
            (Some(guard), [.., loss, scaler]) => {
                let finite = sum.is_finite() && loss[0].is_finite();
                finite && (guard == Guard::Skip || scaler[3] == 0.0)
            }
            _ => true,
        } && before.is_none_or(|norm| norm[1] >= 0.0);
        let norm = sum.sqrt() / scale;
        let factor = self.max_norm.map_or(1.0, |most| f64::from(most) / (norm + 1e-6));
        // Not `min`, which drops a NaN.
        let factor = if factor > 1.0 { 1.0 } else { factor };
        let factor = factor / scale;
        let good = good && (self.guard.is_none() || factor.abs() <= f32::MAX.into());
        vec![vec![norm, if good { factor } else { -1.0 }], partials]
    }

    fn specimens() -> Vec<Specimen> {
        let shapes: [&[&[u32]]; 4] = [&[&[4]], &[&[4 * 257]], &[&[7, 4], &[12, 13], &[4]], &[&[65, 1024]]];
        // More than one dispatch takes on a software adapter.
        let long = Specimen::new(GradientNorm { max_norm: None, guard: None, after: false }, &[&[1025, 1024]]);
        // As long as 2, which a limit of 3 must leave as it is.
        let plain = |max_norm| GradientNorm { max_norm, guard: None, after: false };
        let within = Specimen::new(plain(Some(3.0)), &[&[4]]).filled(0, Data::Values(vec![1.0; 4]));
        let guarded = |guard, max_norm, spoilt: f64, loss: f64, skipped: f64| {
            let spoil = Data::Values([vec![1.0; 11], vec![spoilt]].concat());
            Specimen::new(GradientNorm { max_norm, guard: Some(guard), after: false }, &[&[40], &[12], &[1], &[4]])
                .filled(1, spoil)
                .filled(2, Data::Values(vec![loss]))
                .filled(3, Data::Values(vec![64.0, 0.0, 3.0, skipped]))
        };
        let guarded = [
            guarded(Guard::Skip, None, 1.0, 2.0, 1.0),
            guarded(Guard::Skip, Some(0.01), 1.0, 2.0, 1.0),
            guarded(Guard::Skip, None, f64::INFINITY, 2.0, 0.0),
            guarded(Guard::Skip, Some(0.01), f64::INFINITY, 2.0, 1.0),
            guarded(Guard::Skip, None, 1.0, f64::NAN, 0.0),
            guarded(Guard::Stop, Some(0.01), 1.0, f64::NEG_INFINITY, 0.0),
            guarded(Guard::Stop, None, 1.0, 2.0, 0.0),
            guarded(Guard::Stop, None, 1.0, 2.0, 1.0),
        ];
        let after = |guard: Option<Guard>, before: [f64; 2], spoilt: f64| {
            let op = GradientNorm { max_norm: Some(3.0), guard, after: true };
            let shapes: [&[u32]; 4] = [&[12], &[2], &[1], &[4]];
            let specimen = Specimen::new(op, &shapes[..if guard.is_some() { 4 } else { 2 }])
                .filled(0, Data::Values([vec![1.0; 11], vec![spoilt]].concat()))
                .filled(1, Data::Values(before.to_vec()));
            if guard.is_none() { specimen } else { specimen.filled(3, Data::Values(vec![64.0, 0.0, 3.0, 0.0])) }
        };
        let after = [
            after(None, [5.0, 1.0], 1.0),
            after(Some(Guard::Skip), [5.0, 1.0], 1.0),
            after(Some(Guard::Skip), [5.0, -1.0], 1.0),
            after(Some(Guard::Stop), [0.0, 1.0], f64::INFINITY),
            after(Some(Guard::Stop), [f64::INFINITY, -1.0], 1.0),
        ];
        [None, Some(0.5), Some(1e6)]
            .into_iter()
            .flat_map(|max_norm| shapes.map(|s| Specimen::new(plain(max_norm), s)))
            .chain([within, long])
            .chain(guarded)
            .chain(after)
            .collect()
    }
}
