//! `loss = scale * sum of l(prediction, target)`, element by element, with its gradient at once.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, start};
use super::cross_entropy::scaled;
use super::sum::dispatch as sum_dispatch;
use super::{
    Data, Dispatch, Emit, InPlace, Lowering, Op, Operand, Rule, ShapeError, Site, Slope, Specimen, Sum, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// How far a prediction is from a number, `l(y, t)`. Slopes at kinks are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// `(y - t)^2`, as `torch.nn.MSELoss`.
    Squared,
    /// `|y - t|`, with slope 0 where they are equal, as `torch.nn.L1Loss`.
    Absolute,
    /// `(y - t)^2 / 2` where `|y - t| < delta`, `delta * (|y - t| - delta / 2)` elsewhere, as
    /// `torch.nn.HuberLoss` (Huber 1964).
    Huber {
        /// Where the parabola goes over into lines; above 0.
        delta: f32,
    },
    /// `-t ln f(y) - (1 - t) ln(1 - f(y))`, where `f(y) = 1 / (1 + e^-y)`, for targets from 0 to 1, as
    /// `torch.nn.BCEWithLogitsLoss`.
    LogisticCrossEntropy,
}

impl Measure {
    /// What the shader calls it.
    fn code(self) -> u32 {
        match self {
            Measure::Squared => 0,
            Measure::Absolute => 1,
            Measure::Huber { .. } => 2,
            Measure::LogisticCrossEntropy => 3,
        }
    }

    fn delta(self) -> f32 {
        if let Measure::Huber { delta } = self { delta } else { 0.0 }
    }

    /// `l(y, t)`
    pub fn value(self, y: f64, t: f64) -> f64 {
        let off = y - t;
        let delta = f64::from(self.delta());
        match self {
            Measure::Squared => off * off,
            Measure::Absolute => off.abs(),
            Measure::Huber { .. } if off.abs() < delta => 0.5 * off * off,
            Measure::Huber { .. } => delta * (off.abs() - 0.5 * delta),
            // y - y t + ln(1 + e^-y), written so that no exponential overflows.
            Measure::LogisticCrossEntropy => y.max(0.0) - y * t + (-y.abs()).exp().ln_1p(),
        }
    }

    /// `dl/dy`
    pub fn slope(self, y: f64, t: f64) -> f64 {
        let off = y - t;
        let delta = f64::from(self.delta());
        match self {
            Measure::Squared => 2.0 * off,
            // Not `signum`, which is 1 at 0.
            Measure::Absolute if off == 0.0 => 0.0,
            Measure::Absolute => off.signum(),
            Measure::Huber { .. } => off.clamp(-delta, delta),
            Measure::LogisticCrossEntropy => 1.0 / (1.0 + (-y).exp()) - t,
        }
    }
}

/// How far predictions are from their targets, a mean where `scale` is one over their number.
///
/// From `(prediction, target f32, scale f32[1])`, the first two of one shape, to
/// `(loss f32[1], dprediction, losses f32)`, the last two of the prediction's shape:
///
/// ```text
/// losses      = scale * l(prediction, target)
/// loss        = sum of losses                         and loss_old, where it accumulates
/// dprediction = scale * dl/dprediction
/// ```
///
/// Where a target is NaN there is nothing to learn: both are 0 there. No gradient flows to the
/// target. After `scale` comes `seed f32[1]`, which `dprediction` is multiplied by where it is there, and
/// last `loss_old f32[1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementwiseLoss {
    /// `l`.
    pub measure: Measure,
    /// Whether there is a `seed` by which `dprediction` is multiplied.
    pub seeded: bool,
    /// Whether there is a `loss_old`.
    pub accumulate: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    measure: u32,
    delta: f32,
    gradient: u32,
    seeded: u32,
}

impl Rule for ElementwiseLoss {
    fn name(&self) -> &'static str {
        match self.measure {
            Measure::Squared => "squared error",
            Measure::Absolute => "absolute error",
            Measure::Huber { .. } => "Huber loss",
            Measure::LogisticCrossEntropy => "logistic cross entropy",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (prediction, target) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "prediction", prediction)?;
        let losses = TensorType::f32(&prediction.shape);
        ShapeError::unless(*target == losses, self.name(), || {
            format!("target {target} must be {losses} for a prediction {prediction}")
        })?;
        let loss = TensorType::f32(&[1]);
        ShapeError::unless_is(self.name(), "scale", &inputs[2], &loss)?;
        if self.seeded {
            ShapeError::unless_is(self.name(), "seed", &inputs[3], &loss)?;
        }
        check_old(self.name(), self.accumulate, inputs, &loss)?;
        Ok(vec![loss, prediction.clone(), losses])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let dy = slope.outputs[0];
        let seeded = |accumulate| ElementwiseLoss { seeded: true, accumulate, ..*self }.into();
        let dprediction = dy.filter(|_| slope.wanted[0]).map(|dy| scaled(at, dy, 3, seeded, out));
        let others = vec![None; 2 + usize::from(self.seeded)];
        [dprediction].into_iter().chain(others).chain(self.accumulate.then_some(dy)).collect()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.inputs[0].len();
        let gradient = at.wanted[1];
        let params = Params {
            len: clamp(len),
            measure: self.measure.code(),
            delta: self.measure.delta(),
            gradient: gradient.into(),
            seeded: self.seeded.into(),
        };
        let seed = at.read(if self.seeded { 3 } else { 2 });
        let dprediction = if gradient { at.write(1) } else { at.read(0) };
        let by_element = Dispatch {
            shader: shader!("elementwise_loss").with(&[("H", at.storage(Operand::Input(0)))]),
            params: bytes_of(&params).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.read(1), at.read(2), dprediction, at.write(2), seed],
            tile: None,
        };
        let sum = Sum { scale: 1.0, accumulate: self.accumulate };
        vec![by_element, sum_dispatch(&sum, at, at.read_again(2))]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let scale = inputs[2][0];
        let seed = if self.seeded { inputs[3][0] } else { 1.0 };
        let learnt = |scale: f64, f: fn(Measure, f64, f64) -> f64| -> Vec<f64> {
            let pairs = inputs[0].iter().zip(inputs[1]);
            pairs.map(|(&y, &t)| if t.is_nan() { 0.0 } else { scale * f(self.measure, y, t) }).collect()
        };
        let losses = learnt(scale, Measure::value);
        let loss = start(self.accumulate, inputs, 1)[0] + losses.iter().sum::<f64>();
        vec![vec![loss], learnt(seed * scale, Measure::slope), losses]
    }

    fn in_place(&self) -> Vec<InPlace> {
        let over_old = self.accumulate.then(|| InPlace::must(0, 3 + usize::from(self.seeded)));
        [InPlace::may(1, 0)].into_iter().chain(over_old).collect()
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| ElementwiseLoss { accumulate: true, ..*self }.into())
    }

    fn halves(&self, _: usize) -> Vec<Vec<Operand>> {
        vec![vec![Operand::Input(0), Operand::Output(1)]]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |measure: Measure, accumulate: bool, shape: &[u32]| {
            let mean = 1.0 / f64::from(shape.iter().product::<u32>());
            let shapes: [&[u32]; 4] = [shape, shape, &[1], &[1]];
            let inputs = 3 + usize::from(accumulate);
            Specimen::new(ElementwiseLoss { measure, accumulate, seeded: false }, &shapes[..inputs])
                .filled(2, Data::Values(vec![mean]))
        };
        let measures =
            [Measure::Squared, Measure::Absolute, Measure::Huber { delta: 0.4 }, Measure::LogisticCrossEntropy];
        let missing: Vec<f64> = (0..13).map(|i| if i % 3 == 0 { f64::NAN } else { 0.25 * f64::from(i % 5) }).collect();
        let each = |measure| {
            [
                of(measure, false, &[7, 13]).differentiable(&[0]),
                of(measure, true, &[257]).differentiable(&[0, 3]),
                of(measure, false, &[13]).filled(1, Data::Values(missing.clone())).differentiable(&[0]),
                Specimen::new(
                    ElementwiseLoss { measure, accumulate: true, seeded: true },
                    &[&[7, 13], &[7, 13], &[1], &[1], &[1]],
                ),
                // Kinks: equal, and just as far apart as a line begins.
                of(measure, false, &[3])
                    .filled(0, Data::Values(vec![0.5, 1.0, 0.0]))
                    .filled(1, Data::Values(vec![0.5, 0.5, 0.5])),
            ]
        };
        let far = of(Measure::LogisticCrossEntropy, false, &[31]).filled(0, Data::Uniform(-200.0, 200.0));
        measures.into_iter().flat_map(each).chain([of(Measure::Squared, false, &[1]), far]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.HuberLoss` at its kink and beyond, and the losses of saturated logits.
    #[test]
    fn kinks_and_tails_are_pytorchs() {
        let huber = Measure::Huber { delta: 0.5 };
        assert_eq!([0.5, 0.25, -2.0].map(|y| huber.value(y, 0.0)), [0.125, 0.03125, 0.875]);
        assert_eq!([0.5, 0.25, -2.0].map(|y| huber.slope(y, 0.0)), [0.5, 0.25, -0.5]);
        assert_eq!([1.0, 0.0, -1.0].map(|y| Measure::Absolute.slope(y, 0.0)), [1.0, 0.0, -1.0]);
        let bits = Measure::LogisticCrossEntropy;
        assert_eq!((bits.value(-800.0, 1.0), bits.slope(-800.0, 1.0)), (800.0, -1.0));
        assert!(bits.value(40.0, 1.0) > 0.0 && bits.value(40.0, 1.0) < 1e-17);
    }

    #[test]
    fn a_target_of_another_shape_is_refused_with_both() {
        let inputs = [TensorType::f32(&[6, 5]), TensorType::f32(&[6]), TensorType::f32(&[1])];
        assert_eq!(
            ElementwiseLoss { measure: Measure::Squared, accumulate: false, seeded: false }
                .outputs(&inputs)
                .unwrap_err()
                .to_string(),
            "squared error: target f32[6] must be f32[6, 5] for a prediction f32[6, 5]"
        );
    }

    /// `tests/golden/rules.json`, made by `make_rules.py` there.
    #[test]
    fn means_and_gradients_are_pytorchs() {
        let rules: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/rules.json")).unwrap();
        let list = |of: &serde_json::Value| -> Vec<f64> { serde_json::from_value(of.clone()).unwrap() };
        let losses = &rules["losses"];
        let (predictions, numbers) = (list(&losses["predictions"]), list(&losses["numbers"]));
        let scale = 1.0 / predictions.len() as f64;
        let cases = [
            ("mse", Measure::Squared),
            ("l1", Measure::Absolute),
            ("huber", Measure::Huber { delta: 0.5 }),
            ("bce_with_logits", Measure::LogisticCrossEntropy),
        ];
        for (name, measure) in cases {
            let pairs = || predictions.iter().zip(&numbers);
            let loss: f64 = pairs().map(|(&y, &t)| scale * measure.value(y, t)).sum();
            let slopes = pairs().map(|(&y, &t)| scale * measure.slope(y, t));
            let wanted = [vec![losses[name]["loss"].as_f64().unwrap()], list(&losses[name]["gradient"])].concat();
            for (found, wanted) in [loss].into_iter().chain(slopes).zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{name}: {found}, PyTorch's {wanted}");
            }
        }
    }
}
