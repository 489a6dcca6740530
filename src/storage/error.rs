//! What can go wrong with a file, said so that one knows which file and what to do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::disk::{available_bytes, holder};
use super::folder_of;
use crate::bytes::Bytes;

/// A file or a folder that could not be read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system refused.
    #[error("{}", describe(action, path, source))]
    Io {
        /// What was tried, as a verb: "read", "write", "create the folder".
        action: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk, or what the user may have of it, has no room.
    #[error("{}", full(path, *needed_bytes, *free_bytes))]
    Full {
        /// The file to be written; the one that was there is untouched.
        path: PathBuf,
        /// Size of the whole file.
        needed_bytes: u64,
        /// What the disk still had when the write failed; `None` if it does not tell.
        free_bytes: Option<u64>,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk has less room than is known to be needed; nothing was written.
    #[error(
        "{} holding {} has too little room: {what} {needed}, and {free} are free; \
         free some, or save to another disk",
        holder(path), path.display()
    )]
    TooLittleRoom {
        /// Where it would be written.
        path: PathBuf,
        /// What would be, as the subject of a sentence that ends with how much: "the run writes".
        what: String,
        /// How much that is.
        needed: Bytes,
        /// What the disk has.
        free: Bytes,
    },
    /// The host has less memory than the file would take.
    #[error(transparent)]
    Memory(crate::memory::TooLittleMemory),
    /// Another process has it in use.
    #[error("{}", in_use(path, *process))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process, where it says so.
        process: Option<u32>,
    },
    /// The file's bytes are not those that were written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A file is where a folder was to be made.
    #[error("no folder {}: {} is a file, not a folder", path.display(), file.display())]
    NotAFolder {
        /// The folder to be made.
        path: PathBuf,
        /// The file in the way: `path`, or above it.
        file: PathBuf,
    },
    /// The file is cut short, damaged or of another format.
    #[error("{} is not a whole safetensors file: {reason}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What was found, with the numbers.
        reason: String,
    },
    /// Tensors of the file have elements that are not floats of 32 or 16 bits.
    #[error("{}: only F32, F16 and BF16 can be read, but {}", path.display(), dtypes(tensors))]
    DType {
        /// The file.
        path: PathBuf,
        /// Name and element type of all such tensors.
        tensors: Vec<(String, String)>,
    },
    /// A tensor that no safetensors file can hold.
    #[error("cannot write {}: tensor `{tensor}` {reason}", path.display())]
    Tensor {
        /// The file to be written; the one that was there is untouched.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds other tensors than were wanted; all of them are listed.
    #[error("{} does not fit:{}", path.display(), differences(missing, surplus, misshapen))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Wanted, but not in the file, with the wanted shape.
        missing: Vec<(String, Vec<u64>)>,
        /// In the file, but not wanted, with the shape there.
        surplus: Vec<(String, Vec<u64>)>,
        /// In the file, in another shape.
        misshapen: Vec<Misshapen>,
    },
}

/// A tensor that is in a file, in another shape than was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshapen {
    /// The tensor's name.
    pub name: String,
    /// Its shape in the file, outermost first.
    pub found: Vec<u64>,
    /// The shape that was wanted, outermost first.
    pub wanted: Vec<u64>,
}

impl StorageError {
    /// Whether the file that was named is at fault, by its content or by not being there, and not
    /// the disk it lies on.
    pub fn is_bad_input(&self) -> bool {
        match self {
            StorageError::Io { action: "read", source, .. } => no_such_file(source),
            StorageError::Io { .. }
            | StorageError::Full { .. }
            | StorageError::TooLittleRoom { .. }
            | StorageError::NotAFolder { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> StorageError {
        StorageError::Io { action, path: path.into(), source }
    }

    /// A write of `needed_bytes` that failed.
    pub(crate) fn write(path: &Path, needed_bytes: u64, source: io::Error) -> StorageError {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                let free_bytes = available_bytes(path);
                StorageError::Full { path: path.into(), needed_bytes, free_bytes, source }
            }
            _ => StorageError::io("write", path, source),
        }
    }
}

/// Whether a file to be read is not there.
pub(crate) fn no_such_file(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory)
}

fn full(path: &Path, needed_bytes: u64, free_bytes: Option<u64>) -> String {
    let free = free_bytes.map_or_else(String::new, |bytes| format!(", and {bytes} are free"));
    let (holder, shown) = (holder(path), path.display());
    format!("{holder} holding {shown} is full: {needed_bytes} bytes were to be written{free}")
}

fn in_use(path: &Path, process: Option<u32>) -> String {
    let by = process.map_or_else(|| "another run".into(), |id| format!("another run, process {id},"));
    format!("{} is in use: {by} is writing to it; wait for its end, or name another folder", path.display())
}

fn describe(action: &str, path: &Path, source: &io::Error) -> String {
    let shown = path.display();
    match source.kind() {
        // To write a new file fails like this only for want of its folder.
        ErrorKind::NotFound if action == "write" => {
            format!("cannot write {shown}: the folder {} does not exist", folder_of(path).display())
        }
        ErrorKind::NotFound => format!("cannot {action} {shown}: {shown} does not exist"),
        ErrorKind::PermissionDenied => format!("no permission to {action} {shown}"),
        ErrorKind::ReadOnlyFilesystem => {
            format!("cannot {action} {shown}: it lies on a read-only disk")
        }
        ErrorKind::OutOfMemory => format!("cannot {action} {shown}: the host has too little memory for it"),
        ErrorKind::IsADirectory => format!("cannot {action} {shown}: it is a folder, not a file"),
        ErrorKind::NotADirectory => {
            format!("cannot {action} {shown}: a part of this path is a file, where a folder was meant")
        }
        _ => format!("cannot {action} {shown}: {source}"),
    }
}

fn differences(missing: &[(String, Vec<u64>)], surplus: &[(String, Vec<u64>)], misshapen: &[Misshapen]) -> String {
    let mut lines = Vec::new();
    for (name, shape) in missing {
        lines.push(format!("\n  missing: `{name}` {shape:?}"));
    }
    for (name, shape) in surplus {
        lines.push(format!("\n  surplus: `{name}` {shape:?}"));
    }
    for Misshapen { name, found, wanted } in misshapen {
        lines.push(format!("\n  misshapen: `{name}` is {found:?} in the file, {wanted:?} is wanted"));
    }
    lines.concat()
}

fn dtypes(tensors: &[(String, String)]) -> String {
    let shown = tensors.iter().map(|(name, dtype)| format!("`{name}` is {dtype}"));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_failure_have_words_of_their_own() {
        let say = |kind: ErrorKind| StorageError::write(Path::new("runs/a.json"), 5_000, kind.into()).to_string();
        let full = "the disk holding runs/a.json is full: 5000 bytes were to be written, and ";
        assert!(say(ErrorKind::StorageFull).starts_with(full));
        assert!(say(ErrorKind::QuotaExceeded).ends_with(" are free"));
        assert_eq!(say(ErrorKind::PermissionDenied), "no permission to write runs/a.json");
        assert_eq!(say(ErrorKind::NotFound), "cannot write runs/a.json: the folder runs does not exist");
        assert_eq!(say(ErrorKind::TimedOut), "cannot write runs/a.json: timed out");
    }

    #[test]
    fn the_cause_can_be_asked_for() {
        let error = StorageError::write(Path::new("a"), 1, ErrorKind::StorageFull.into());
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(ErrorKind::StorageFull));
    }
}
