//! `y = f(x)`, element by element, and `dx = dy * f'(x)` told from `x`.

use bytemuck::{Pod, Zeroable, bytes_of};

use super::{Data, Dispatch, Emit, InPlace, Lowering, Operand, Rule, ShapeError, Site, Slope, Specimen, clamp};
use crate::ids::ValueId;
use crate::shader;
use crate::shader::Shader;
use crate::tensor::TensorType;

/// A function of one number whose slope cannot be told from its result.
///
/// The formulas, their constants and what they do far out are those of `torch.nn`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    /// `x Φ(x)`, where Φ is the normal distribution's; Hendrycks & Gimpel 2016.
    Gelu,
    /// Its approximation `x (1 + tanh(sqrt(2 / π) (x + 0.044715 x³))) / 2`.
    GeluTanh,
    /// `x / (1 + e^-x)`, also called swish.
    Silu,
    /// `ln(1 + e^(beta x)) / beta`, and `x` itself where `beta x > threshold`.
    Softplus {
        /// How sharp the bend is; not 0.
        beta: f32,
        /// Past which `beta x` the function is taken for linear.
        threshold: f32,
    },
    /// `x` where `x > 0`, else `negative_slope x`.
    LeakyRelu {
        /// The slope below zero.
        negative_slope: f32,
    },
}

/// `sqrt(2 / π)`
const ROOT_2_OVER_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;

impl Curve {
    /// `f(x)`
    pub fn value(self, x: f64) -> f64 {
        match self {
            Curve::Gelu => x * normal_cdf(x),
            Curve::GeluTanh => 0.5 * x * (1.0 + (ROOT_2_OVER_PI * (x + 0.044715 * x.powi(3))).tanh()),
            Curve::Silu => x * logistic(x),
            Curve::Softplus { beta, threshold } => {
                let (beta, threshold) = (f64::from(beta), f64::from(threshold));
                if x * beta > threshold { x } else { (x * beta).exp().ln_1p() / beta }
            }
            Curve::LeakyRelu { .. } if x > 0.0 => x,
            Curve::LeakyRelu { negative_slope } => x * f64::from(negative_slope),
        }
    }

    /// `f'(x)`; at a bend, the slope on its left.
    pub fn slope(self, x: f64) -> f64 {
        match self {
            Curve::Gelu => normal_cdf(x) + x * 0.5 * ROOT_2_OVER_PI * (-0.5 * x * x).exp(),
            Curve::GeluTanh => {
                let tanh = (ROOT_2_OVER_PI * (x + 0.044715 * x.powi(3))).tanh();
                let rise = ROOT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * x * x);
                0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * rise
            }
            Curve::Silu => logistic(x) * (1.0 + x * (1.0 - logistic(x))),
            Curve::Softplus { beta, threshold } if x * f64::from(beta) <= f64::from(threshold) => {
                logistic(x * f64::from(beta))
            }
            Curve::LeakyRelu { negative_slope } if x <= 0.0 => f64::from(negative_slope),
            Curve::Softplus { .. } | Curve::LeakyRelu { .. } => 1.0,
        }
    }

    /// A kernel for this function alone, as one for all would work all of them out on a software adapter; and what it
    /// is told.
    fn kernel(self, shader: Shader, of: &TensorType) -> (Shader, Vec<u8>) {
        let (function, a, b) = match self {
            Curve::Gelu => (0, 0.0, 0.0),
            Curve::GeluTanh => (1, 0.0, 0.0),
            Curve::Silu => (2, 0.0, 0.0),
            Curve::Softplus { beta, threshold } => (3, beta, threshold),
            Curve::LeakyRelu { negative_slope } => (4, negative_slope, 0.0),
        };
        (shader.with(&[("F", function)]), bytes_of(&Params { len: clamp(of.len()), a, b }).to_vec())
    }

    /// Each kind once, softplus and the leaky rectifier with other numbers than PyTorch's own.
    const SPECIMENS: [Curve; 5] = [
        Curve::Gelu,
        Curve::GeluTanh,
        Curve::Silu,
        // The threshold lies within the specimens' range.
        Curve::Softplus { beta: 2.0, threshold: 1.5 },
        Curve::LeakyRelu { negative_slope: 0.125 },
    ];
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The share of a normal distribution below `x`: `(1 + erf(x / sqrt 2)) / 2`, by Marsaglia's series
/// of positive terms (Evaluating the Normal Distribution, 2004), `1/2 + φ(x) (x + x³/3 + x⁵/15 ..)`.
fn normal_cdf(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return f64::from(u8::from(x > 0.0));
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while sum + term != sum {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + 0.5 * ROOT_2_OVER_PI * (-0.5 * x * x).exp() * sum
}

/// `y = f(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointwise {
    /// The function.
    pub function: Curve,
}

/// `dx = dy * f'(x)`, from `(x, dy)`.
#[derive(Clone, Debug, PartialEq)]
pub struct PointwiseGradient {
    /// The function.
    pub function: Curve,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    len: u32,
    a: f32,
    b: f32,
}

impl Rule for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless_floats(self.name(), "x", &inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>> {
        let function = self.function;
        vec![slope.outputs[0].map(|dy| out.emit_one(PointwiseGradient { function }, &[at.inputs[0], dy]))]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (shader, params) = self.function.kernel(shader!("pointwise"), &at.outputs[0]);
        vec![at.flat(shader, params, vec![at.read(0), at.write(0)])]
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
        let sizes: [&[u32]; 3] = [&[1], &[7, 13], &[257]];
        let of = |function, shape| Specimen::new(Pointwise { function }, &[shape]).differentiable(&[0]);
        // Small numbers of either sign, and so far out that a careless exponential overflows.
        let spread = |function, reach: f64| of(function, &[31]).filled(0, Data::Uniform(-reach, reach));
        Curve::SPECIMENS
            .into_iter()
            .flat_map(|function| {
                sizes.map(|s| of(function, s)).into_iter().chain([6.0, 120.0].map(|reach| spread(function, reach)))
            })
            .collect()
    }
}

impl Rule for PointwiseGradient {
    fn name(&self) -> &'static str {
        "pointwise gradient"
    }

    fn need(&self, input: usize) -> &'static str {
        match input {
            0 => "the slope is told from the argument",
            _ => "the gradient that is handed to it",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError> {
        ShapeError::unless_is(self.name(), "dy", &inputs[1], &inputs[0])?;
        Ok(vec![inputs[1].clone()])
    }

    fn gradient(&self, _: &Site, _: &Slope, _: &mut dyn Emit) -> Vec<Option<ValueId>> {
        vec![None, None]
    }

    fn lower(&self, at: &Lowering) -> Vec<Dispatch> {
        let (shader, params) = self.function.kernel(shader!("pointwise_gradient"), &at.outputs[0]);
        vec![at.flat(shader, params, vec![at.read(0), at.read(1), at.write(0)])]
    }

    fn reference(&self, inputs: &[&[f64]], _: &Lowering) -> Vec<Vec<f64>> {
        let pairs = inputs[0].iter().zip(inputs[1]);
        vec![pairs.map(|(&x, dy)| dy * self.function.slope(x)).collect()]
    }

    fn in_place(&self) -> Vec<InPlace> {
        vec![InPlace::may(0, 1), InPlace::may(0, 0)]
    }

    fn halves(&self, inputs: usize) -> Vec<Vec<Operand>> {
        vec![(0..inputs).map(Operand::Input).chain([Operand::Output(0)]).collect()]
    }

    fn specimens() -> Vec<Specimen> {
        let of = |function, reach: f64| {
            let specimen = Specimen::new(PointwiseGradient { function }, &[&[257], &[257]]);
            specimen.filled(0, Data::Uniform(-reach, reach))
        };
        Curve::SPECIMENS.into_iter().flat_map(|f| [1.0, 6.0, 120.0].map(|reach| of(f, reach))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes_are_those_of_pytorch() {
        // x, torch.nn.functional's value and its gradient, in float64.
        let softplus = Curve::Softplus { beta: 1.0, threshold: 20.0 };
        let leaky = Curve::LeakyRelu { negative_slope: 0.01 };
        let known = [
            (Curve::Gelu, -3.0, -0.00404969409489031, -0.01194564720418392),
            (Curve::Gelu, 0.5, 0.34573123063700656, 0.8674951246561629),
            (Curve::Gelu, 2.0, 1.9544997361036416, 1.085231801078197),
            (Curve::GeluTanh, -3.0, -0.0036373920817729943, -0.011584166630969648),
            (Curve::GeluTanh, 0.5, 0.34571400982514394, 0.8673699035346424),
            (Curve::GeluTanh, 2.0, 1.954597694087775, 1.0860992566236183),
            (Curve::Silu, -3.0, -0.14227761953270035, -0.08810410601516962),
            (Curve::Silu, 0.5, 0.3112296656009273, 0.7399611873026519),
            (Curve::Silu, 2.0, 1.7615941559557646, 1.0907842487848955),
            (softplus, -30.0, 9.357622968839737e-14, 9.3576229688393e-14),
            (softplus, 0.5, 0.9740769841801067, 0.6224593312018546),
            (softplus, 20.0, 20.000000002061153, 0.9999999979388464),
            (softplus, 20.5, 20.5, 1.0),
            (leaky, -3.0, -0.03, 0.01),
            (leaky, 0.0, 0.0, 0.01),
            (leaky, 2.0, 2.0, 1.0),
        ];
        for (curve, x, value, slope) in known {
            // 0.01 is an f32 here.
            let close = |a: f64, b: f64| (a - b).abs() < 1e-7 * b.abs().max(1e-3);
            assert!(close(curve.value(x), value), "{curve:?} {x}: {}", curve.value(x));
            assert!(close(curve.slope(x), slope), "{curve:?} {x}: {}", curve.slope(x));
        }
    }
}
