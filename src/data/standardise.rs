//! `y = (x - mean) / std`, column by column, as the training part has them.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation of each column (dividing by N, as scikit-learn's `StandardScaler`
/// does). A column of one value throughout has the standard deviation 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardisation {
    /// The columns' names.
    pub columns: Vec<String>,
    /// (C): subtracted.
    pub mean: Vec<f64>,
    /// (C): divided by; never 0.
    pub std: Vec<f64>,
}

/// What was done to a table's columns, so that it can be done again, and undone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Of the inputs; none if they are as they were.
    pub inputs: Option<Standardisation>,
    /// Of the targets, if these are numbers.
    pub targets: Option<Standardisation>,
}

impl Standardisation {
    /// That of `values` (N, C), of which only the rows in `rows` are looked at; NaN is passed over.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn fit(columns: &[String], values: &[f32], rows: &[usize]) -> Standardisation {
        let one = |column: usize| {
            let of = rows.iter().map(|row| f64::from(values[row * columns.len() + column])).filter(|x| !x.is_nan());
            let count = of.clone().count().max(1) as f64;
            let mean = of.clone().sum::<f64>() / count;
            let variance = of.clone().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            // Rounding would make a constant column's variance a tiny number that is not 0.
            let constant = of.clone().zip(of.skip(1)).all(|(a, b)| a == b);
            (mean, if constant { 1.0 } else { variance.sqrt() })
        };
        let (mean, std) = (0..columns.len()).map(one).unzip();
        Standardisation { columns: columns.to_vec(), mean, std }
    }

    /// Standardises `values` (N, C) in place.
    pub fn apply(&self, values: &mut [f32]) {
        self.each(values, |x, mean, std| (x - mean) / std);
    }

    /// Undoes [`Standardisation::apply`], but for rounding.
    pub fn invert(&self, values: &mut [f32]) {
        self.each(values, |y, mean, std| y * std + mean);
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest `f32`")]
    fn each(&self, values: &mut [f32], f: impl Fn(f64, f64, f64) -> f64) {
        for row in values.chunks_mut(self.columns.len().max(1)) {
            for (x, (mean, std)) in row.iter_mut().zip(self.mean.iter().zip(&self.std)) {
                *x = f(f64::from(*x), *mean, *std) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_string()).collect()
    }

    #[test]
    fn the_rows_it_was_fitted_to_have_mean_0_and_deviation_1() {
        let mut values = [1.0, 5.0, 3.0, 5.0, 100.0, 7.0];
        let fitted = Standardisation::fit(&columns(&["a", "b"]), &values, &[0, 1]);
        assert_eq!((fitted.mean.as_slice(), fitted.std.as_slice()), (&[2.0, 5.0][..], &[1.0, 1.0][..]));
        fitted.apply(&mut values);
        assert_eq!(values, [-1.0, 0.0, 1.0, 0.0, 98.0, 2.0]);
        fitted.invert(&mut values);
        assert_eq!(values, [1.0, 5.0, 3.0, 5.0, 100.0, 7.0]);
    }

    #[test]
    fn a_constant_column_stays_finite_and_nan_is_passed_over() {
        let values = [0.1; 7];
        let rows = [0, 1, 2, 3, 4, 5, 6];
        assert_eq!(Standardisation::fit(&columns(&["a"]), &values, &rows).std, [1.0]);
        let fitted = Standardisation::fit(&columns(&["a"]), &[f32::NAN, 1.0, 3.0], &rows[..3]);
        assert_eq!((fitted.mean[0], fitted.std[0]), (2.0, 1.0));
        let nothing = Standardisation::fit(&columns(&["a"]), &[f32::NAN], &[0]);
        assert_eq!((nothing.mean[0], nothing.std[0]), (0.0, 1.0));
        let json = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Standardisation>(&json).unwrap(), fitted);
    }
}
