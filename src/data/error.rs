//! What can go wrong with data: where, what was found, what was wanted, and what to do.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::storage::{self, StorageError};

/// Data that could not be read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be read; the storage error names it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Something in the data is not as it must be.
    #[error(transparent)]
    Fault(Box<Fault>),
}

/// One thing that is wrong with data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}{place}: found {found}, wanted {wanted}; {remedy}", if place.is_empty() { "" } else { ", " })]
pub struct Fault {
    /// The file's path, or what the data are called.
    pub file: String,
    /// Where in the file: a line and a column, an array, an example; empty for the whole.
    pub place: String,
    /// What is there.
    pub found: String,
    /// What should be.
    pub wanted: String,
    /// What to do.
    pub remedy: String,
}

impl DataError {
    /// The fault of `file` at `place`, with what was found and wanted and what to do.
    pub(super) fn fault(
        file: &str,
        place: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        remedy: impl Into<String>,
    ) -> DataError {
        DataError::Fault(Box::new(Fault {
            file: file.into(),
            place: place.into(),
            found: found.into(),
            wanted: wanted.into(),
            remedy: remedy.into(),
        }))
    }

    /// The operating system's refusal to read `path`.
    pub(super) fn unreadable(path: &Path, source: io::Error) -> DataError {
        StorageError::Io { action: "read", path: path.into(), source }.into()
    }

    /// Whether the data are at fault, and not the disk they lie on.
    pub fn is_bad_input(&self) -> bool {
        match self {
            DataError::Storage(error) => error.is_bad_input(),
            DataError::Fault(_) => true,
        }
    }
}

/// A file to be read, and how many bytes it has.
pub(super) fn open(path: &Path) -> Result<(File, u64), DataError> {
    storage::check_regular(path)?;
    let opened = File::open(path).and_then(|file| {
        let about = file.metadata()?;
        if about.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok((file, about.len())) }
    });
    opened.map_err(|source| DataError::unreadable(path, source))
}

/// The same of a file whose content is held as a whole, if the host has that much memory.
pub(super) fn open_to_hold(path: &Path) -> Result<(File, u64), DataError> {
    let opened = open(path)?;
    storage::check_memory(path)?;
    Ok(opened)
}

/// What to do about the name `given`: the nearest of `names`, if any is near, and all of them.
pub(super) fn name_one_of(given: &str, names: &[String]) -> String {
    // Low enough for a slip of the fingers, high enough for another word to find nothing.
    const ALIKE: f64 = 0.7;
    let wanted = given.to_lowercase();
    let alike = |name: &String| strsim::jaro_winkler(&wanted, &name.to_lowercase());
    let best = names.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let all = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match best.filter(|name| alike(name) >= ALIKE) {
        Some(name) => format!("did you mean `{name}`? there are {all}"),
        None => format!("there are {all}"),
    }
}
