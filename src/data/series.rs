//! Windows over a table whose rows are moments in time.
//!
//! ```text
//! rows    | 0 1 2 3 4 5 6 | 7 8 9 10 | 11 12 13 14 |     T = 3, horizon = 1
//!         | train         | validation | test      |
//! window  | [0 1 2] 3     | [7 8 9] 10 |           |     predicts the row that follows
//!         |   [1 2 3] 4   |            |
//! ```
//!
//! Windows and what they predict lie within one part. Overlapping windows share memory.

use std::ops::Range;

use super::Predict;
use super::dataset::Dataset;
use super::error::DataError;
use super::field::{Field, Values};
use super::split::{Order, Parts, split};
use super::standardise::Scaling;
use super::table::{Prepared, Table};

/// What a window reads and predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// T: rows that it reads.
    pub window: usize,
    /// Rows from the last that it reads, or from each, to the one that it predicts; 0 predicts the
    /// same row's targets.
    pub horizon: usize,
    /// One target for the window, or one for each of its rows.
    pub predict: Predict,
}

/// All windows of a table: inputs (T, I), targets (O), or (T, O) where each step has one.
///
/// The last rows are for test (`floor(test * N)`), those before them for validation
/// (`floor(validation * N)`). With `standardise`, numbers are standardised by what the training
/// part's rows are like.
///
/// # Errors
/// As [`split`]; a [`DataError::Fault`] for a part that was asked for and has no whole window.
pub fn windows(
    mut table: Table,
    windows: Windows,
    validation: f64,
    test: f64,
    standardise: bool,
) -> Result<Prepared, DataError> {
    let rows = split(table.rows, validation, test, Order::Contiguous)?;
    let scaling = if standardise { table.standardise(&rows.train) } else { Scaling::default() };
    let starts = starts(&table.name, windows, &rows)?;
    let (steps, features) = (windows.window, table.inputs.names.len());
    let inputs = Field::inputs(&[steps, features], Values::Numbers(table.inputs.values)).each_step();
    let (shape, values) = table.targets.into_values();
    let width = shape.iter().product::<usize>();
    let targets = match windows.predict {
        Predict::Each => {
            let shape = [vec![steps], shape].concat();
            Field::targets(&shape, values).each_step().spaced(windows.horizon * width, width)
        }
        Predict::Last => Field::targets(&shape, values).spaced((steps - 1 + windows.horizon) * width, width),
    };
    let all = Dataset::new(vec![inputs.spaced(0, features).taking(table.rows - steps + 1 - windows.horizon), targets])?;
    Ok(Prepared { parts: starts.map(|starts| all.subset(&starts.collect::<Vec<_>>())), scaling })
}

/// The rows at which the windows of each part begin.
fn starts(file: &str, windows: Windows, rows: &Parts<Vec<usize>>) -> Result<Parts<Range<usize>>, DataError> {
    let Windows { window, horizon, .. } = windows;
    let needed = window.saturating_add(horizon);
    let part = |name: &str, rows: &[usize], must: bool| {
        let Some(&first) = rows.first().filter(|_| window > 0) else {
            return if must { Err(too_short(file, name, rows.len(), windows)) } else { Ok(0..0) };
        };
        match rows.len().checked_sub(needed) {
            Some(more) => Ok(first..first + more + 1),
            None => Err(too_short(file, name, rows.len(), windows)),
        }
    };
    Ok(Parts {
        train: part("training", &rows.train, true)?,
        validation: part("validation", &rows.validation, false)?,
        test: part("test", &rows.test, false)?,
    })
}

fn too_short(file: &str, part: &str, rows: usize, windows: Windows) -> DataError {
    let Windows { window, horizon, .. } = windows;
    DataError::fault(
        file,
        format!("the {part} part"),
        format!("{rows} rows"),
        format!("a window of {window}, at least 1, and {horizon} more for the horizon"),
        "take a shorter window, or make that part larger",
    )
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Data, INPUTS, TARGETS};
    use super::super::table::{Columns, Targets};
    use super::*;

    /// Rows 0..n; each has its number as an input, and ten times its number beside it and as target.
    fn table(rows: usize) -> Table {
        let values = (0..rows).flat_map(|row| [row as f32, 10.0 * row as f32]).collect();
        let targets = (0..rows).map(|row| 10.0 * row as f32).collect();
        Table {
            name: "tide.csv".into(),
            rows,
            inputs: Columns { names: vec!["a".into(), "b".into()], values },
            targets: Targets::Numbers(Columns { names: vec!["b".into()], values: targets }),
        }
    }

    fn example(data: &Dataset, i: usize, name: &str) -> Vec<f32> {
        match data.field(name).unwrap().example(data.origin(i)) {
            Data::F32(x) => x,
            Data::U32(_) => panic!("numbers were given"),
        }
    }

    const LAST: Windows = Windows { window: 3, horizon: 2, predict: Predict::Last };

    #[test]
    fn a_window_predicts_the_row_at_its_horizon() {
        let parts = windows(table(8), LAST, 0.0, 0.0, false).unwrap().parts;
        assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), (4, 0, 0));
        assert_eq!(example(&parts.train, 3, INPUTS), [3.0, 30.0, 4.0, 40.0, 5.0, 50.0]);
        assert_eq!(example(&parts.train, 3, TARGETS), [70.0]);
        let each = windows(table(8), Windows { predict: Predict::Each, ..LAST }, 0.0, 0.0, false).unwrap().parts;
        assert_eq!(example(&each.train, 3, TARGETS), [50.0, 60.0, 70.0]);
        let same = windows(table(3), Windows { horizon: 0, ..LAST }, 0.0, 0.0, false).unwrap().parts;
        assert_eq!(example(&same.train, 0, TARGETS), [20.0]);
    }

    #[test]
    fn no_window_crosses_a_border() {
        let parts = windows(table(30), LAST, 0.3, 0.2, false).unwrap().parts;
        for (part, rows) in [(&parts.train, 0..15), (&parts.validation, 15..24), (&parts.test, 24..30)] {
            assert_eq!(part.len(), rows.len() - 4);
            for i in 0..part.len() {
                let first = example(part, i, INPUTS)[0];
                let last = example(part, i, TARGETS)[0] / 10.0;
                assert_eq!((first, last), ((rows.start + i) as f32, (rows.start + i + 4) as f32));
                assert!(last < rows.end as f32);
            }
        }
    }

    #[test]
    fn standardising_looks_at_the_training_rows_only() {
        let prepared = windows(table(10), LAST, 0.0, 0.5, true).unwrap();
        assert_eq!(prepared.scaling.inputs.unwrap().mean, [2.0, 20.0]);
        assert_eq!(prepared.scaling.targets.unwrap().mean, [20.0]);
    }

    #[test]
    fn a_part_without_a_whole_window_is_refused_with_the_numbers() {
        for (rows, validation, window, wanted) in [
            (4, 0.0, 3, "the training part: found 4 rows, wanted a window of 3, at least 1, and 2 more"),
            (20, 0.1, 3, "the validation part: found 2 rows"),
            (20, 0.1, 0, "window of 0, at least 1"),
            (20, 0.1, usize::MAX, "the training part: found 18 rows"),
        ] {
            let asked = Windows { window, ..LAST };
            let said = windows(table(rows), asked, validation, 0.0, false).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
