//! `y = f(x)`, element by element, and `dx = dy * f'(x)` told from `y` alone.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::streams::{Source, Streams};
use super::{Data, Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::shader::Shader;
use crate::tensor::{DType, TensorType};

/// A function of one number whose slope can be told from its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Function {
    /// `x`
    #[default]
    Identity = 0,
    /// The hyperbolic tangent.
    Tanh = 1,
    /// `max(x, 0)`
    Relu = 2,
    /// `1 / (1 + e^-x)`
    Sigmoid = 3,
}

impl Function {
    /// `f(x)`
    pub fn value(self, x: f64) -> f64 {
        match self {
            Function::Identity => x,
            Function::Tanh => x.tanh(),
            // Not `max`, which would hide a NaN.
            Function::Relu if x < 0.0 => 0.0,
            Function::Relu => x,
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    /// `f'(x)`, where `f(x) = y`.
    pub fn slope(self, y: f64) -> f64 {
        match self {
            Function::Identity => 1.0,
            Function::Tanh => 1.0 - y * y,
            Function::Relu => f64::from(u8::from(y > 0.0)),
            Function::Sigmoid => y * (1.0 - y),
        }
    }
}

/// `y = f(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// The function.
    pub function: Function,
}

/// `dx = dy * f'(x)`, from `(y, dy)`. Reads the function's result, so its argument need not be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationGradient {
    /// The function.
    pub function: Function,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    len: u32,
    /// Elements from one operand to the next in the texture; 0 in buffers.
    stream: u32,
}

fn params(of: &TensorType) -> Vec<u8> {
    bytes_of(&Params { len: clamp(of.len()) }).to_vec()
}

/// A kernel for this function alone: one for all would work all of them out on a software adapter.
fn of(shader: Shader, function: Function) -> Shader {
    shader.with(&[("F", function as u32)])
}

impl Rule for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let function = self.function;
        vec![slope.outputs[0].map(|dy| out.emit_one(ActivationGradient { function }, &[at.outputs[0], dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        vec![at.flat(of(shader!("activation"), self.function), params(&at.outputs[0]), vec![at.read(0), at.write(0)])]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().map(|&x| self.function.value(x)).collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 0)]
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        vec![(0..inputs).map(Operand::Input).chain([Operand::Output(0)]).collect()]
    }

    fn specimens() -> Vec<Specimen> {
        let all = [Function::Identity, Function::Tanh, Function::Relu, Function::Sigmoid];
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        all.into_iter()
            .flat_map(|function| sizes.map(|s| Specimen::new(Activation { function }, &[s]).differentiable(&[0])))
            // Far out, where a careless exponential overflows.
            .chain(all.map(|function| {
                Specimen::new(Activation { function }, &[&[31]]).filled(0, Data::Uniform(-120.0, 120.0))
            }))
            .collect()
    }
}

impl Rule for ActivationGradient {
    fn name(&self) -> &'static str {
        "activation gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the slope is told from the result",
            _ => "the gradient that is handed to it",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        Ok(vec![inputs[1].clone()])
    }

    fn gradient(&self, _: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None, None]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let ty = &at.outputs[0];
        let all = Streams { read: 2, written: 1 };
        let by_fours = ty.dtype == DType::F32 && Lowering::width(ty.len()) == 4;
        let textured = by_fours && all.are_quicker_as_a_whole(at.target, ty.len());
        let source = Source::new(textured, ty.bytes());
        let params = bytes_of(&GradientParams { len: clamp(ty.len()), stream: source.stride() }).to_vec();
        let storage = source.storage(at.storage(Operand::Output(0)));
        let shader = of(shader!("activation_gradient"), self.function).with(&[("HX", storage)]);
        vec![at.flat(shader, params, vec![source.operand(0, at.read(0)), source.operand(1, at.read(1)), at.write(0)])]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let pairs = inputs[0].iter().zip(inputs[1]);
        vec![pairs.map(|(&y, dy)| dy * self.function.slope(y)).collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 1), InPlace::may(0, 0)]
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        vec![(0..inputs).map(Operand::Input).chain([Operand::Output(0)]).collect()]
    }

    fn specimens() -> Vec<Specimen> {
        [Function::Identity, Function::Tanh, Function::Relu, Function::Sigmoid]
            .into_iter()
            .flat_map(|function| [5, 257].map(|n| Specimen::new(ActivationGradient { function }, &[&[n], &[n]])))
            .collect()
    }
}
