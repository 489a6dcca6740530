//! Parts for training, validation and test.

use super::error::DataError;
use crate::random::{Purpose, Stream, name_index};

/// One thing for each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<T> {
    /// What is learnt from.
    pub train: T,
    /// What choices are made by.
    pub validation: T,
    /// What is looked at once, at the end.
    pub test: T,
}

impl<T> Parts<T> {
    /// The same of each part.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Parts<U> {
        Parts { train: f(self.train), validation: f(self.validation), test: f(self.test) }
    }
}

/// Which examples go to which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they come: first training, then validation, then test.
    Contiguous,
    /// At random, by that seed; within its part each keeps its place.
    Shuffled {
        /// The user's seed.
        seed: u64,
    },
}

/// Which of `len` examples are for training, validation (`floor(validation * len)`) and test
/// (`floor(test * len)`).
///
/// # Errors
/// A [`DataError::Fault`] unless both fractions are at least 0 and leave something for training.
pub fn split(len: usize, validation: f64, test: f64, order: Order) -> Result<Parts<Vec<usize>>, DataError> {
    let [held_out, last] = [validation, test].map(|fraction| floor(fraction, len));
    let fractions = (0.0..1.0).contains(&validation) && (0.0..1.0).contains(&test) && validation + test < 1.0;
    if !fractions || held_out + last >= len {
        return Err(DataError::fault(
            "the dataset",
            "",
            format!("validation = {validation} and test = {test} of {len} examples"),
            "fractions of at least 0 that leave an example for training",
            "make them smaller",
        ));
    }
    let mut examples: Vec<usize> = (0..len).collect();
    if let Order::Shuffled { seed } = order {
        shuffle(&mut examples, &mut Stream::new(seed, Purpose::Shuffle, name_index("split")));
    }
    let test = examples.split_off(len - last);
    let validation = examples.split_off(len - last - held_out);
    Ok(Parts { train: examples, validation, test }.map(|mut part| {
        part.sort_unstable();
        part
    }))
}

/// Fisher and Yates: every order is equally likely.
pub(super) fn shuffle<T>(values: &mut [T], random: &mut Stream) {
    for i in (1..values.len()).rev() {
        let j = usize::try_from(random.below(i as u64 + 1)).expect("it is at most `i`");
        values.swap(i, j);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the floor of a part of `len`; NaN becomes 0")]
pub(super) fn floor(fraction: f64, len: usize) -> usize {
    (len as f64 * fraction) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_in_one_part() {
        for order in [Order::Contiguous, Order::Shuffled { seed: 1 }] {
            let Parts { train, validation, test } = split(17, 0.25, 0.1, order).unwrap();
            assert_eq!((train.len(), validation.len(), test.len()), (12, 4, 1));
            let mut all = [train, validation, test].concat();
            if order == Order::Contiguous {
                assert!(all.is_sorted());
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..17));
        }
    }

    #[test]
    fn a_seed_stands_for_one_split() {
        let of = |seed| split(1000, 0.5, 0.0, Order::Shuffled { seed }).unwrap();
        assert_eq!(of(1), of(1));
        let both = of(1).train.iter().filter(|i| of(2).train.contains(i)).count();
        assert!(both.abs_diff(250) < 40, "five standard deviations of 7.9: {both}");
    }

    #[test]
    fn what_leaves_nothing_to_train_on_is_refused() {
        for (len, validation, test) in
            [(9, 0.5, 0.5), (9, -0.1, 0.0), (9, 1.0, 0.0), (9, 0.0, f64::NAN), (0, 0.0, 0.0), (9, f64::INFINITY, 0.0)]
        {
            let said = split(len, validation, test, Order::Contiguous).unwrap_err().to_string();
            assert!(said.contains("leave an example for training"), "{said}");
        }
    }
}
