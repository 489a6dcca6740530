//! What the tests of the program share: a folder of its own for each, and the program run in it.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A small model on a small text, so that a run is a matter of a second.
pub(crate) const RUN: &str = r#"
[data]
text = "text.txt"
[[layer]]
type = "embedding"
size = 4
[[layer]]
type = "rnn"
hidden_size = 8
[[layer]]
type = "linear"
[train]
batch = 4
window = 5
accumulate = 2
steps = 7
report_every = 2
"#;

/// A folder of its own for a test, removed with all that is in it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("plimsoll-cli-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// One with `RUN` and its text in it.
    pub(crate) fn with_run() -> Self {
        let scratch = Self::new();
        scratch.write("run.toml", RUN);
        scratch.write("text.txt", &"the quick brown fox jumps over the lazy dog\n".repeat(12));
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// The program, to be run in this folder.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        // What is measured of a device is not kept in the home of who runs the tests.
        command.args(args.split_whitespace()).current_dir(&self.0).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command
    }

    /// What the program prints when it exits with `code`.
    pub(crate) fn run(&self, args: &str, code: i32) -> String {
        printed(&mut self.command(args), code)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `command` prints, and what it complains of, when it exits with `code`.
pub(crate) fn printed(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(code), "{command:?}\n{text}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    text
}

pub(crate) fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

/// The scalars in a run's event file: tag, step and number, in the order of the file.
pub(crate) fn scalars(folder: &Path) -> Vec<(String, u64, f32)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.to_string_lossy().contains("tfevents"));
    let mut files: Vec<_> = files.map(|path| fs::read(path).unwrap()).collect();
    // One that is empty may be left for who reads it.
    files.retain(|file| !file.is_empty());
    let ([file], mut found) = (&files[..], Vec::new()) else { panic!("{} event files", files.len()) };
    let mut rest = &file[..];
    while !rest.is_empty() {
        let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
        let event = fields(&rest[12..12 + length]);
        rest = &rest[16 + length..];
        let step = event.iter().find(|field| field.0 == 2).unwrap().1;
        for (_, _, summary) in event.into_iter().filter(|field| field.0 == 5) {
            for (_, _, value) in fields(summary) {
                let value = fields(value);
                let content = |number| value.iter().find(|field| field.0 == number).map(|field| field.2);
                let tag = String::from_utf8(content(1).unwrap().to_vec()).unwrap();
                if let Some(scalar) = content(2) {
                    found.push((tag, step, f32::from_le_bytes(scalar.try_into().unwrap())));
                }
            }
        }
    }
    found
}

/// The fields of a protobuf message: each one's number, and its content as an integer or as bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let length = bytes.iter().position(|byte| byte & 128 == 0).unwrap() + 1;
        let (number, rest) = bytes.split_at(length);
        *bytes = rest;
        number.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 127))
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let integer = if matches!(key & 7, 0 | 2) { varint(&mut bytes) } else { 0 };
        let length = match key & 7 {
            0 => 0,
            1 => 8,
            2 => usize::try_from(integer).unwrap(),
            _ => 4,
        };
        let (content, rest) = bytes.split_at(length);
        bytes = rest;
        found.push((key >> 3, integer, content));
    }
    found
}

/// The page at `path`, of which everything is there that it needs.
pub(crate) fn page(scratch: &Scratch, path: &str) -> String {
    let page = scratch.read(path);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for fetched in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(fetched), "the page has `{fetched}` in it");
    }
    assert!(!page.contains("NaN") && !page.contains("inf "), "a number that cannot be drawn");
    for tag in ["div", "section", "figure", "table", "svg", "script", "details", "span"] {
        let [opened, closed] = [format!("<{tag}"), format!("</{tag}>")].map(|text| page.matches(&text).count());
        assert_eq!(opened, closed, "<{tag}>");
    }
    page
}
