//! `w -= lr * (m' / (sqrt(v') + eps) + wd * w)`: Adam with its weight decay kept out of the moments.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, bytes_of};

use super::common::bytes_of_f32;
use super::{
    Binding, Data, Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// One step of `AdamW` (Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization).
///
/// From `(w (P), g (P), m (P), v (P), scalars f32[4], norm f32[2])` to `(w, m, v)`, each in place:
///
/// ```text
/// g = norm[1] * g                           the clip factor
/// m = beta1 * m + (1 - beta1) * g
/// v = beta2 * v + (1 - beta2) * g^2
/// w = (1 - lr * weight_decay) * w - lr * (c1 * m) / (sqrt(c2 * v) + eps)
/// ```
///
/// where `scalars = (lr, c1, c2, 0)` and, in step `t` from 1, `ci = 1 / (1 - betai^t)`. `P` is a
/// multiple of 4. Equal to `torch.optim.AdamW` up to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    /// How much of the mean gradient is kept.
    pub beta1: f32,
    /// How much of the mean square gradient is kept.
    pub beta2: f32,
    /// Keeps the quotient finite where no gradient ever flowed.
    pub eps: f32,
    /// How much of a weight is lost in a step, in parts of the learning rate.
    pub weight_decay: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
}

/// Refuses what no optimizer can take: `tensors`, named, must be one type, and shaders take four
/// elements at a time.
pub(super) fn check_optimizer(
    op: &'static str,
    tensors: &[(&str, &TensorType)],
    scalars: &TensorType,
    norm: &TensorType,
) -> Result<(), ShapeError> {
    let (_, w) = tensors[0];
    ShapeError::unless(w.dtype == DType::F32 && w.len().is_multiple_of(4), op, || {
        format!("w {w} (P) must be f32 and P a multiple of 4")
    })?;
    for (name, tensor) in &tensors[1..] {
        ShapeError::unless(tensor == &w, op, || format!("w {w} (P) and {name} {tensor} (P) differ in P"))?;
    }
    ShapeError::unless_is(op, "scalars", scalars, &TensorType::f32(&[4]))?;
    ShapeError::unless_is(op, "norm", norm, &TensorType::f32(&[2]))
}

impl AdamW {
    fn dispatch(&self, at: &Lowering, chunk: &Range<u64>) -> Dispatch {
        let vectors = (chunk.end - chunk.start) / 4;
        let update = |i, o| Binding::update(Operand::Input(i), Operand::Output(o), bytes_of_f32(chunk));
        let params = Params {
            len: clamp(vectors),
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
        };
        Dispatch {
            shader: shader!("adamw"),
            dtype: DType::F32,
            params: bytes_of(&params).to_vec(),
            groups: at.cover(vectors, 256),
            bindings: vec![
                update(0, 0),
                Binding::read(Operand::Input(1), bytes_of_f32(chunk)),
                update(2, 1),
                update(3, 2),
                at.read(4),
                at.read(5),
            ],
        }
    }
}

impl Rule for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let tensors = [("w", &inputs[0]), ("g", &inputs[1]), ("m", &inputs[2]), ("v", &inputs[3])];
        check_optimizer(self.name(), &tensors, &inputs[4], &inputs[5])?;
        Ok(vec![inputs[0].clone(); 3])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        at.chunks(at.inputs[0].len()).map(|chunk| self.dispatch(at, &chunk)).collect()
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let [beta1, beta2, eps, decay] = [self.beta1, self.beta2, self.eps, self.weight_decay].map(f64::from);
        let (lr, c1, c2, factor) = (inputs[4][0], inputs[4][1], inputs[4][2], inputs[5][1]);
        let (mut w, mut m, mut v) = (inputs[0].to_vec(), inputs[2].to_vec(), inputs[3].to_vec());
        for i in 0..w.len() {
            let g = factor * inputs[1][i];
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
            w[i] = (1.0 - lr * decay) * w[i] - lr * (c1 * m[i]) / ((c2 * v[i]).sqrt() + eps);
        }
        vec![w, m, v]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::must(0, 0), InPlace::must(1, 2), InPlace::must(2, 3)]
    }

    fn specimens() -> Vec<Specimen> {
        let op = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let third_step =
            |lr: f64| Data::Values(vec![lr, 1.0 / (1.0 - 0.9f64.powi(3)), 1.0 / (1.0 - 0.999f64.powi(3)), 0.0]);
        let of = |op: AdamW, p: u32, factor: f64| {
            Specimen::new(op, &[&[p], &[p], &[p], &[p], &[4], &[2]])
                .filled(3, Data::Uniform(0.0, 1.0))
                .filled(4, third_step(0.05))
                .filled(5, Data::Values(vec![3.0, factor]))
        };
        let plain = AdamW { beta1: 0.5, beta2: 0.75, eps: 1e-3, weight_decay: 0.0 };
        vec![of(op.clone(), 4, 1.0), of(op.clone(), 4 * 251, 0.3), of(op, 4 * 257, 1.0), of(plain, 4 * 13, 0.7)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_no_multiple_of_four_is_refused_with_its_shape() {
        let op = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        let mut inputs = vec![TensorType::f32(&[6]); 4];
        inputs.extend([TensorType::f32(&[4]), TensorType::f32(&[2])]);
        assert_eq!(
            op.outputs(&inputs).unwrap_err().to_string(),
            "adamw: w f32[6] (P) must be f32 and P a multiple of 4"
        );
        inputs[..4].fill(TensorType::f32(&[8]));
        assert!(op.outputs(&inputs).is_ok());
        inputs[3] = TensorType::f32(&[12]);
        assert_eq!(op.outputs(&inputs).unwrap_err().to_string(), "adamw: w f32[8] (P) and v f32[12] (P) differ in P");
    }
}
