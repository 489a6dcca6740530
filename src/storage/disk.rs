//! What a disk has room for, and who has a folder to himself.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs4::{FileExt, TryLockError};

use super::StorageError;
use crate::bytes::Bytes;

/// The file whose lock is that of its folder.
const LOCK: &str = ".lock";

/// Bytes that this user can still write to the disk that holds `path`, or would if it were there;
/// `None` if it does not tell.
pub fn available_bytes(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|folder| folder.exists())?;
    fs4::available_space(there).ok()
}

/// What holds `path`, as the subject of a sentence: a disk, unless the system says that it is memory.
pub(super) fn holder(path: &Path) -> &'static str {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let there = path.ancestors().find_map(|folder| folder.canonicalize().ok()).unwrap_or(path);
    match kind_of(&there, &mounts) {
        Some("tmpfs" | "ramfs" | "devtmpfs") => "the tmpfs (shared memory, and no disk)",
        _ => "the disk",
    }
}

/// The kind of the file system that holds `path`, of those that are mounted: the innermost, and of two in one
/// place the later.
fn kind_of<'m>(path: &Path, mounts: &'m str) -> Option<&'m str> {
    let mounted = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        let depth = Path::new(&place).components().count();
        path.starts_with(&place).then_some((depth, kind.split(' ').next()?))
    });
    mounted.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

/// Refuses to write `needed` bytes where there is no room for them. `what` is the subject of a
/// sentence that ends with how much it is: "the run writes".
///
/// # Errors
/// [`StorageError::TooLittleRoom`].
pub fn check_room(path: &Path, what: &str, needed: u64) -> Result<(), StorageError> {
    match available_bytes(path) {
        Some(free) if free < needed => Err(StorageError::TooLittleRoom {
            path: path.into(),
            what: what.into(),
            needed: Bytes(needed),
            free: Bytes(free),
        }),
        _ => Ok(()),
    }
}

/// Has the disk set `bytes` aside for a new file, where it can: a file that is short of room is then
/// so before it is written.
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match FileExt::allocate(file, bytes) {
        Err(error) if cannot(&error) => Ok(()),
        result => result,
    }
}

/// Whether this kind of disk does not know how.
fn cannot(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
}

/// A folder that one process has to itself, until this is dropped or the process ends in whatever
/// way: the lock is the operating system's, so none is left behind. The file stays, and means nothing.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the folder.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if another process, or this one, has it; else [`StorageError::Io`].
    pub fn take(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(LOCK);
        super::check_no_link(&path)?;
        let failed = |source| StorageError::io("write", &path, source);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed)?;
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // Where locked files cannot be read either, nobody is named.
                let mut said = String::new();
                let _ = file.read_to_string(&mut said);
                return Err(StorageError::InUse { path: folder.into(), process: said.trim().parse().ok() });
            }
            // Some network disks have no locks; there, as everywhere before, it is up to the user.
            Err(TryLockError::Error(error)) if cannot(&error) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut lock = Self { file, path };
        // Only a courtesy to who comes second; a full disk has no room for it, which harms nothing.
        let _ = lock.sign();
        Ok(lock)
    }

    /// Whether someone has `folder` now. Nothing is written to it.
    pub fn is_taken(folder: &Path) -> bool {
        let Ok(file) = File::open(folder.join(LOCK)) else { return false };
        matches!(FileExt::try_lock_shared(&file), Err(TryLockError::WouldBlock))
    }

    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file gives the lock back in any case; the number in it should not outlive it.
        if self.path.exists() {
            let _ = self.file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::Scratch;

    #[test]
    fn a_folder_is_taken_once_and_free_again_when_its_lock_is_dropped() {
        let scratch = Scratch::new();
        let lock = Lock::take(&scratch.path(".")).unwrap();
        let said = Lock::take(&scratch.path(".")).unwrap_err().to_string();
        assert!(said.contains("is in use: another run, process"), "{said}");
        assert!(said.contains(&std::process::id().to_string()), "{said}");
        assert!(Lock::is_taken(&scratch.path(".")) && !Lock::is_taken(&scratch.path("no")));
        drop(lock);
        assert!(!Lock::is_taken(&scratch.path(".")));
        // What a killed process leaves behind is a file, and no lock.
        std::fs::write(scratch.path(LOCK), "1\n").unwrap();
        Lock::take(&scratch.path(".")).unwrap();
    }

    #[test]
    fn a_disk_is_asked_for_its_room_even_where_the_folder_is_yet_to_be_made() {
        let scratch = Scratch::new();
        let path = scratch.path("a/b/c");
        let free = available_bytes(&path).unwrap();
        assert!(free > 0 && available_bytes(&scratch.path(".")).is_some());
        check_room(&path, "it writes", 1).unwrap();
        let said = check_room(&path, "it writes", 1 << 62).unwrap_err().to_string();
        assert!(said.contains("it writes 4194304 TiB, and ") && said.contains("c has too little room"), "{said}");
    }

    #[test]
    fn what_is_memory_is_not_called_a_disk() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 22 0:25 / /dev/shm rw shared:4 - tmpfs tmpfs rw\n\
            31 22 0:26 / /mnt/a\\040b rw - tmpfs tmpfs rw\n\
            32 31 8:2 / /mnt/a\\040b/deep rw - xfs /dev/sdb rw\n";
        let kind = |path: &str| kind_of(Path::new(path), mounts);
        assert_eq!(kind("/home/x"), Some("ext4"));
        assert_eq!(kind("/dev/shm/run/metrics.jsonl"), Some("tmpfs"));
        assert_eq!(kind("/dev/shmall"), Some("ext4"));
        assert_eq!(kind("/mnt/a b/run"), Some("tmpfs"));
        assert_eq!(kind("/mnt/a b/deep/run"), Some("xfs"));
        assert_eq!(kind_of(Path::new("/x"), ""), None);
    }

    #[test]
    fn an_allocation_that_no_disk_has_room_for_fails_and_a_small_one_does_not() {
        let scratch = Scratch::new();
        let file = File::create(scratch.path("x")).unwrap();
        allocate(&file, 0).unwrap();
        allocate(&file, 5000).unwrap();
        assert!(file.metadata().unwrap().len() == 5000 || cfg!(not(target_os = "linux")));
        assert!(allocate(&file, 1 << 60).is_err());
    }
}
