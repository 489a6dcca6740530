//! What a step will take, told before it runs: what is measured for it, kept, and left alone.

mod common;

use std::fs;
use std::process::Command;

use common::{Scratch, assert_has, printed};
use serde_json::Value;

/// The program with a folder for what it measures within the test's own.
fn command(scratch: &Scratch, args: &str) -> Command {
    let mut command = scratch.command(args);
    // The driver would keep its compiled kernels there too.
    command.env("XDG_CACHE_HOME", scratch.path("cache")).env("MESA_SHADER_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(scratch: &Scratch, args: &str) -> String {
    printed(&mut command(scratch, args), 0)
}

/// What is kept of probes: names and contents.
fn kept(scratch: &Scratch) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(scratch.path("cache/plimsoll")) else { return Vec::new() };
    let read = |path: std::path::PathBuf| (path.display().to_string(), fs::read_to_string(path).unwrap());
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

fn plan_json(scratch: &Scratch, args: &str) -> Value {
    serde_json::from_str(&run(scratch, &format!("plan run.toml --json {args}"))).unwrap()
}

#[test]
fn a_plan_tells_the_time_of_a_device_that_was_probed_and_of_no_other() {
    let scratch = Scratch::with_run();
    scratch.write("here.json", &run(&scratch, "adapters --json"));
    for profile in ["", "--profile here.json"] {
        let text = run(&scratch, &format!("plan run.toml {profile}"));
        assert_has(&text, &["time     not known", "plimsoll adapters --probe"]);
        let json = plan_json(&scratch, profile);
        assert!(json["seconds_per_step"].is_null() && json["probed"].is_null(), "{json}");
    }
    assert!(kept(&scratch).is_empty(), "a plan measures nothing");

    assert_has(&run(&scratch, "adapters --probe"), &["reaches ", " GB/s", "workgroups at once (probed 2"]);
    assert_eq!(kept(&scratch).len(), 1);
    let adapter = scratch.json("here.json")[0]["name"].as_str().unwrap().to_string();
    let text = run(&scratch, "plan run.toml --profile here.json");
    assert_has(&text, &["time     about ", &format!(" a step on {adapter} (probed 2")]);
    let json = plan_json(&scratch, "--profile here.json");
    let seconds = json["seconds_per_step"].as_f64().unwrap();
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds}");
    assert_eq!(json["probed"]["adapter"], adapter);
    assert!(json["probed"]["rates"]["dispatch_seconds"].as_f64().unwrap() > 0.0);
    // The made-up device of the default profile is none that could be probed.
    assert!(plan_json(&scratch, "")["seconds_per_step"].is_null());
    let probed = run(&scratch, "adapters --probe --json");
    let probed: Value = serde_json::from_str(&probed).unwrap();
    assert_eq!(probed[0]["probed"]["adapter"], adapter);
    assert!(scratch.json("here.json")[0].get("probed").is_none());
}

#[test]
fn a_training_probes_once_and_takes_no_memory_for_it_in_the_end() {
    let scratch = Scratch::with_run();
    let text = run(&scratch, "train run.toml --out first");
    assert_has(&text, &["A step will take about ", ", and 7 of them ", "(probed 2"]);
    let before = kept(&scratch);
    assert_eq!(before.len(), 1);
    assert!(scratch.json("first/plan.json")["seconds_per_step"].as_f64().unwrap() > 0.0);
    let summary = scratch.json("first/summary.json");
    if !summary["allocated_bytes"].is_null() {
        assert_eq!(summary["allocated_bytes"], summary["planned_bytes"]);
        assert_eq!(summary["allocations_after_first_step"], 0);
    }
    let log = run(&scratch, "train run.toml --out second --log info");
    assert!(!log.contains("probed the device"), "{log}");
    assert_eq!(kept(&scratch), before);
    // What is told beforehand changes nothing of what is learnt.
    run(&scratch, "train run.toml --out third --no-probe");
    let losses = |folder: &str| scratch.read(&format!("{folder}/metrics.jsonl"));
    assert_eq!(losses("first"), losses("third"));
    let bench: Value = serde_json::from_str(&run(&scratch, "bench run.toml --seconds 1ms --json")).unwrap();
    assert!(bench["predicted_ms"].as_f64().unwrap() > 0.0 && bench["probed"]["rates"].is_object());
    assert_eq!(kept(&scratch), before);
}

#[test]
fn without_a_probe_nothing_is_measured_read_or_kept() {
    let scratch = Scratch::with_run();
    let silent = |folder: &str| {
        let text = run(&scratch, &format!("train run.toml --no-probe --log info --out {folder}"));
        assert!(!text.contains("A step will take") && !text.contains("probe"), "{text}");
        let plan = scratch.json(&format!("{folder}/plan.json"));
        assert!(plan["seconds_per_step"].is_null() && plan["probed"].is_null());
        let bench = run(&scratch, "bench run.toml --no-probe --seconds 1ms");
        assert_has(&bench, &["expected", "nothing was probed"]);
    };
    silent("first");
    assert!(!scratch.path("cache/plimsoll").exists());
    run(&scratch, "adapters --probe");
    let before = kept(&scratch);
    silent("second");
    assert_eq!(kept(&scratch), before);
}

#[test]
fn a_damaged_or_unwritable_cache_ends_no_run_and_is_told_to_the_log() {
    let scratch = Scratch::with_run();
    scratch.write("here.json", &run(&scratch, "adapters --json"));
    run(&scratch, "adapters --probe");
    let (file, good) = kept(&scratch).remove(0);
    fs::write(&file, &good[..good.len() / 2]).unwrap();
    let told = run(&scratch, "plan run.toml --profile here.json --log warn");
    assert_has(&told, &["time     not known", "what is kept of a probe cannot be used"]);
    assert!(!run(&scratch, "plan run.toml --profile here.json").contains("cannot be used"));
    run(&scratch, "train run.toml --out first");
    let (_, mended) = kept(&scratch).remove(0);
    assert!(mended.len() > good.len() / 2 && serde_json::from_str::<Value>(&mended).is_ok(), "{mended}");

    scratch.write("file", "no folder");
    let mut command = command(&scratch, "train run.toml --out second --log warn");
    let told = printed(command.env("XDG_CACHE_HOME", scratch.path("file")), 0);
    assert_has(&told, &["A step will take about ", "what was probed is not kept"]);
    assert_eq!(scratch.read("file"), "no folder");
}

#[test]
fn a_run_goes_on_with_the_kernels_that_it_began_with() {
    let scratch = Scratch::with_run();
    run(&scratch, "adapters --probe");
    // As if a dispatch cost nothing and there were processors enough: then each timestep is one.
    let (file, text) = kept(&scratch).remove(0);
    let mut probed: Value = serde_json::from_str(&text).unwrap();
    probed["rates"]["dispatch_seconds"] = 0.0.into();
    probed["rates"]["workgroups"] = 64.0.into();
    fs::write(&file, probed.to_string()).unwrap();
    let dispatches = |folder: &str| scratch.json(&format!("{folder}/plan.json"))["dispatches_per_step"].clone();

    run(&scratch, "train run.toml --out first");
    assert_eq!(scratch.json("first/plan.json")["target"]["rates"], probed["rates"]);
    let (begun, stepwise) = (scratch.read("first/metrics.jsonl"), dispatches("first"));
    run(&scratch, "train run.toml --no-probe --out second");
    assert!(dispatches("second").as_u64() < stepwise.as_u64(), "a window is one dispatch: {stepwise}");
    assert_eq!(scratch.read("second/metrics.jsonl"), begun, "and makes the same numbers");
    let text = run(&scratch, "train --resume first --no-probe --steps 9");
    assert!(!text.contains("not to the bit"), "{text}");
    assert_eq!(dispatches("first"), stepwise);
    // What is no plan any more is none to go by, and the run says what that changes.
    scratch.write("first/plan.json", "{");
    let text = run(&scratch, "train --resume first --no-probe --steps 11");
    assert_has(&text, &["not to the bit", "the plan is another one"]);
}
