//! Files, read and written so that a failure names the file and leaves the one that was there as it
//! was.
//!
//! ```text
//! write_atomically:  create .NAME.0.tmp -> allocate -> write -> fsync -> rename to NAME -> fsync the folder
//! ```

mod disk;
mod error;
mod header;
mod load;
mod save;
mod sealed;

pub use disk::{Lock, available_bytes, check_room};
pub(crate) use error::no_such_file;
pub use error::{Misshapen, StorageError};
pub use load::{NamedShape, TensorFile, load_arrays, load_tensors, read_arrays, read_tensors};
pub use save::{NamedTensor, save_tensors, tensors_bytes};
pub use sealed::{SealedFile, StoredTensor, load_sealed, read_sealed, save_sealed, sealed_bytes};

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Header bytes of safetensors that readers of the format accept.
const HEADER_LIMIT: u64 = 100_000_000;
/// Bytes of a safetensors file before its header: the header's length.
const LENGTH_BYTES: u64 = 8;
/// Read and written at a time; a multiple of every element's size.
const CHUNK_BYTES: usize = 1 << 16;
/// Stale temporary files, left by processes that were killed, that one file may have.
const TEMPORARY_NAMES: u32 = 1000;

/// The whole of a file.
///
/// # Errors
/// [`StorageError::Memory`] for more than the host can hold, else [`StorageError::Io`], naming the path.
pub fn read_file(path: &Path) -> Result<Vec<u8>, StorageError> {
    check_regular(path)?;
    check_memory(path)?;
    fs::read(path).map_err(|source| StorageError::io("read", path, source))
}

/// The whole of what may also be a pipe, up to `most_bytes`: a profile or a plan that another program prints.
///
/// # Errors
/// [`StorageError::Io`], naming the path; also for more than that.
pub fn read_stream(path: &Path, most_bytes: u64) -> Result<Vec<u8>, StorageError> {
    let failed = |source| StorageError::io("read", path, source);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most_bytes + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > most_bytes {
        return Err(failed(io::Error::other(format!("it has more than {most_bytes} bytes"))));
    }
    Ok(bytes)
}

/// Refuses what is no file but a pipe or a device, which may never end or never begin. One that is not there is
/// told of by whoever opens it.
///
/// # Errors
/// [`StorageError::Io`], naming the path.
pub(crate) fn check_regular(path: &Path) -> Result<(), StorageError> {
    let Ok(about) = fs::metadata(path) else { return Ok(()) };
    if about.is_file() || about.is_dir() {
        return Ok(());
    }
    let reason = io::Error::new(ErrorKind::InvalidInput, "it is a pipe or a device, and a file is wanted");
    Err(StorageError::io("read", path, reason))
}

/// Refuses to write through a link, which may lead out of the folder that a run writes to.
///
/// # Errors
/// [`StorageError::Io`], naming the path.
pub(crate) fn check_no_link(path: &Path) -> Result<(), StorageError> {
    if !fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink()) {
        return Ok(());
    }
    let reason = io::Error::new(ErrorKind::InvalidInput, "it is a link, and a run writes to its own folder only");
    Err(StorageError::io("write", path, reason))
}

/// Refuses a file that is larger than the memory it would be read into.
///
/// # Errors
/// [`StorageError::Memory`], with both numbers.
pub(crate) fn check_memory(path: &Path) -> Result<(), StorageError> {
    // One that cannot be asked fails when it is read.
    let Ok(about) = fs::metadata(path) else { return Ok(()) };
    crate::memory::check(&format!("{} is read as a whole, which takes", path.display()), about.len())
        .map_err(StorageError::Memory)
}

/// Writes a file whole or not at all: after a failure, also of the power, the file is as it was or
/// has all of `bytes`.
///
/// The file is made anew with the mode that the umask says; a link at `path` is replaced, not
/// followed.
///
/// # Errors
/// [`StorageError::Full`] if `bytes` did not fit, else [`StorageError::Io`]. Nothing is left
/// behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    replace(path, bytes.len() as u64, |file| file.write_all(bytes))
}

/// Makes a folder, and those that it lies in; one that is there already will do.
///
/// # Errors
/// [`StorageError::NotAFolder`] if a file is in the way, else [`StorageError::Io`].
pub fn create_folder(path: &Path) -> Result<(), StorageError> {
    fs::create_dir_all(path).map_err(|source| {
        let in_the_way = path.ancestors().find(|ancestor| ancestor.exists() && !ancestor.is_dir());
        match in_the_way {
            Some(file) => StorageError::NotAFolder { path: path.into(), file: file.into() },
            None => StorageError::io("create the folder", path, source),
        }
    })
}

/// [`write_atomically`], of whatever `write` writes; `needed_bytes` is what it will be, for the
/// message.
fn replace(
    path: &Path,
    needed_bytes: u64,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StorageError> {
    let attempt = || {
        tracing::debug!(path = %path.display(), bytes = needed_bytes, "writing");
        if path.is_dir() {
            return Err(io::Error::from(ErrorKind::IsADirectory));
        }
        let (mut file, mut temporary) = Temporary::beside(path)?;
        // A disk that has no room says so before a byte is written, not halfway.
        disk::allocate(&file, needed_bytes)?;
        write(&mut file)?;
        file.sync_all()?;
        drop(file); // An open file cannot be renamed everywhere.
        fs::rename(&temporary.path, path)?;
        temporary.renamed = true;
        sync_folder(folder_of(path))
    };
    attempt().map_err(|source| StorageError::write(path, needed_bytes, source))
}

/// The names of all that is in a folder, in no order; none if it is not there. What is no Unicode has
/// no name here.
///
/// # Errors
/// [`StorageError::Io`].
pub fn names(folder: &Path) -> Result<Vec<String>, StorageError> {
    let failed = |source| StorageError::io("read", folder, source);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name().into_string().ok()));
    Ok(names.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Removes a file; one that is not there will do.
///
/// # Errors
/// [`StorageError::Io`].
pub fn remove_file(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes the temporary files that writes to `folder` left behind when their process was killed.
/// To be called only by who has the folder to himself.
///
/// # Errors
/// [`StorageError::Io`].
pub fn remove_temporary_files(folder: &Path) -> Result<(), StorageError> {
    for name in names(folder)? {
        let number = name.strip_suffix(".tmp").and_then(|rest| rest.rsplit_once('.')).map(|(_, number)| number);
        if name.starts_with('.') && number.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n < TEMPORARY_NAMES)) {
            remove_file(&folder.join(name))?;
        }
    }
    Ok(())
}

/// A file that is removed unless it was renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// A new file in the folder of `path`, in no one else's hands.
    fn beside(path: &Path) -> io::Result<(File, Temporary)> {
        let name =
            path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it does not name a file"))?;
        let mut taken = io::Error::from(ErrorKind::AlreadyExists);
        for attempt in 0..TEMPORARY_NAMES {
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(format!(".{attempt}.tmp"));
            let temporary = folder_of(path).join(temporary);
            match File::create_new(&temporary) {
                Ok(file) => {
                    return Ok((file, Temporary { path: temporary, renamed: false }));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The failure that led here is reported; a second one would hide it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder that a path lies in: `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename last. Where folders cannot be opened or synced, the rename is as safe as that
/// place allows.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A new empty folder, removed with all that is in it.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Scratch {
            static MADE: AtomicU32 = AtomicU32::new(0);
            let made = MADE.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("plimsoll-storage-{}-{made}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }

        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        pub(crate) fn names(&self) -> Vec<String> {
            let mut names: Vec<String> =
                fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub(crate) fn bytes_of(elements: &[f32]) -> Vec<u8> {
        elements.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = Scratch::new();
        let path = folder.path("a.json");
        write_atomically(&path, b"a long first text").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(read_file(&path).unwrap(), b"second");
        assert_eq!(folder.names(), ["a.json"]);
    }

    #[test]
    fn a_write_that_fails_halfway_leaves_the_old_file_and_no_temporary_one() {
        let folder = Scratch::new();
        let path = folder.path("a.json");
        write_atomically(&path, b"old").unwrap();
        let error = replace(&path, 1234, |file| {
            file.write_all(b"ne")?;
            Err(ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        let said = error.to_string();
        assert!(said.contains("is full: 1234 bytes were to be written"), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert_eq!(read_file(&path).unwrap(), b"old");
        assert_eq!(folder.names(), ["a.json"]);
    }

    #[test]
    fn what_killed_processes_left_behind_is_removed_and_nothing_else() {
        let folder = Scratch::new();
        for name in [".a.json.0.tmp", ".b.17.tmp", "a.json", ".c.tmp", "d.0.tmp", ".e.x.tmp"] {
            fs::write(folder.path(name), b"x").unwrap();
        }
        remove_temporary_files(&folder.path(".")).unwrap();
        assert_eq!(folder.names(), [".c.tmp", ".e.x.tmp", "a.json", "d.0.tmp"]);
        remove_file(&folder.path("no")).unwrap();
        assert!(names(&folder.path("no")).unwrap().is_empty());
    }

    #[test]
    fn a_temporary_file_of_another_process_is_neither_used_nor_removed() {
        let folder = Scratch::new();
        fs::write(folder.path(".a.json.0.tmp"), b"theirs").unwrap();
        write_atomically(&folder.path("a.json"), b"ours").unwrap();
        assert_eq!(folder.names(), [".a.json.0.tmp", "a.json"]);
        assert_eq!(read_file(&folder.path(".a.json.0.tmp")).unwrap(), b"theirs");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_the_mode_that_any_new_file_gets() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Scratch::new();
        write_atomically(&folder.path("ours"), b"").unwrap();
        fs::write(folder.path("plain"), b"").unwrap();
        let mode = |name| fs::metadata(folder.path(name)).unwrap().permissions().mode();
        assert_eq!(mode("ours"), mode("plain"));
    }

    #[test]
    fn what_is_wrong_with_a_path_is_said_and_the_path_is_named() {
        let folder = Scratch::new();
        fs::write(folder.path("file"), b"").unwrap();
        let cases = [
            (read_file(&folder.path("no")).unwrap_err(), "no does not exist"),
            (read_file(&folder.path("file/x")).unwrap_err(), "is a file, where a folder was meant"),
            (read_file(&folder.path(".")).unwrap_err(), "is a folder, not a file"),
            (write_atomically(&folder.path("no/x"), b"").unwrap_err(), "no does not exist"),
            (write_atomically(&folder.path("."), b"").unwrap_err(), "is a folder, not a file"),
            (write_atomically(Path::new(""), b"").unwrap_err(), "does not name a file"),
            (create_folder(&folder.path("file")).unwrap_err(), "file is a file, not a folder"),
            (create_folder(&folder.path("file/a/b")).unwrap_err(), "file is a file, not a folder"),
        ];
        for (error, wanted) in cases {
            assert!(error.to_string().contains(wanted), "{error} / {wanted}");
        }
        assert_eq!(folder.names(), ["file"]);
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_may_be_there_already() {
        let folder = Scratch::new();
        create_folder(&folder.path("a/b")).unwrap();
        create_folder(&folder.path("a/b")).unwrap();
        assert!(folder.path("a/b").is_dir());
    }
}
