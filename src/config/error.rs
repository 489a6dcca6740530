//! What is wrong with a run file: all of it, each at its line and column.

use std::fmt::Write;
use std::io;

use crate::bytes::Bytes;

/// Why a run file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The file is no run file by its size alone.
    #[error("{file} is larger than {limit}, which is all that a run file may be")]
    TooLarge {
        /// The file, as it was named.
        file: String,
        /// The most it may have.
        limit: Bytes,
    },
    /// The file says something that cannot be.
    #[error("{}", listed(file, problems))]
    Invalid {
        /// The file, as it was named.
        file: String,
        /// All that is wrong with it, in its order; never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What is wrong, and what is wanted instead.
    pub message: String,
}

impl ConfigError {
    /// What is wrong inside the file; empty if it was not read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems, .. } => problems,
            Self::Unreadable { .. } | Self::TooLarge { .. } => &[],
        }
    }
}

/// Where the lines of a text start.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(newlines).collect();
        Self { text: text.as_bytes(), starts }
    }

    /// The line, counted from 1, of byte `at`.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// A problem at byte `at`; at the end, if that lies before it.
    pub(super) fn problem(&self, at: usize, message: String) -> Problem {
        let line = self.line(at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        // A character has one byte that does not continue another.
        let characters = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Problem { line, column: characters + 1, message }
    }
}

fn listed(file: &str, problems: &[Problem]) -> String {
    let mut list = String::new();
    for Problem { line, column, message } in problems {
        let newline = if list.is_empty() { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = write!(list, "{newline}{file}:{line}:{column}: {message}");
    }
    list
}
