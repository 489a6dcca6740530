//! A long run holds what it held at its start: bytes and buffers of the device, memory of the process, file
//! handles, threads; and a process can have one session after the other. Alone in its process, which it measures.
//!
//! Short by itself. `make soak` asks for more by `SOAK_STEPS` and `SOAK_SESSIONS`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use plimsoll::config::Config;
use plimsoll::device::Device;
use plimsoll::engine::Held;
use plimsoll::nn::{Model, Task};
use plimsoll::run::{Folder, Learner, Run, Tally, Watcher};
use plimsoll::training::{Batch, Session, StepReport, Training};

/// A text by an LSTM with dropout, in micro-steps, evaluated and saved again and again.
const TEXT: &str = r#"
[data]
text = "text.txt"
[[layer]]
type = "embedding"
size = 8
[[layer]]
type = "lstm"
hidden_size = 16
layers = 2
dropout = 0.1
[[layer]]
type = "linear"
[train]
batch = 4
window = 8
accumulate = 2
steps = STEPS
evaluate_every = 100
[checkpoint]
every = "50 steps"
"#;

/// A table by a perceptron in halves, shuffled, by a loader with threads of its own.
const TABLE: &str = r#"
[data]
type = "table"
file = "table.csv"
inputs = ["a", "b"]
targets = ["y"]
workers = 2
[[layer]]
type = "linear"
out_features = 16
[[layer]]
type = "relu"
[[layer]]
type = "linear"
[train]
batch = 8
storage = "f16"
steps = STEPS
evaluate_every = 100
[checkpoint]
every = "50 steps"
"#;

/// What the process and the device hold.
#[derive(Clone, Copy, Debug)]
struct Now {
    device: Option<Held>,
    /// Of the process, where the system tells.
    resident_bytes: Option<u64>,
    files: Option<u64>,
    threads: Option<u64>,
}

impl Now {
    fn on(device: &Device) -> Self {
        let of = |name: &str| {
            let status = fs::read_to_string("/proc/self/status").ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().nth(0)?.parse::<u64>().ok()
        };
        let files = fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64);
        Self { device: device.held(), resident_bytes: of("VmRSS:").map(|k| 1024 * k), files, threads: of("Threads:") }
    }
}

/// Looks at all that is held, a hundred times in a run.
struct Meter<'a> {
    device: &'a Device,
    every: u64,
    seen: Vec<(u64, Now)>,
}

impl Watcher for Meter<'_> {
    fn stepped(&mut self, session: &Session, _: &[StepReport], _: &Tally) {
        let step = session.steps();
        if self.seen.last().is_none_or(|(last, _)| step >= last + self.every) {
            self.seen.push((step, Now::on(self.device)));
        }
    }

    fn told(&mut self, news: &str) {
        panic!("nothing is worth telling here, but: {news}");
    }
}

fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect(name))
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The greatest and the least of what some have.
fn range(all: impl Iterator<Item = Option<u64>>) -> Option<(u64, u64)> {
    let all: Vec<u64> = all.flatten().collect();
    Some((*all.iter().min()?, *all.iter().max()?))
}

#[test]
fn a_long_run_and_many_sessions_hold_what_one_step_and_one_session_hold() {
    let scratch = Scratch(std::env::temp_dir().join(format!("plimsoll-soak-{}", std::process::id())));
    fs::create_dir_all(&scratch.0).unwrap();
    fs::write(scratch.0.join("text.txt"), "the quick brown fox jumps over the lazy dog\n".repeat(40)).unwrap();
    let row = |i: u32| format!("{},{},{}\n", i % 7, f64::from(i % 50) / 50.0, i % 5);
    fs::write(scratch.0.join("table.csv"), format!("a,b,y\n{}", (0..200).map(row).collect::<String>())).unwrap();
    let device = Device::open().unwrap();
    let before = device.held();
    for (name, text) in [("text", TEXT), ("table", TABLE)] {
        train(&scratch.0, name, text, &device);
    }
    one_after_the_other(&device);
    assert_eq!(device.held(), before, "what dropped sessions held is given back");
}

fn train(scratch: &Path, name: &str, text: &str, device: &Device) {
    let steps = asked("SOAK_STEPS", 400) / 2;
    let file = scratch.join(format!("{name}.toml"));
    fs::write(&file, text.replace("STEPS", &steps.to_string())).unwrap();
    let run = Run::new(Config::read(&file).unwrap()).unwrap();
    let folder = Folder::create(&scratch.join(name)).unwrap();
    let session = Session::start(run.plan(device.target()).unwrap(), device).unwrap();
    let planned = session.plan().planned_bytes();
    let mut meter = Meter { device, every: (steps / 100).max(1), seen: Vec::new() };
    let started = Instant::now();
    let learner = Learner::begin(&run, folder, session, "").unwrap();
    let (session, _) = learner.learn(&mut || Ok(Device::open()?), &mut meter).unwrap();
    assert_eq!(session.steps(), steps);
    assert_eq!(session.allocations_after_first_step().unwrap_or(0), 0);
    // Threads that save come and go, and what the process holds is steady once each thing was done once.
    let settled: Vec<Now> = meter.seen.iter().filter(|(step, _)| *step > steps / 4).map(|(_, now)| *now).collect();
    let bytes = range(settled.iter().map(|now| now.device.map(|held| held.bytes)));
    let buffers = range(settled.iter().map(|now| now.device.map(|held| held.buffers)));
    let [resident, files, threads] = [|now: &Now| now.resident_bytes, |now: &Now| now.files, |now: &Now| now.threads]
        .map(|of| range(settled.iter().map(of)));
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{name}: {steps} steps in {seconds:.0} s; planned {planned} B; from step {} on, least and most: device \
         {bytes:?} B in {buffers:?} buffers; resident {resident:?} B; files {files:?}; threads {threads:?}",
        steps / 4
    );
    assert!(bytes.is_none_or(|range| range == (planned, planned)), "{bytes:?} of {planned}");
    assert!(buffers.is_none_or(|(least, most)| least == most));
    // One file and one thread for the checkpoint that is being written.
    assert!(files.is_none_or(|(least, most)| most - least <= 1), "{files:?}");
    assert!(threads.is_none_or(|(least, most)| most - least <= 1), "{threads:?}");
    assert!(resident.is_none_or(|(least, most)| most - least < 8 << 20), "{resident:?}");
}

fn one_after_the_other(device: &Device) {
    let sessions = asked("SOAK_SESSIONS", 20);
    let training = Training::new(Model::new().embedding(8).lstm(16).output(), Task::next_token(11), 4).window(5);
    let ids = |from: u32| (from..from + 20).map(|i| i % 11).collect();
    let batch = Batch::tokens(ids(0), ids(1));
    let mut seen = Vec::new();
    for _ in 0..sessions {
        let before = device.held();
        let mut session = Session::new(&training, device).unwrap();
        for _ in 0..3 {
            session.step(&batch).unwrap();
        }
        session.finish().unwrap();
        drop(session);
        assert_eq!(device.held(), before, "a session that is dropped returns every byte");
        seen.push(Now::on(device));
    }
    let settled = &seen[seen.len() / 2..];
    let [resident, files, threads] = [|now: &Now| now.resident_bytes, |now: &Now| now.files, |now: &Now| now.threads]
        .map(|of| range(settled.iter().map(of)));
    println!("{sessions} sessions: second half resident {resident:?} B; files {files:?}; threads {threads:?}");
    assert!(files.is_none_or(|(least, most)| least == most), "{files:?}");
    assert!(threads.is_none_or(|(least, most)| least == most), "{threads:?}");
    assert!(resident.is_none_or(|(least, most)| most - least < 8 << 20), "{resident:?}");
}
