//! The one error of the public API.

use crate::config::ConfigError;
use crate::data::DataError;
use crate::device::AdapterError;
use crate::engine::EngineError;
use crate::memory::TooLittleMemory;
use crate::nn::LayerError;
use crate::plan::place::Clash;
use crate::plan::replay::Fault;
use crate::refusal::Refusal;
use crate::storage::{StorageError, no_such_file};
use crate::target::ProfileError;
use crate::text::TextError;

/// Anything that can go wrong, with the numbers that say why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A run file that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A text that cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Data that cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A device profile that cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A model whose layers do not fit one another.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A setting or a batch that makes no sense.
    #[error("{0}")]
    Input(String),
    /// The plan exceeds a limit; nothing was allocated.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No adapter, or one that would not open.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The device failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The host has less memory than the run holds; nothing was taken.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// A file could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The plan contradicts itself; a fault of Plimsoll's, found before anything was allocated.
    #[error("the plan is wrong, which is a fault of Plimsoll's; please report it: {0}")]
    Fault(#[from] Fault),
    /// A packing contradicts itself; a fault of Plimsoll's, found before it was shown.
    #[error("the packing is wrong, which is a fault of Plimsoll's; please report it: {0}")]
    Clash(#[from] Clash),
}

/// What kind of thing went wrong, for exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Bad usage or input.
    Input,
    /// The plan does not fit.
    Refused,
    /// The device.
    Device,
    /// The disk.
    Storage,
    /// Plimsoll itself.
    Internal,
}

impl Error {
    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Storage(StorageError::Memory(_))
            | Error::Text(TextError::Storage(StorageError::Memory(_)))
            | Error::Data(DataError::Storage(StorageError::Memory(_))) => ErrorKind::Refused,
            // A file that is not there was named wrongly; one that cannot be read is the disk's fault.
            Error::Config(ConfigError::Unreadable { reason, .. }) if !no_such_file(reason) => ErrorKind::Storage,
            Error::Text(TextError::Storage(e)) if !e.is_bad_input() => ErrorKind::Storage,
            Error::Data(e) if !e.is_bad_input() => ErrorKind::Storage,
            Error::Config(_)
            | Error::Text(_)
            | Error::Data(_)
            | Error::Profile(_)
            | Error::Layer(_)
            | Error::Input(_) => ErrorKind::Input,
            // A tensor file that does not belong to the model is bad input; a disk that fails is not.
            Error::Storage(e) if e.is_bad_input() => ErrorKind::Input,
            Error::Refused(_) | Error::Memory(_) => ErrorKind::Refused,
            Error::Adapter(_) | Error::Engine(_) => ErrorKind::Device,
            Error::Storage(_) => ErrorKind::Storage,
            Error::Fault(_) | Error::Clash(_) => ErrorKind::Internal,
        }
    }
}
