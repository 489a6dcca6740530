//! A file that grows in place, and what a full disk did not take of it yet.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::storage::{self, StorageError};

/// The file, how far it is known to be written, and what is still to come.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Bytes that were written, all of which are whole.
    pub(super) bytes: u64,
    waiting: Vec<u8>,
    /// Whether a write failed, which may have left a part of what waits.
    torn: bool,
}

impl Growing {
    /// Begins the file anew.
    pub(super) fn create(path: &Path) -> Result<Self, StorageError> {
        Self::open(path, true)
    }

    /// Opens a file that may be there; what is in it counts only after [`Growing::keep`].
    pub(super) fn reopen(path: &Path) -> Result<Self, StorageError> {
        Self::open(path, false)
    }

    fn open(path: &Path, truncate: bool) -> Result<Self, StorageError> {
        storage::check_no_link(path)?;
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(truncate).open(path);
        let file = open.map_err(|e| StorageError::write(path, 0, e))?;
        Ok(Self { path: path.into(), file, bytes: 0, waiting: Vec::new(), torn: false })
    }

    /// Keeps the first so many bytes of the file, and nothing of what waits.
    pub(super) fn keep(&mut self, bytes: u64) -> Result<(), StorageError> {
        self.bytes = bytes;
        self.waiting.clear();
        self.mend().map_err(|e| StorageError::write(&self.path, bytes, e))
    }

    /// Adds `bytes` to what waits.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// Writes what waits, all of it or nothing; gives back what was written.
    pub(super) fn write(&mut self) -> Result<Vec<u8>, StorageError> {
        if self.waiting.is_empty() {
            return Ok(Vec::new());
        }
        let mended = if self.torn { self.mend() } else { Ok(()) };
        if let Err(error) = mended.and_then(|()| self.file.write_all(&self.waiting)) {
            self.torn = true;
            // What the disk took of it is taken back at once, if that can be; else the next time.
            let _ = self.mend();
            return Err(StorageError::write(&self.path, self.waiting.len() as u64, error));
        }
        self.bytes += self.waiting.len() as u64;
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Takes back whatever stands after what is known to be written, which needs no room.
    fn mend(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes))?;
        self.torn = false;
        Ok(())
    }
}
