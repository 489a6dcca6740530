//! Columns of numbers or classes, row by row, and what becomes of them before training.

use super::classes::Classes;
use super::dataset::Dataset;
use super::error::DataError;
use super::field::{Field, Values};
use super::split::{Order, Parts, split};
use super::standardise::{Scaling, Standardisation};

/// Columns of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// (C): their names.
    pub names: Vec<String>,
    /// (N, C): row by row.
    pub values: Vec<f32>,
}

/// The columns that are to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Numbers, NaN where there is none.
    Numbers(Columns),
    /// 0 and 1, NaN where there is none.
    Bits(Columns),
    /// A class in each row.
    Classes {
        /// The column's name.
        column: String,
        /// The labels.
        classes: Classes,
        /// (N): `IGNORE` where there is none.
        ids: Vec<u32>,
    },
}

/// The chosen columns of a file, all N rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The file's path.
    pub name: String,
    /// N.
    pub rows: usize,
    /// What a model reads.
    pub inputs: Columns,
    /// What it is to predict.
    pub targets: Targets,
}

/// Examples ready to be loaded, and what was done to their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Examples of each part.
    pub parts: Parts<Dataset>,
    /// How inputs and targets were standardised.
    pub scaling: Scaling,
}

impl Table {
    /// Each row an example: inputs (I), targets (O) or a class. With `standardise`, numbers are
    /// standardised by what the training part is like.
    ///
    /// # Errors
    /// As [`split`].
    pub fn prepare(
        mut self,
        validation: f64,
        test: f64,
        order: Order,
        standardise: bool,
    ) -> Result<Prepared, DataError> {
        let rows = split(self.rows, validation, test, order)?;
        let scaling = if standardise { self.standardise(&rows.train) } else { Scaling::default() };
        let inputs = Field::inputs(&[self.inputs.names.len()], Values::Numbers(self.inputs.values));
        let (shape, targets) = self.targets.into_values();
        let all = Dataset::new(vec![inputs, Field::targets(&shape, targets)])?;
        Ok(Prepared { parts: rows.map(|rows| all.subset(&rows)), scaling })
    }

    /// Standardises all rows by what `rows` are like.
    pub(super) fn standardise(&mut self, rows: &[usize]) -> Scaling {
        let of = |columns: &mut Columns| {
            let fitted = Standardisation::fit(&columns.names, &columns.values, rows);
            fitted.apply(&mut columns.values);
            fitted
        };
        let inputs = Some(of(&mut self.inputs));
        let targets = match &mut self.targets {
            Targets::Numbers(columns) => Some(of(columns)),
            Targets::Bits(_) | Targets::Classes { .. } => None,
        };
        Scaling { inputs, targets }
    }
}

impl Targets {
    /// The shape of a row's targets, and all of them.
    pub(super) fn into_values(self) -> (Vec<usize>, Values) {
        match self {
            Targets::Numbers(columns) => (vec![columns.names.len()], Values::Numbers(columns.values)),
            Targets::Bits(columns) => (vec![columns.names.len()], Values::Bits(columns.values)),
            Targets::Classes { classes, ids, .. } => {
                let classes = u32::try_from(classes.len()).expect("every class has an id of 32 bits");
                (vec![], Values::Classes { ids, classes })
            }
        }
    }
}
