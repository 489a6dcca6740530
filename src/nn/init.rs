//! How parameters start: PyTorch's default for each layer, from counter-based random numbers.

use crate::random::{Purpose, Stream, name_index};

/// A distribution that a parameter is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Evenly between `-bound` and `bound`.
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// Normally, around 0 with deviation 1.
    Normal,
}

impl Init {
    /// PyTorch's for a layer whose units each sum `fan_in` inputs: `1 / sqrt(fan_in)`.
    ///
    /// That is what `kaiming_uniform_(a=sqrt(5))` comes to (He et al. 2015), and the rule of its
    /// recurrent layers with the hidden size as fan-in.
    #[allow(clippy::cast_possible_truncation, reason = "a bound needs no more than f32")]
    pub fn fan_in(fan_in: u32) -> Self {
        Init::Uniform { bound: (1.0 / f64::from(fan_in).sqrt()) as f32 }
    }

    /// `len` numbers for the parameter `name`; the same for the same seed and name, whatever else
    /// the model has.
    pub fn draw(self, seed: u64, name: &str, len: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, Purpose::Initialisation, name_index(name));
        let mut one = || match self {
            Init::Uniform { bound } => stream.uniform(-bound, bound),
            Init::Normal => stream.normal(),
        };
        (0..len).map(|_| one()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_and_name_alone() {
        let init = Init::fan_in(16);
        assert_eq!(init.draw(1, "a", 8), init.draw(1, "a", 9)[..8]);
        assert_ne!(init.draw(1, "a", 8), init.draw(1, "b", 8));
        assert_ne!(init.draw(1, "a", 8), init.draw(2, "a", 8));
    }

    #[test]
    fn draws_fill_the_range_they_should() {
        let drawn = Init::fan_in(16).draw(3, "w", 10_000);
        let (low, high) = drawn.iter().fold((0f32, 0f32), |(l, h), &x| (l.min(x), h.max(x)));
        assert!((-0.25..-0.249).contains(&low) && (0.249..=0.25).contains(&high), "{low} {high}");
        let drawn = Init::Normal.draw(3, "w", 10_000);
        let mean = drawn.iter().sum::<f32>() / 1e4;
        let variance = drawn.iter().map(|x| x * x).sum::<f32>() / 1e4;
        // Three standard errors of each estimate.
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.043, "{mean} {variance}");
    }
}
