//! Groups of parameters that the optimizer treats in ways of their own.

use crate::nn::Parameter;

/// Parameters, by name, with an optimizer's settings of their own. As PyTorch's parameter groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGroup {
    /// Names, in which `*` stands for any characters: `*.bias`, `layer_norm*`.
    pub parameters: Vec<String>,
    /// Instead of the optimizer's.
    pub weight_decay: Option<f32>,
    /// Instead of the optimizer's; a schedule scales both alike.
    pub learning_rate: Option<f32>,
}

impl ParameterGroup {
    /// Biases, and the weights of norms, which are vectors too, without weight decay: the usual
    /// choice.
    pub fn without_decay(patterns: &[&str]) -> Self {
        let parameters = patterns.iter().map(|p| (*p).to_string()).collect();
        Self { parameters, weight_decay: Some(0.0), learning_rate: None }
    }

    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|pattern| matches(pattern, name))
    }
}

/// Puts each parameter into the first group that names it, counted from 1; 0 is none.
pub(super) fn sort(parameters: &mut [Parameter], groups: &[ParameterGroup]) {
    for parameter in parameters {
        let found = groups.iter().position(|g| g.has(&parameter.name));
        parameter.update = found.map_or(0, |i| i + 1);
    }
}

/// The pattern that names no parameter, which is more likely a slip than a wish.
pub(super) fn idle<'a>(parameters: &[Parameter], groups: &'a [ParameterGroup]) -> Option<&'a str> {
    let mut patterns = groups.iter().flat_map(|g| &g.parameters);
    patterns.find(|p| !parameters.iter().any(|parameter| matches(p, &parameter.name))).map(|p| &p[..])
}

/// Whether `name` is what `pattern` says, `*` standing for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut open = None;
    for part in parts {
        open = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    // What follows the last star may stand anywhere, so long as it stands at the end too.
    open.map_or(rest.is_empty(), |part| part.is_empty() || rest.is_empty() || name.ends_with(part))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, fits) in [
            ("*.bias", "linear.bias", true),
            ("*.bias", "linear.bias.bias", true),
            ("*.bias", "linear.weight", false),
            ("layer_norm*", "layer_norm_2.weight", true),
            ("layer_norm*", "a.layer_norm", false),
            ("*bias*", "rnn.bias_ih_l0", true),
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("*", "", true),
            ("", "a", false),
            ("*a", "aba", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
