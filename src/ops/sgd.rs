//! `w -= lr * g`, with momentum where it is asked for.

use std::ops::Range;

use bytemuck::{Pod, Zeroable, bytes_of};

use super::adamw::check_optimizer;
use super::common::bytes_of_f32;
use super::{
    Binding, Data, Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp,
};
use crate::ids::ValueId;
use crate::shader;
use crate::tensor::{DType, TensorType};

/// One step of stochastic gradient descent with momentum (Polyak 1964; in the form of Sutskever et al. 2013).
///
/// From `(w (P), g (P), scalars f32[4], norm f32[2])` to `(w)`, or with momentum from
/// `(w, g, scalars, norm, buffer (P))` to `(w, buffer)`, each in place:
///
/// ```text
/// g = norm[1] * g + weight_decay * w        the clip factor
/// buffer = momentum * buffer + g
/// w = w - lr * buffer
/// ```
///
/// where `scalars = (lr, ..)`. `P` is a multiple of 4. Equal to `torch.optim.SGD` up to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// How much of the last step is made again; 0 for none, and no buffer.
    pub momentum: f32,
    /// How much of a weight is added to its gradient.
    pub weight_decay: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    weight_decay: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MomentumParams {
    len: u32,
    momentum: f32,
    weight_decay: f32,
}

impl Sgd {
    fn has_buffer(&self) -> bool {
        self.momentum != 0.0
    }

    fn dispatch(&self, at: &Lowering, chunk: &Range<u64>) -> Dispatch {
        let vectors = (chunk.end - chunk.start) / 4;
        let update = |i, o| Binding::update(Operand::Input(i), Operand::Output(o), bytes_of_f32(chunk));
        let g = Binding::read(Operand::Input(1), bytes_of_f32(chunk));
        let mut bindings = vec![update(0, 0), g, at.read(2), at.read(3)];
        let (len, momentum, weight_decay) = (clamp(vectors), self.momentum, self.weight_decay);
        let (shader, params) = if self.has_buffer() {
            bindings.push(update(4, 1));
            let params = MomentumParams { len, momentum, weight_decay };
            (shader!("sgd_momentum"), bytes_of(&params).to_vec())
        } else {
            (shader!("sgd"), bytes_of(&Params { len, weight_decay }).to_vec())
        };
        Dispatch { shader, dtype: DType::F32, params, groups: at.cover(vectors, 256), bindings }
    }
}

impl Rule for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        let mut tensors = vec![("w", &inputs[0]), ("g", &inputs[1])];
        if self.has_buffer() {
            tensors.push(("buffer", &inputs[4]));
        }
        check_optimizer(self.name(), &tensors, &inputs[2], &inputs[3])?;
        Ok(vec![inputs[0].clone(); tensors.len() - 1])
    }

    fn gradient(&self, at: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None; at.inputs.len()]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        at.chunks(at.inputs[0].len()).map(|chunk| self.dispatch(at, &chunk)).collect()
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let (momentum, decay) = (f64::from(self.momentum), f64::from(self.weight_decay));
        let (lr, factor) = (inputs[2][0], inputs[3][1]);
        let mut w = inputs[0].to_vec();
        let mut buffer = inputs.get(4).map_or(vec![0.0; w.len()], |buffer| buffer.to_vec());
        for i in 0..w.len() {
            let g = factor * inputs[1][i] + decay * w[i];
            buffer[i] = momentum * buffer[i] + g;
            w[i] -= lr * buffer[i];
        }
        if self.has_buffer() { vec![w, buffer] } else { vec![w] }
    }

    fn in_place(&self) -> Vec<InPlace> {
        let mut all = vec![InPlace::must(0, 0)];
        all.extend(self.has_buffer().then(|| InPlace::must(1, 4)));
        all
    }

    fn specimens() -> Vec<Specimen> {
        let of = |momentum: f32, weight_decay: f32, p: u32, factor: f64| {
            let shapes: [&[u32]; 5] = [&[p], &[p], &[4], &[2], &[p]];
            let inputs = if momentum == 0.0 { 4 } else { 5 };
            Specimen::new(Sgd { momentum, weight_decay }, &shapes[..inputs])
                .filled(2, Data::Values(vec![0.05, 0.0, 0.0, 0.0]))
                .filled(3, Data::Values(vec![3.0, factor]))
        };
        let sizes = [4, 4 * 251, 4 * 257];
        sizes.into_iter().flat_map(|p| [of(0.0, 0.0, p, 1.0), of(0.0, 0.1, p, 0.3), of(0.9, 0.1, p, 0.3)]).collect()
    }
}
