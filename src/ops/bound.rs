//! `|y|^2 <= times * (|a|^2 |b|^2 + ..)`: how long what an op makes can be, told from what it reads.

use super::clamp;

/// What the sum of the squares of an output is no more than: `times` the sum of the terms, each the product of the sums
/// of the squares of one input or two. By Cauchy and Schwarz, for a product over rows; all that an op adds up on the way
/// stays within it too.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// What the sum of the terms is multiplied by.
    pub times: f64,
    /// The inputs of each term, by position; one that stands there twice is squared.
    pub terms: Vec<Vec<usize>>,
}

impl Bound {
    /// The product of two inputs' lengths.
    pub(super) fn product(a: usize, b: usize) -> Option<Self> {
        Self::sum(&[&[a, b]])
    }

    /// The length of input 0.
    pub(super) fn same() -> Option<Self> {
        Self::sum(&[&[0]])
    }

    /// Sums over so many `rows` of these inputs.
    pub(super) fn rows(rows: u64, inputs: &[usize]) -> Option<Self> {
        let terms = inputs.iter().map(|&i| vec![i]).collect();
        Some(Self { times: f64::from(clamp(rows)), terms })
    }

    /// The sum of these terms.
    pub(super) fn sum(terms: &[&[usize]]) -> Option<Self> {
        Some(Self { times: 1.0, terms: terms.iter().map(|term| term.to_vec()).collect() })
    }
}
