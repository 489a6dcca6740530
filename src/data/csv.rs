//! CSV files with a header: chosen columns, by name, parsed strictly.
//!
//! Cells are separated by commas and may be quoted; white space around them is dropped. A number is
//! what Rust's `f32` parses, but neither infinite nor NaN.

use std::io::{BufReader, Read};
use std::path::Path;

use super::Target;
use super::classes::Classes;
use super::error::{DataError, name_one_of, open};
use super::table::{Columns, Table, Targets};
use crate::memory;
use crate::ops::IGNORE;
use crate::storage::StorageError;

/// Rows after which the host is asked whether it has room for as many again.
const ROWS_BETWEEN: usize = 1 << 16;

/// What an empty cell is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// An error.
    #[default]
    Refuse,
    /// In a target column, nothing to learn: NaN, or `IGNORE` for a class. In an input column, an
    /// error.
    Ignore,
}

/// Which columns are wanted, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Columns of numbers that a model reads.
    pub inputs: Vec<String>,
    /// Columns that it is to predict; one only if they are classes.
    pub targets: Vec<String>,
    /// What the targets are.
    pub target: Target,
    /// What empty cells are.
    pub missing: Missing,
}

/// Reads the wanted columns of a file.
///
/// # Errors
/// [`DataError::Storage`] if the file cannot be read, else a [`DataError::Fault`] with the line and
/// the column: an unknown column, a cell that is not what it should be, rows of unequal lengths, or
/// no rows.
pub fn read(path: &Path, wanted: &Wanted) -> Result<Table, DataError> {
    let (file, _) = open(path)?;
    parse(BufReader::new(file), path, wanted)
}

/// [`read`], of anything that can be read; errors call it `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(file: impl Read, path: &Path, wanted: &Wanted) -> Result<Table, DataError> {
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(file);
    let name = path.display().to_string();
    let header = reader.headers().map_err(|error| refused(path, error))?;
    let header: Vec<String> = header.iter().map(str::to_string).collect();
    let places = |columns: &[String]| {
        columns.iter().map(|column| place(&name, &header, column)).collect::<Result<Vec<usize>, DataError>>()
    };
    let (inputs, targets) = (places(&wanted.inputs)?, places(&wanted.targets)?);
    check_count(&name, wanted)?;
    let (mut numbers, mut answers, mut labels, mut rows) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut record = ::csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| refused(path, error))? {
        let line = record.position().map_or(0, ::csv::Position::line);
        let cell = |at: usize| Cell {
            file: &name,
            line,
            column: header.get(at).map_or("", String::as_str),
            text: record.get(at).unwrap_or(""),
        };
        for &at in &inputs {
            numbers.push(cell(at).number(Missing::Refuse)?);
        }
        for &at in &targets {
            match wanted.target {
                Target::Number => answers.push(cell(at).number(wanted.missing)?),
                Target::Bit => answers.push(cell(at).bit(wanted.missing)?),
                Target::Class => labels.push(cell(at).label(wanted.missing)?.map(str::to_string)),
            }
        }
        rows += 1;
        if rows % ROWS_BETWEEN == 0 {
            // Lists double when they are full.
            let held = 4 * (numbers.len() + answers.len()) + labels.len() * size_of::<Option<String>>();
            memory::check(&format!("{name}, of which {rows} rows are read, takes another"), held as u64)
                .map_err(StorageError::Memory)?;
        }
    }
    if rows == 0 {
        let remedy = "look whether this is the right file";
        return Err(DataError::fault(&name, "", "a header and no rows", "one row or more", remedy));
    }
    let columns = |names: &[String], values| Columns { names: names.to_vec(), values };
    let targets = match wanted.target {
        Target::Number => Targets::Numbers(columns(&wanted.targets, answers)),
        Target::Bit => Targets::Bits(columns(&wanted.targets, answers)),
        Target::Class => classes(wanted.targets.first().map_or("", String::as_str), &labels),
    };
    Ok(Table { name, rows, inputs: columns(&wanted.inputs, numbers), targets })
}

/// A cell and its place.
struct Cell<'a> {
    file: &'a str,
    line: u64,
    column: &'a str,
    text: &'a str,
}

impl<'a> Cell<'a> {
    fn fault(&self, wanted: &str, remedy: &str) -> DataError {
        let place = format!("line {}, column `{}`", self.line, self.column);
        let found = if self.text.is_empty() { "an empty cell".into() } else { format!("{:?}", self.text) };
        DataError::fault(self.file, place, found, wanted, remedy)
    }

    /// Its text, unless that is empty and may be.
    fn text(&self, missing: Missing, wanted: &str) -> Result<Option<&'a str>, DataError> {
        match missing {
            _ if !self.text.is_empty() => Ok(Some(self.text)),
            Missing::Ignore => Ok(None),
            Missing::Refuse => {
                let remedy = "fill it in or leave the row out; missing = \"ignore\" passes over empty targets";
                Err(self.fault(wanted, remedy))
            }
        }
    }

    fn number(&self, missing: Missing) -> Result<f32, DataError> {
        let Some(text) = self.text(missing, "a number")? else { return Ok(f32::NAN) };
        let remedy = "correct it, with a full stop for the decimals, or choose another column";
        let number: f32 = text.parse().map_err(|_| self.fault("a number", remedy))?;
        if number.is_finite() {
            return Ok(number);
        }
        Err(self.fault("a number that `f32` can hold, below 3.4e38", "correct it, or leave the row out"))
    }

    fn bit(&self, missing: Missing) -> Result<f32, DataError> {
        match self.text(missing, "0 or 1")? {
            None => Ok(f32::NAN),
            Some("0" | "false") => Ok(0.0),
            Some("1" | "true") => Ok(1.0),
            Some(_) => Err(self.fault("0, 1, false or true", "correct it, or take target = \"class\"")),
        }
    }

    fn label(&self, missing: Missing) -> Result<Option<&'a str>, DataError> {
        self.text(missing, "a class")
    }
}

/// The classes of all rows, and the id of each row's.
fn classes(column: &str, labels: &[Option<String>]) -> Targets {
    let classes = Classes::of(labels.iter().flatten().map(String::as_str));
    let ids = classes.names().iter().zip(0u32..).map(|(name, id)| (name.as_str(), id));
    let ids: std::collections::HashMap<&str, u32> = ids.collect();
    let id =
        |label: &Option<String>| label.as_ref().and_then(|label| ids.get(label.as_str())).copied().unwrap_or(IGNORE);
    let ids = labels.iter().map(id).collect();
    Targets::Classes { column: column.into(), classes, ids }
}

/// Where a column is.
fn place(file: &str, header: &[String], column: &String) -> Result<usize, DataError> {
    let mut places = header.iter().enumerate().filter(|(_, name)| *name == column).map(|(at, _)| at);
    match (places.next(), places.count()) {
        (Some(at), 0) => Ok(at),
        (Some(_), more) => {
            let found = format!("{} columns named `{column}`", more + 1);
            Err(DataError::fault(file, "line 1", found, "one", "give each a name of its own"))
        }
        (None, _) => {
            let mut remedy = name_one_of(column, header);
            if matches!(header, [only] if only.contains([';', '\t'])) {
                remedy += "; save the file with commas between the columns";
            }
            Err(DataError::fault(
                file,
                "line 1",
                format!("no column `{column}`"),
                "the columns that were chosen",
                remedy,
            ))
        }
    }
}

/// # Errors
/// Unless there are inputs and targets, and a single target of classes.
fn check_count(file: &str, wanted: &Wanted) -> Result<(), DataError> {
    let (inputs, targets) = (wanted.inputs.len(), wanted.targets.len());
    let found = format!("{inputs} input columns and {targets} target columns chosen");
    let fault = |wanted, remedy| Err(DataError::fault(file, "", found, wanted, remedy));
    match wanted.target {
        _ if inputs == 0 || targets == 0 => fault("one of each, or more", "name them in `inputs` and `targets`"),
        Target::Class if targets > 1 => fault("one column of classes", "train a model for each"),
        _ => Ok(()),
    }
}

/// What the parser refused.
pub(super) fn refused(path: &Path, error: ::csv::Error) -> DataError {
    use ::csv::ErrorKind;
    let name = path.display().to_string();
    let line = error.position().map_or_else(String::new, |at| format!("line {}", at.line()));
    match error.into_kind() {
        ErrorKind::Io(source) => DataError::unreadable(path, source),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let remedy = "quote the cells that have commas in them";
            DataError::fault(&name, line, format!("{len} cells"), format!("{expected_len}, as in the header"), remedy)
        }
        ErrorKind::Utf8 { err, .. } => {
            DataError::fault(&name, line, err.to_string(), "UTF-8", "save the file in that encoding")
        }
        other => DataError::fault(&name, line, format!("{other:?}"), "a CSV file", "look at that line"),
    }
}

#[cfg(test)]
mod tests;
