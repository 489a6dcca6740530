//! `loss = scale * sum of (prediction - target)^2`, with its gradient at once.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::{check_old, start};
use super::cross_entropy::scaled;
use super::sum::dispatch as sum_dispatch;
use super::{Data, Dispatch, Emit, InPlace, Lowering, Op, Rule, Scale, ShapeError, Site, Slope, Specimen, Sum, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::TensorType;

/// The squared error, a mean where `scale` is one over the number of elements.
///
/// From `(prediction, target, scale f32[1])`, the first two of one type, to
/// `(loss f32[1], dprediction, squares f32)`, the last two of the prediction's shape:
///
/// ```text
/// squares     = scale * (prediction - target)^2
/// loss        = sum of squares                        and loss_old, where it accumulates
/// dprediction = 2 * scale * (prediction - target)
/// ```
///
/// `loss_old f32[1]` comes last.
#[derive(Clone, Debug, PartialEq)]
pub struct Mse {
    /// Whether there is a `loss_old`.
    pub accumulate: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    gradient: u32,
}

impl Rule for Mse {
    fn name(&self) -> &'static str {
        "squared error"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let (prediction, target) = (&inputs[0], &inputs[1]);
        ShapeError::unless_floats(self.name(), "prediction", prediction)?;
        ShapeError::unless(prediction == target, self.name(), || {
            format!("prediction {prediction} and target {target} differ in type")
        })?;
        let loss = TensorType::f32(&[1]);
        ShapeError::unless_is(self.name(), "scale", &inputs[2], &loss)?;
        check_old(self.name(), self.accumulate, inputs, &loss)?;
        Ok(vec![loss, prediction.clone(), TensorType::f32(&prediction.shape)])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let Some(dy) = slope.outputs[0] else {
            return vec![None; at.inputs.len()];
        };
        let any = slope.wanted[0] || slope.wanted[1];
        let dprediction = any.then(|| scaled(at.outputs[1], dy, out));
        let dtarget = dprediction.filter(|_| slope.wanted[1]);
        let dtarget = dtarget.map(|d| out.emit_one(Scale { factor: -1.0 }, &[d]));
        [dprediction, dtarget, None, Some(dy)].into_iter().take(at.inputs.len()).collect()
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let len = at.inputs[0].len();
        let gradient = at.wanted[1];
        let params = Params { len: clamp(len), gradient: gradient.into() };
        let dprediction = if gradient { at.write(1) } else { at.read(0) };
        let by_element = Dispatch {
            shader: shader!("mse"),
            dtype: at.inputs[0].dtype,
            params: bytes_of(&params).to_vec(),
            groups: at.cover(len, 256),
            bindings: vec![at.read(0), at.read(1), at.read(2), dprediction, at.write(2)],
        };
        let sum = Sum { scale: 1.0, accumulate: self.accumulate };
        vec![by_element, sum_dispatch(&sum, at, &at.outputs[2], at.read_again(2))]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let scale = inputs[2][0];
        let off: Vec<f64> = inputs[0].iter().zip(inputs[1]).map(|(p, t)| p - t).collect();
        let squares: Vec<f64> = off.iter().map(|off| scale * off * off).collect();
        let dprediction = off.iter().map(|off| 2.0 * scale * off).collect();
        let loss = start(self.accumulate, inputs, 1)[0] + squares.iter().sum::<f64>();
        vec![vec![loss], dprediction, squares]
    }

    fn in_place(&self) -> Vec<InPlace> {
        let over_old = self.accumulate.then(|| InPlace::must(0, 3));
        [InPlace::may(1, 0)].into_iter().chain(over_old).collect()
    }

    fn accumulating(&self) -> Option<Op> {
        (!self.accumulate).then(|| Mse { accumulate: true }.into())
    }

    fn specimens() -> Vec<Specimen> {
        let of = |accumulate: bool, shape: &[u32]| {
            let mean = 1.0 / f64::from(shape.iter().product::<u32>());
            let shapes: [&[u32]; 4] = [shape, shape, &[1], &[1]];
            Specimen::new(Mse { accumulate }, &shapes[..3 + usize::from(accumulate)])
                .filled(2, Data::Values(vec![mean]))
        };
        let sizes: [&[u32]; 4] = [&[1], &[7, 13], &[257], &[3, 5, 31]];
        let plain = sizes.map(|s| of(false, s).differentiable(&[0, 1]));
        let adding = sizes.map(|s| of(true, s).differentiable(&[0, 1, 3]));
        plain.into_iter().chain(adding).collect()
    }
}
