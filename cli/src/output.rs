//! Standard output that may close at any time, and the exit codes.

use std::io::{self, ErrorKind as Io, Write};
use std::process::ExitCode;

use serde::Serialize;

use plimsoll::error::{Error, ErrorKind};

/// The exit code of a fault of Plimsoll's own.
pub(crate) const INTERNAL: u8 = 1;

/// Why a command ended before it was done.
pub(crate) enum Failure {
    /// The library's reason.
    Error(Error),
    /// The plan does not fit, which has been said already.
    Refused,
    /// Standard output took no more.
    Output(io::Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Failure {
    /// Says on standard error what is wrong, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let code = match &self {
            Self::Error(error) => code(error.kind()),
            Self::Refused => code(ErrorKind::Refused),
            // Whoever closed the pipe has seen enough.
            Self::Output(error) if error.kind() == Io::BrokenPipe => return ExitCode::SUCCESS,
            Self::Output(_) => code(ErrorKind::Storage),
        };
        let message = match self {
            Self::Error(error) => error.to_string(),
            Self::Refused => return ExitCode::from(code),
            Self::Output(error) => format!("cannot write to standard output: {error}"),
        };
        tell(&message);
        ExitCode::from(code)
    }
}

/// Says on standard error what went wrong.
pub(crate) fn tell(message: &str) {
    // If that is closed too, there is no one left to tell.
    let _ = writeln!(io::stderr(), "error: {message}");
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Input => 2,
        ErrorKind::Refused => 3,
        ErrorKind::Device => 4,
        ErrorKind::Storage => 5,
        ErrorKind::Internal => INTERNAL,
    }
}

/// Values as JSON that people can read.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("numbers, words and lists of them can be written")
}

/// Writes a line, or several, to standard output.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::Output)
}
