//! What all fuzz targets share: an allocator that ends a case which takes more memory than its input
//! justifies, and a folder in memory for what is read or written by path only.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that a case may hold whatever its input: tables of fixed size, messages, the pages of a zip.
pub const SLACK_BYTES: usize = 4 << 20;

/// Bytes that are allocated now, and how many may be.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn grow(bytes: usize) {
        let live = LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let limit = LIMIT.load(Relaxed);
        if live > limit {
            // The message needs memory too.
            LIMIT.store(usize::MAX, Relaxed);
            eprintln!("{live} bytes were to be allocated, and the input justifies {limit}");
            std::process::abort();
        }
    }
}

// SAFETY: every call is passed on as it is to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new are held at once, while the one is copied to the other.
        Counting::grow(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Runs a case, which may hold `per_byte` bytes for each of the `input` bytes, and [`SLACK_BYTES`] more.
/// The process is aborted if it takes more.
pub fn within<T>(input: usize, per_byte: usize, case: impl FnOnce() -> T) -> T {
    let allowed = input * per_byte + SLACK_BYTES;
    LIMIT.store(LIVE.load(Relaxed) + allowed, Relaxed);
    let result = case();
    LIMIT.store(usize::MAX, Relaxed);
    result
}

/// What errors call the input.
pub fn name() -> &'static Path {
    Path::new("the input")
}

/// An empty folder: the one that `FUZZ_FOLDER` names, or one of this process, which is left behind.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let own = || std::env::temp_dir().join(format!("plimsoll-fuzz-{}", std::process::id()));
        let folder = std::env::var_os("FUZZ_FOLDER").map_or_else(own, PathBuf::from);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        folder
    })
}

/// Panics unless the folder has these files and no others, and removes them.
pub fn nothing_but(names: &[&str]) {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder can be read")
        .map(|entry| entry.expect("it has a name").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, names, "other files were left than were written");
    for name in names {
        std::fs::remove_file(folder().join(name)).expect("a file can be removed");
    }
}

/// The first `N` bytes, which say how the rest is to be read.
pub fn split<const N: usize>(data: &[u8]) -> Option<(&[u8; N], &[u8])> {
    data.split_first_chunk()
}
