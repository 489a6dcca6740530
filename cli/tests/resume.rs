//! A run that is killed, damaged or interrupted, and taken up again: what comes out is the same to the bit.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Scratch, assert_has, scalars};

/// Carried state, dropout, a schedule that remembers, micro-steps: all that a state can have.
const TEXT: &str = r#"
[data]
text = "text.txt"
[[layer]]
type = "embedding"
size = 4
[[layer]]
type = "lstm"
hidden_size = 32
layers = 2
dropout = 0.2
[[layer]]
type = "linear"
[train]
batch = 4
window = 5
accumulate = 2
steps = 60
report_every = 7
evaluate_every = 9
schedule = { type = "plateau", patience = 1, factor = 0.7, threshold = 0.5 }
"#;

/// Examples that come in another order in each epoch.
const TABLE: &str = r#"
[data]
type = "table"
file = "table.csv"
inputs = ["a", "b"]
targets = ["c"]
workers = 1
[[layer]]
type = "linear"
out_features = 64
[[layer]]
type = "dropout"
p = 0.1
[[layer]]
type = "linear"
[train]
batch = 7
epochs = 9
report_every = 4
evaluate_every = 10
schedule = { type = "cosine" }
optimizer = { type = "rmsprop", momentum = 0.9, centered = true, learning_rate = 0.01 }
"#;

const SAVING: &str = "[checkpoint]\nevery = \"1 step\"\nkeep = 2\n";

/// Both runs, each with and without checkpoints, and their data.
fn runs() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("text.txt", &"the quick brown fox jumps over the lazy dog\n".repeat(12));
    let row = |i: u32| format!("{},{},{}\n", i % 7, f64::from(i) / 50.0, i % 5);
    scratch.write("table.csv", &format!("a,b,c\n{}", (0..50).map(row).collect::<String>()));
    for (name, run) in [("text", TEXT), ("table", TABLE)] {
        scratch.write(&format!("{name}.toml"), &format!("{run}{SAVING}"));
        scratch.write(&format!("{name}-whole.toml"), &format!("{run}[checkpoint]\nevery = \"never\"\n"));
    }
    scratch
}

/// A fixed sequence of numbers that look random (splitmix64).
struct Any(u64);

impl Any {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

fn bytes(scratch: &Scratch, name: &str) -> Vec<u8> {
    fs::read(scratch.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Whether the run in `folder` came to the same metrics and weights, to the bit, as that in `whole`.
fn assert_same(scratch: &Scratch, folder: &str, whole: &str) {
    for file in ["metrics.jsonl", "model.safetensors"] {
        let [found, wanted] = [folder, whole].map(|run| bytes(scratch, &format!("{run}/{file}")));
        assert!(found == wanted, "{folder}/{file} differs from {whole}'s:\n{}", String::from_utf8_lossy(&found));
    }
}

/// Whether TensorBoard is told what the metrics say, each step once.
#[allow(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are f32")]
fn assert_events_are_the_metrics(scratch: &Scratch, folder: &str) {
    let mut wanted = Vec::new();
    for line in scratch.read(&format!("{folder}/metrics.jsonl")).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let names = ["loss", "learning_rate", "grad_norm"].map(|name| (name, format!("train/{name}")));
        let names = names.into_iter().chain([("validation_loss", "validation/loss".to_string())]);
        for (name, tag) in names.filter(|(name, _)| line.get(name).is_some()) {
            // The shortest decimal that reads back to the same bits: those of an f32, but for the validation's.
            let text = line[name].to_string();
            let wide = || text.parse::<f64>().unwrap() as f32;
            let number = if name == "validation_loss" { wide() } else { text.parse().unwrap() };
            wanted.push((tag, line["step"].as_u64().unwrap(), number));
        }
    }
    let found = scalars(&scratch.path(folder));
    assert!(found.len() > 60 && found == wanted, "{folder}: {found:?}\nwanted {wanted:?}");
}

/// The files of checkpoints that were being written.
fn being_written(folder: &Path) -> usize {
    let names = fs::read_dir(folder.join("checkpoints")).into_iter().flatten().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().contains(".safetensors.")).count()
}

/// Starts the program with its output going nowhere.
fn start(scratch: &Scratch, args: &str) -> Child {
    scratch.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills `child`: after a while, or as soon as a checkpoint is being written; false if it ended before.
fn kill(mut child: Child, folder: &Path, during_a_save: bool, most: Duration, any: &mut Any) -> bool {
    let started = Instant::now();
    let micros = u64::try_from(most.as_micros()).unwrap();
    let wait = Duration::from_micros(any.below(micros));
    loop {
        let waited = started.elapsed() >= wait;
        if waited && (!during_a_save || being_written(folder) > 0) {
            break;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if waited {
            std::thread::yield_now();
        } else {
            std::thread::sleep((wait - started.elapsed().min(wait)).min(Duration::from_millis(2)));
        }
    }
    // It may just have ended by itself.
    let _ = child.kill();
    child.wait().unwrap().code().is_none()
}

#[test]
fn killed_at_any_moment_and_resumed_a_run_ends_as_if_it_had_never_been() {
    const KILLS: u32 = 40;
    let (scratch, mut any) = (runs(), Any(11));
    let mut lasted = Vec::new();
    for run in ["text", "table"] {
        let started = Instant::now();
        scratch.run(&format!("train {run}-whole.toml --out {run}-whole"), 0);
        lasted.push(started.elapsed());
    }
    let (mut kills, mut torn, mut runs, mut tries) = (0, 0, 0, 0);
    while kills < KILLS {
        let which = runs % 2;
        let name = ["text", "table"][which];
        let (folder, most) = (format!("{name}-{runs}"), lasted[which]);
        let mut args = format!("train {name}.toml --out {folder}");
        // Each run is killed some times, and then left to end.
        for _ in 0..8 {
            let path = scratch.path(&folder);
            let killed = kill(start(&scratch, &args), &path, tries % 3 != 0, most, &mut any);
            (kills, tries) = (kills + u32::from(killed), tries + 1);
            torn += usize::from(being_written(&path) > 0);
            args = match path.join("config.toml").is_file() {
                true => format!("train --resume {folder}"),
                false => format!("train {name}.toml --out {folder} --force"),
            };
            if !killed {
                break;
            }
        }
        let said = scratch.run(&args, 0);
        assert!(!said.contains("damaged") && !said.contains("Not to the bit"), "{said}");
        assert_same(&scratch, &folder, &format!("{name}-whole"));
        assert_events_are_the_metrics(&scratch, &folder);
        assert_eq!(being_written(&scratch.path(&folder)), 0, "nothing half written is left");
        runs += 1;
    }
    println!("{kills} kills in {runs} runs, {torn} of them in the middle of a save; no bit differs");
    assert!(torn >= 5, "of {kills} kills only {torn} came in the middle of a save");
}

/// What damage does to a file.
fn damaged(bytes: &[u8], how: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match how {
        "cut" => bytes.truncate(bytes.len() * 2 / 3),
        "flipped" => *bytes.last_mut().unwrap() ^= 4,
        _ => bytes.clear(),
    }
    bytes
}

#[test]
fn a_damaged_checkpoint_is_found_out_and_the_one_before_it_is_used() {
    let scratch = runs();
    scratch.run("train text.toml --out whole", 0);
    let newest = "checkpoints/step-000000060.safetensors";
    for (how, said) in [("cut", "bytes follow the header"), ("flipped", "its checksum is"), ("empty", "it has 0 bytes")]
    {
        scratch.run(&format!("train text.toml --steps 60 --out {how}"), 0);
        let path = scratch.path(how).join(newest);
        fs::write(&path, damaged(&fs::read(&path).unwrap(), how)).unwrap();
        let text = scratch.run(&format!("train --resume {how}"), 0);
        assert_has(&text, &[said, "step-000000060", "The one before it is used", "from the checkpoint of step 59"]);
        assert_same(&scratch, how, "whole");
        assert!(path.with_extension("damaged").is_file() && path.is_file(), "{how}");
    }
    // With none left that is whole there is nothing to go on with.
    for step in [59, 60] {
        fs::write(scratch.path(&format!("cut/checkpoints/step-{step:09}.safetensors")), "").unwrap();
    }
    assert_has(&scratch.run("train --resume cut", 2), &["no checkpoint in cut is whole"]);
}

#[test]
fn what_may_change_when_a_run_goes_on_may_and_says_so_and_the_rest_is_refused() {
    let scratch = runs();
    scratch.run("train text.toml --steps 30 --out a", 0);
    let longer = TEXT.to_string() + SAVING;
    scratch
        .write("split.toml", &longer.replace("accumulate = 2", "accumulate = 4").replace("steps = 60", "steps = 40"));
    let text = scratch.run("train split.toml --resume a", 0);
    assert_has(&text, &["checkpoint of step 30", "not to the bit", "`accumulate` was 2 and is 4", "40/40"]);
    let metrics = scratch.read("a/metrics.jsonl");
    let steps = metrics.lines().filter(|line| line.contains("tokens")).count();
    assert_eq!(steps, 40, "each step once");

    // A run that is longer than it was is that run, if nothing depends on its length.
    scratch.run("train text-whole.toml --out whole", 0);
    scratch.run("train text.toml --steps 20 --out b", 0);
    let text = scratch.run("train --resume b --steps 60", 0);
    assert!(!text.contains("not to the bit"), "{text}");
    assert_same(&scratch, "b", "whole");

    scratch
        .write("other.toml", &longer.replace("hidden_size = 32", "hidden_size = 33").replace("batch = 4", "batch = 8"));
    let text = scratch.run("train other.toml --resume a", 2);
    assert_has(&text, &["another run", "it was hidden_size = 32", "now is hidden_size = 33", "now is batch = 8"]);
    scratch.write("text.txt", &"the quick brown dog jumps over the lazy fox\n".repeat(12));
    assert_has(&scratch.run("train --resume a", 2), &["the data are not what they were"]);
    for (args, said) in [
        ("train --resume nothing", "nothing is no folder"),
        ("train --resume text-whole-nothing", "is no folder"),
        ("train --resume whole", "it has no checkpoint"),
        ("train --resume a --out c", "cannot be used with"),
        ("train --resume a --init x", "cannot be used with"),
    ] {
        assert_has(&scratch.run(args, 2), &[said]);
    }
}

#[test]
fn weights_that_a_run_started_from_are_part_of_what_is_resumed() {
    let scratch = runs();
    scratch.run("train text.toml --steps 3 --out first", 0);
    scratch.run("train text.toml --steps 20 --init first/model.safetensors --out whole", 0);
    scratch.run("train text.toml --steps 9 --init first/model.safetensors --out a", 0);
    fs::remove_dir_all(scratch.path("first")).unwrap();
    scratch.run("train --resume a --steps 20", 0);
    assert_same(&scratch, "a", "whole");
    assert_has(&scratch.read("a/config.toml"), &["# started from the weights in \"first/model.safetensors\""]);
}

/// Waits for `done`, which is about `child`.
fn wait_for(child: &mut Child, mut done: impl FnMut() -> bool) {
    while !done() {
        assert!(child.try_wait().unwrap().is_none(), "the training ended by itself");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn has_begun(scratch: &Scratch, folder: &str) -> bool {
    fs::metadata(scratch.path(folder).join("metrics.jsonl")).is_ok_and(|about| about.len() > 0)
}

#[test]
fn two_runs_do_not_write_to_one_folder() {
    let scratch = runs();
    let mut first = start(&scratch, "train text.toml --steps 100000 --out a");
    wait_for(&mut first, || has_begun(&scratch, "a"));
    let process = first.id().to_string();
    for second in ["train text.toml --out a --force", "train --resume a"] {
        assert_has(&scratch.run(second, 2), &["a is in use", &process, "is writing to it"]);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock is gone with its process, whatever the process was able to do.
    assert_has(&scratch.run("train --resume a --steps 1", 0), &["Going on from the checkpoint"]);
}

#[cfg(unix)]
fn signal(child: &Child, signals: &[&str]) {
    // The shell's own `kill`: a bare system has no program of that name.
    let each = signals.iter().map(|signal| format!("kill -{signal} {}", child.id()));
    let line = each.collect::<Vec<_>>().join("; sleep 0.05; ");
    Command::new("sh").args(["-c", &line]).status().unwrap();
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_a_run_that_goes_on_to_the_bit_and_a_second_one_tears_nothing() {
    let scratch = runs();
    // Much to look at when the run ends, so that a second interrupt finds it busy.
    scratch.write("text.txt", &"the quick brown fox jumps over the lazy dog\n".repeat(1000));
    for name in ["text", "text-whole"] {
        let slow = scratch.read(&format!("{name}.toml")).replace("evaluate_every = 9\n", "evaluate_every = 100000\n");
        let slow = slow.replace("1 step", "20 steps").replace("text.txt\"", "text.txt\"\nvalidation = 0.5");
        scratch.write(&format!("{name}.toml"), &slow);
    }
    let begun = |folder: &str| {
        let mut command = scratch.command(&format!("train text.toml --steps 100000 --out {folder}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&mut child, || has_begun(&scratch, folder));
        child
    };
    let mut steps = Vec::new();
    for (folder, once) in [("a", "INT"), ("b", "TERM")] {
        let child = begun(folder);
        signal(&child, &[once]);
        let Output { status, stdout, .. } = child.wait_with_output().unwrap();
        assert!(status.success(), "{status}");
        assert_has(&String::from_utf8_lossy(&stdout), &["Ended early, after step", "validation loss"]);
        let ended = scratch.json(&format!("{folder}/summary.json"))["steps"].as_u64().unwrap();
        assert!(scratch.path(folder).join(format!("checkpoints/step-{ended:09}.safetensors")).is_file());
        steps.push(ended);
    }
    let twice = begun("c");
    signal(&twice, &["INT", "INT"]);
    let Output { status, .. } = twice.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(!scratch.path("c/model.safetensors").exists(), "what was not saved is not there, rather than torn");

    let end = steps.iter().max().unwrap() + 7;
    scratch.run(&format!("train text-whole.toml --steps {end} --out whole"), 0);
    for folder in ["a", "b", "c"] {
        scratch.run(&format!("train --resume {folder} --steps {end}"), 0);
        if folder != "c" || scratch.json("c/summary.json")["steps"] == end {
            assert_same(&scratch, folder, "whole");
        }
    }
}

#[test]
fn a_run_from_which_nothing_can_come_ends_and_leaves_the_last_weights_that_are_numbers() {
    let scratch = runs();
    let wild = format!("{TEXT}optimizer = {{ type = \"sgd\", learning_rate = 1e30 }}\n");
    scratch.write("wild.toml", &format!("{wild}{SAVING}"));
    let text = scratch.run("train wild.toml --out a", 2);
    let said =
        ["has the loss", "the first number that is not finite is in", "layer `lstm`", "`learning_rate`", "`--init`"];
    assert_has(&text, &said);
    let weights = |folder: &str| {
        let file = bytes(&scratch, &format!("{folder}/model.safetensors"));
        let header = 8 + usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
        file[header..].to_vec()
    };
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    assert!(weights("a").chunks_exact(4).all(|b| number(b).is_finite()), "a number that is none was saved");
    // It is said to be of the step before the one that taught nothing.
    let first = scratch.read("a/metrics.jsonl").lines().filter(|line| !line.contains("skipped")).count();
    assert_eq!(scratch.json("a/summary.json")["steps"], first);
    // With state that is carried, the steps since the last checkpoint are made again: from the first step here.
    scratch.write("rare.toml", &wild);
    let text = scratch.run("train rare.toml --out g", 2);
    assert!(!text.contains("made again from the state that is carried now"), "{text}");
    assert_has(&text, &["the first number that is not finite is in"]);
    assert!(bytes(&scratch, "g/model.safetensors") == bytes(&scratch, "a/model.safetensors"));
    assert!(scratch.path("g").join(format!("checkpoints/step-{first:09}.safetensors")).is_file());
    let may = format!("{wild}non_finite = \"skip\"\n");
    scratch.write("may.toml", &may);
    let end = first + 4;
    scratch.run(&format!("train may.toml --steps {end} --resume g"), 0);
    scratch.run(&format!("train may.toml --steps {end} --out g-whole"), 0);
    assert!(weights("g") == weights("g-whole") && scratch.json("g/summary.json")["skipped_steps"] == 4);
    // The device kept them, so that it takes no checkpoints.
    scratch.write("never.toml", &format!("{wild}[checkpoint]\nevery = \"never\"\n"));
    scratch.run("train never.toml --out b", 2);
    assert!(bytes(&scratch, "b/model.safetensors") == bytes(&scratch, "a/model.safetensors"));
    // A run that was stopped is saved as it was before the step, and can go on past it once it may.
    let row = |i: u32| format!("{},{},{}\n", f64::from(i % 7) / 7.0, if i == 35 { "1e30" } else { "0.5" }, i % 5);
    scratch.write("one_bad.csv", &format!("a,b,c\n{}", (0..100).map(row).collect::<String>()));
    let stops = "[data]\ntype = \"table\"\nfile = \"one_bad.csv\"\ninputs = [\"a\", \"b\"]\ntargets = [\"c\"]\n\
        standardise = false\nshuffle = false\nvalidation = 0.0\n[[layer]]\ntype = \"linear\"\n[train]\nbatch = 10\nsteps = 9\n";
    let skips = format!("{stops}non_finite = \"skip\"\n");
    scratch.write("stops.toml", stops);
    scratch.write("skips.toml", &skips);
    let text = scratch.run("train stops.toml --out d", 2);
    assert_has(&text, &["Step 4 has the loss", "in what the layer `loss` makes"]);
    assert!(scratch.path("d/checkpoints/step-000000003.safetensors").is_file());
    scratch.run("train skips.toml --resume d", 0);
    scratch.run("train skips.toml --out d-whole", 0);
    assert!(weights("d") == weights("d-whole"));
    assert_eq!(scratch.json("d/summary.json")["skipped_steps"], 1);
    // Each step is finite in what it is told by, and the update is not: such weights are never saved.
    let table = "[data]\ntype = \"table\"\nfile = \"table.csv\"\ninputs = [\"a\", \"b\"]\ntargets = [\"c\"]\nstandardise = false\n\
        [[layer]]\ntype = \"linear\"\n[train]\nbatch = 10\nsteps = 1\n\
        optimizer = { type = \"sgd\", learning_rate = 3e38 }\n";
    scratch.write("huge.toml", &format!("{table}{SAVING}"));
    let text = scratch.run("train huge.toml --out e", 2);
    assert_has(
        &text,
        &["no longer being finite after step 1, the weights of the checkpoint of step 0 are in the folder"],
    );
    assert!(weights("e").chunks_exact(4).all(|b| number(b).is_finite()), "a number that is none was saved");
    scratch.write("bare.toml", &format!("{table}[checkpoint]\nevery = \"never\"\n"));
    assert_has(&scratch.run("train bare.toml --out f", 2), &["Nothing is saved, for there is no checkpoint"]);
    assert!(!scratch.path("f/model.safetensors").exists());
    // Passed over, such steps end the run all the same if there is nothing else.
    scratch.write("skip.toml", &format!("{wild}non_finite = \"skip\"\n"));
    assert_has(
        &scratch.run("train skip.toml --steps 400 --out c", 2),
        &["The step changed nothing, and training goes on", "100th in a row"],
    );
    assert!(weights("c") == weights("a"));
    assert!(scratch.read("c/metrics.jsonl").contains("\"skipped\":true"));
}
