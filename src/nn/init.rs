//! How parameters start: distributions, and the rules that choose their widths.

use crate::random::{Purpose, Stream, name_index};

mod orthogonal;

/// A distribution that a parameter is drawn from, or the number it is filled with.
///
/// Fans are PyTorch's: of a shape (O, I, R..) fan-in is `I * R..` and fan-out `O * R..`. A gated
/// layer's weight (G H, I) counts as one matrix, as PyTorch counts it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// Evenly between `-bound` and `bound`.
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// Normally, around 0 with deviation 1.
    Normal,
    /// Nothing but this number.
    Constant(f32),
    /// Evenly, of variance `gain^2 * 2 / (fan_in + fan_out)` (Glorot & Bengio 2010), as `xavier_uniform_`.
    XavierUniform {
        /// See [`gain`].
        gain: f32,
    },
    /// Normally, of the same variance, as `xavier_normal_`.
    XavierNormal {
        /// See [`gain`].
        gain: f32,
    },
    /// Evenly, of variance `gain^2 / fan_in` (He et al. 2015), as `kaiming_uniform_`.
    KaimingUniform {
        /// See [`gain`].
        gain: f32,
    },
    /// Normally, of the same variance, as `kaiming_normal_`.
    KaimingNormal {
        /// See [`gain`].
        gain: f32,
    },
    /// Rows, or columns if there are fewer, orthogonal to each other and `gain` long (Saxe et al.
    /// 2014), as `orthogonal_`: of a gated layer's (G H, H) all rows at once, not gate by gate.
    Orthogonal {
        /// How long.
        gain: f32,
    },
    /// For a bias (4 H) with gates in the order i, f, g, o: `value` for f (Jozefowicz et al. 2015),
    /// and evenly between `-bound` and `bound` for the others. The forget gate adds two biases, so
    /// one of them gets the value and the other a `value` of 0.
    ForgetBias {
        /// The forget gate's.
        value: f32,
        /// The others' bound.
        bound: f32,
    },
}

/// Functions after which a weight's outputs keep their variance with a gain of their own.
pub mod gain {
    /// After the logistic function, or none.
    pub const LINEAR: f32 = 1.0;
    /// After the hyperbolic tangent.
    pub const TANH: f32 = 5.0 / 3.0;
    /// After `max(x, 0)`; the one `kaiming_*_` takes where it is told nothing.
    pub const RELU: f32 = std::f32::consts::SQRT_2;

    /// After a rectifier with this slope below 0.
    pub fn leaky_relu(negative_slope: f32) -> f32 {
        (2.0 / (1.0 + negative_slope * negative_slope)).sqrt()
    }
}

impl Init {
    /// Zeros, as biases of normalisation start.
    pub const ZEROS: Init = Init::Constant(0.0);
    /// Ones, as weights of normalisation start.
    pub const ONES: Init = Init::Constant(1.0);

    /// PyTorch's for a layer whose units each sum `fan_in` inputs: `1 / sqrt(fan_in)`.
    ///
    /// That is what `kaiming_uniform_(a=sqrt(5))` comes to (He et al. 2015), and the rule of its
    /// recurrent layers with the hidden size as fan-in.
    #[allow(clippy::cast_possible_truncation, reason = "a bound needs no more than f32")]
    pub fn fan_in(fan_in: u32) -> Self {
        Init::Uniform { bound: (1.0 / f64::from(fan_in).sqrt()) as f32 }
    }

    /// Whether it takes a matrix, since it asks for fans or for rows and columns.
    pub fn needs_matrix(self) -> bool {
        !matches!(self, Init::Uniform { .. } | Init::Normal | Init::Constant(_) | Init::ForgetBias { .. })
    }

    /// The numbers of the parameter `name` of this shape, the last dimension innermost; the same for
    /// the same seed and name, whatever else the model has.
    ///
    /// Of a vector, for which no fans are defined, fan-in and fan-out are taken to be its length.
    pub fn draw(self, seed: u64, name: &str, shape: &[u32]) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Initialisation, name_index(name));
        let len: u64 = shape.iter().map(|&d| u64::from(d)).product();
        let (fan_in, fan_out) = fans(shape);
        let narrow = |deviation: f64| {
            #[allow(clippy::cast_possible_truncation, reason = "a width needs no more than f32")]
            let width = deviation as f32;
            width
        };
        // A uniform distribution reaches sqrt(3) deviations to either side.
        let xavier = |gain: f32, reach: f64| narrow(f64::from(gain) * (reach * 2.0 / (fan_in + fan_out)).sqrt());
        let kaiming = |gain: f32, reach: f64| narrow(f64::from(gain) * (reach / fan_in).sqrt());
        match self {
            Init::Uniform { bound } => uniform(&mut stream, bound, len),
            Init::Normal => normal(&mut stream, 1.0, len),
            Init::Constant(value) => (0..len).map(|_| value).collect(),
            Init::XavierUniform { gain } => uniform(&mut stream, xavier(gain, 3.0), len),
            Init::XavierNormal { gain } => normal(&mut stream, xavier(gain, 1.0), len),
            Init::KaimingUniform { gain } => uniform(&mut stream, kaiming(gain, 3.0), len),
            Init::KaimingNormal { gain } => normal(&mut stream, kaiming(gain, 1.0), len),
            Init::Orthogonal { gain } => orthogonal::draw(&mut stream, gain, shape),
            Init::ForgetBias { value, bound } => {
                let mut drawn = uniform(&mut stream, bound, len);
                let gate = drawn.len() / 4;
                drawn[gate..2 * gate].fill(value);
                drawn
            }
        }
    }
}

fn uniform(stream: &mut Stream, bound: f32, len: u64) -> Vec<f32> {
    (0..len).map(|_| stream.uniform(-bound, bound)).collect()
}

fn normal(stream: &mut Stream, deviation: f32, len: u64) -> Vec<f32> {
    (0..len).map(|_| deviation * stream.normal()).collect()
}

/// Fan-in and fan-out, at least 1 so that a bound over nothing is finite.
fn fans(shape: &[u32]) -> (f64, f64) {
    let size = |dims: &[u32]| dims.iter().map(|&d| f64::from(d)).product::<f64>().max(1.0);
    match shape {
        [out, inputs, rest @ ..] => (size(&[*inputs]) * size(rest), size(&[*out]) * size(rest)),
        _ => (size(shape), size(shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(drawn: &[f32]) -> (f64, f64, f32) {
        let n = drawn.len() as f64;
        let mean = drawn.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = drawn.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance, drawn.iter().fold(0f32, |m, x| m.max(x.abs())))
    }

    #[test]
    fn draws_depend_on_seed_and_name_alone() {
        let init = Init::fan_in(16);
        assert_eq!(init.draw(1, "a", &[8]), init.draw(1, "a", &[3, 3])[..8]);
        assert_ne!(init.draw(1, "a", &[8]), init.draw(1, "b", &[8]));
        assert_ne!(init.draw(1, "a", &[8]), init.draw(2, "a", &[8]));
    }

    #[test]
    fn draws_fill_the_range_they_should() {
        let drawn = Init::fan_in(16).draw(3, "w", &[100, 100]);
        let (low, high) = drawn.iter().fold((0f32, 0f32), |(l, h), &x| (l.min(x), h.max(x)));
        assert!((-0.25..-0.249).contains(&low) && (0.249..=0.25).contains(&high), "{low} {high}");
        let (mean, variance, _) = moments(&Init::Normal.draw(3, "w", &[10_000]));
        // Three standard errors of each estimate.
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.043, "{mean} {variance}");
    }

    /// Variances as the formulas of `torch.nn.init` give them for (64, 128).
    #[test]
    fn widths_follow_the_fans_as_in_pytorch() {
        let gain = gain::RELU;
        let cases = [
            (Init::XavierUniform { gain: 1.0 }, 2.0 / 192.0, Some(0.176_776_7)),
            (Init::XavierNormal { gain: 1.0 }, 2.0 / 192.0, None),
            (Init::KaimingUniform { gain }, 2.0 / 128.0, Some(0.216_506_35)),
            (Init::KaimingNormal { gain }, 2.0 / 128.0, None),
        ];
        for (init, wanted, bound) in cases {
            assert!(init.needs_matrix());
            let (mean, variance, most) = moments(&init.draw(5, "w", &[64, 128]));
            // Four standard errors: of 8192 normal numbers the variance's is sqrt(2 / 8192).
            assert!(mean.abs() < 4.0 * (wanted / 8192.0f64).sqrt(), "{init:?}: {mean}");
            assert!((variance / wanted - 1.0).abs() < 0.0625, "{init:?}: {variance} {wanted}");
            assert!(bound.is_none_or(|bound: f32| most <= bound && most > 0.998 * bound), "{init:?}: {most}");
        }
        assert_eq!(fans(&[2, 3, 5, 7]), (105.0, 70.0));
        assert!((gain::leaky_relu(0.01) - 1.414_142_8).abs() < 1e-6);
    }

    #[test]
    fn the_forget_gate_alone_gets_the_constant() {
        let drawn = Init::ForgetBias { value: 1.0, bound: 0.5 }.draw(1, "bias", &[12]);
        assert_eq!(drawn[3..6], [1.0; 3]);
        assert!(drawn[..3].iter().chain(&drawn[6..]).all(|x| x.abs() <= 0.5));
        assert_eq!(Init::ZEROS.draw(1, "bias", &[3]), [0.0; 3]);
    }
}
