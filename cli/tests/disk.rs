//! Disks that are too small, that fill up, that cannot be written to, and folders that go away.

#![cfg(unix)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{Scratch, assert_has, printed};

/// A model whose checkpoints are of some 400 KiB.
const RUN: &str = r#"
[data]
text = "text.txt"
[[layer]]
type = "embedding"
size = 16
[[layer]]
type = "rnn"
hidden_size = 160
[[layer]]
type = "linear"
[train]
batch = 4
window = 5
steps = 1200
report_every = 1
[checkpoint]
every = "20 steps"
keep = 2
"#;

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("run.toml", RUN);
    scratch.write("text.txt", &"the quick brown fox jumps over the lazy dog\n".repeat(12));
    scratch
}

/// A disk of 4 MiB, unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount one.
    fn at(path: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size=4m{options}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        mount.is_ok_and(|made| made.status.success()).then_some(Self(path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fills the disk that `path` lies on, to the last byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

/// The program under way, and the lines it has said so far.
struct Talking {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Talking {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, said: Vec::new() }
    }

    /// Reads on until a line has `part` in it.
    fn until(&mut self, part: &str) {
        while !self.said.last().is_some_and(|line| line.contains(part)) {
            let next = self.lines.next().unwrap_or_else(|| panic!("no `{part}` in:\n{}", self.said.join("\n")));
            self.said.push(next.unwrap());
        }
    }

    /// Reads to the end; the exit code and all that was said.
    fn end(mut self) -> (Option<i32>, String) {
        self.said.extend(self.lines.map(Result::unwrap));
        (self.child.wait().unwrap().code(), self.said.join("\n"))
    }
}

fn assert_each_step_once(scratch: &Scratch, folder: &str, steps: u64) {
    let metrics = scratch.read(&format!("{folder}/metrics.jsonl"));
    let step = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap();
    assert!(metrics.lines().map(step).eq(1..=steps), "{folder}");
}

fn assert_same(scratch: &Scratch, a: &str, b: &str) {
    for file in ["metrics.jsonl", "model.safetensors"] {
        let read = |folder: &str| fs::read(scratch.path(folder).join(file)).unwrap();
        assert!(read(a) == read(b), "{file} of {a} and {b}");
    }
}

#[test]
fn a_disk_with_too_little_room_is_refused_before_the_run_with_both_numbers() {
    let scratch = scratch();
    scratch.write("many.toml", &RUN.replace("keep = 2", "keep = 2000000000"));
    let text = scratch.run("train many.toml --out a", 5);
    assert_has(&text, &["the disk holding a has too little room", "the run writes", "are free"]);
    assert!(!scratch.path("a").exists(), "nothing was written");
    let Some(disk) = SmallDisk::at(scratch.path("small"), "") else { return };
    scratch.write("ten.toml", &RUN.replace("keep = 2", "keep = 10"));
    let text = scratch.run("train ten.toml --out small/a", 5);
    assert_has(
        &text,
        &["the tmpfs (shared memory, and no disk) holding small/a has too little room", "and 4 MiB are free"],
    );
    assert!(fs::read_dir(&disk.0).unwrap().next().is_none(), "nothing was written");
}

#[test]
fn a_disk_that_fills_up_costs_a_checkpoint_and_nothing_else() {
    let scratch = scratch();
    let Some(disk) = SmallDisk::at(scratch.path("small"), "") else {
        return println!("no disk can be mounted here; a limit on files stands for it in the next test");
    };
    let mut run = Talking::start(&mut scratch.command("train run.toml --out small/a"));
    run.until("/1200  loss");
    fill(&disk.0.join("filler"));
    run.until("No checkpoint of step");
    // What was saved before is whole: a copy of the folder goes on from there.
    let copied = Command::new("cp").args(["-r", "small/a", "copy"]).current_dir(&scratch.0).status();
    fs::remove_file(disk.0.join("filler")).unwrap();
    assert!(copied.unwrap().success());
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    assert_has(&said, &["no disk) holding small/a/", "is full", "bytes were to be written, and ", "saved to"]);
    assert!(scratch.path("small/a/checkpoints/step-000001200.safetensors").is_file(), "the next ones were saved");
    assert_each_step_once(&scratch, "small/a", 1200);
    assert_has(&scratch.run("train --resume copy", 0), &["Going on from the checkpoint of step"]);
    assert_same(&scratch, "copy", "small/a");
}

#[test]
fn checkpoints_that_cannot_be_written_do_not_end_a_run() {
    let scratch = scratch();
    scratch.write("short.toml", &RUN.replace("steps = 1200", "steps = 60"));
    // Larger than the weights and the metrics, smaller than a checkpoint, in units of 512 or of 1024 bytes.
    let line = "trap '' XFSZ; ulimit -f 290; exec \"$0\" train short.toml --out a";
    let mut limited = Command::new("sh");
    limited.args(["-c", line, env!("CARGO_BIN_EXE_plimsoll")]).current_dir(&scratch.0);
    let text = printed(&mut limited, 0);
    assert_has(&text, &["No checkpoint of step 0: ", "No checkpoint of step 20: ", "Training goes on", "saved to"]);
    assert!(fs::read_dir(scratch.path("a/checkpoints")).unwrap().next().is_none(), "nothing half written is left");
    assert_each_step_once(&scratch, "a", 60);
    scratch.run("train short.toml --out b", 0);
    assert_same(&scratch, "a", "b");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused_before_the_run() {
    let scratch = scratch();
    let disk = SmallDisk::at(scratch.path("small"), ",ro");
    let said = if disk.is_some() { "it lies on a read-only disk" } else { "no permission" };
    if disk.is_none() {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(scratch.path("small"), fs::Permissions::from_mode(0o555)).unwrap();
    }
    assert_has(&scratch.run("train run.toml --out small/a", 5), &["small/a", said]);
}

#[test]
fn a_folder_that_is_removed_under_a_run_costs_its_metrics_but_not_the_weights() {
    let scratch = scratch();
    let mut run = Talking::start(&mut scratch.command("train run.toml --out a"));
    run.until("/1200  loss");
    // A checkpoint may just be coming into it.
    while scratch.path("a").exists() {
        let _ = fs::remove_dir_all(scratch.path("a"));
    }
    run.until("No checkpoint of step");
    let (code, said) = run.end();
    assert_eq!(code, Some(5), "{said}");
    assert_has(&said, &["cannot write a/metrics.jsonl: the folder a does not exist"]);
    scratch.run("sample a --length 5", 0);
}

/// The host's memory has an error of its own, with its own numbers, before anything is read or taken.
#[cfg(target_os = "linux")]
#[test]
fn a_file_and_a_run_that_the_host_has_no_memory_for_are_refused_with_the_numbers() {
    let scratch = Scratch::with_run();
    // Takes no room on the disk, and more than any memory.
    let sparse = |name: &str, bytes: u64| File::create(scratch.path(name)).unwrap().set_len(bytes).unwrap();
    sparse("text.txt", 1 << 43);
    let refused =
        ["the host has too little memory", "text.txt is read as a whole, which takes 8 TiB", "are available, by "];
    assert_has(&scratch.run("train run.toml --out a", 3), &refused);
    assert!(!scratch.path("a").exists());
    sparse("x.safetensors", 1 << 43);
    fs::write(scratch.path("text.txt"), "the quick brown fox\n".repeat(40)).unwrap();
    let text = scratch.run("train run.toml --out a --init x.safetensors", 3);
    assert_has(&text, &["x.safetensors is read as a whole, which takes 8 TiB"]);

    // A limit of the process is heeded as the system's is. Model and state are some 850 MiB.
    let wide = scratch.read("run.toml").replace("hidden_size = 8", "hidden_size = 5600");
    scratch.write("wide.toml", &wide);
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_plimsoll");
    command.args(["-c", &format!("ulimit -v 1100000; exec {program} train wide.toml --out b")]).current_dir(&scratch.0);
    let text = printed(&mut command, 3);
    assert_has(&text, &["the run beside its data (batches ", "`ulimit -v`"]);
}
