//! A budget in bytes, as users meet it: what is run in it, what it costs, and what is said where nothing fits.

mod common;

use common::{RUN, Scratch, assert_has};
use serde_json::Value;

/// The run of all these tests in windows long enough to be cut.
fn scratch() -> Scratch {
    let scratch = Scratch::with_run();
    let run = RUN.replace("window = 5", "window = 48").replace("batch = 4", "batch = 8");
    scratch.write("run.toml", &run.replace("hidden_size = 8", "hidden_size = 32"));
    scratch
}

fn json(scratch: &Scratch, command: &str, code: i32) -> Value {
    serde_json::from_str(&scratch.run(command, code)).unwrap()
}

#[test]
fn a_run_that_does_not_fit_is_planned_trained_and_taken_up_in_another_way() {
    let scratch = scratch();
    let whole = json(&scratch, "plan run.toml --json", 0);
    assert!(whole["bargain"].is_null());
    let budget = whole["planned_bytes"].as_u64().unwrap() * 2 / 3;
    let text = scratch.run(&format!("plan run.toml --memory {budget}"), 0);
    assert_has(&text, &["bargain", "as described it takes", "the same updates", "FITS"]);
    let smaller = json(&scratch, &format!("plan run.toml --memory {budget} --json"), 0);
    assert!(smaller["planned_bytes"].as_u64().unwrap() <= budget);
    assert_eq!(smaller["bargain"]["asked_bytes"], whole["planned_bytes"]);
    assert!(smaller["bargain"]["times_longer"].as_f64().unwrap() > 1.0);
    // It learns what the run as described learns.
    scratch.run("train run.toml --no-probe --out whole", 0);
    scratch.run(&format!("train run.toml --no-probe --memory {budget} --out smaller"), 0);
    let losses = |folder: &str| -> Vec<f64> {
        let lines = std::fs::read_to_string(scratch.path(&format!("{folder}/metrics.jsonl"))).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["loss"].as_f64()).collect()
    };
    let (wanted, found) = (losses("whole"), losses("smaller"));
    assert_eq!(wanted.len(), found.len());
    assert!(wanted.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-6 * a), "{wanted:?} {found:?}");
    let summary: Value =
        serde_json::from_str(&std::fs::read_to_string(scratch.path("smaller/summary.json")).unwrap()).unwrap();
    assert!(summary["planned_bytes"].as_u64().unwrap() <= budget);
    assert_eq!(summary["planned_bytes"], summary["allocated_bytes"]);
    // Taken up, it is run in the same way.
    let text = scratch.run("train --no-probe --resume smaller --steps 9", 0);
    assert_has(&text, &["bargain"]);
    assert!(!text.contains("not to the bit"), "{text}");
}

#[test]
fn fit_shows_what_memory_buys_and_writes_the_run_that_fits() {
    let scratch = scratch();
    let fit = json(&scratch, "fit run.toml --json", 0);
    let front = fit["front"].as_array().unwrap().clone();
    assert!(front.len() > 3 && !fit["front_in_halves"].as_array().unwrap().is_empty());
    let bytes: Vec<u64> = front.iter().map(|offer| offer["bytes"].as_u64().unwrap()).collect();
    assert!(bytes.is_sorted_by(|a, b| a > b), "{bytes:?}");
    assert_eq!(fit["chosen"], fit["described"]);
    let middle = bytes[bytes.len() / 2];
    let text = scratch.run(&format!("fit run.toml --memory {middle} --out smaller.toml --svg front.svg"), 0);
    assert_has(&text, &["as described", "the fastest that fits", "FITS", "segment", "smaller.toml", "estimates"]);
    let picture = std::fs::read_to_string(scratch.path("front.svg")).unwrap();
    assert_has(&picture, &["<svg", "the load line", "seconds a step", "storage f16"]);
    // Beside both fronts and the legend stands the run as described, which is slower than one that saves nothing.
    assert!(!front.contains(&fit["described"]));
    assert_eq!(picture.matches("<circle").count(), front.len() + fit["front_in_halves"].as_array().unwrap().len() + 3);
    // What was written is what was shown, and needs no bargain.
    let planned = json(&scratch, "plan smaller.toml --json", 0);
    assert!(planned["bargain"].is_null() && planned["planned_bytes"].as_u64().unwrap() <= middle);
    assert_eq!(planned["memory"]["bytes"].as_u64().unwrap(), middle);
    // Above a run that saves already stands what it would take without; it stays the choice.
    let run = std::fs::read_to_string(scratch.path("run.toml")).unwrap();
    scratch.write("saving.toml", &run.replace("accumulate = 2", "accumulate = 4"));
    let saving = json(&scratch, "fit saving.toml --json", 0);
    let (first, described) = (&saving["front"][0], &saving["described"]);
    assert_eq!((first, &saving["chosen"]), (&front[0], described));
    assert_eq!(described["way"]["accumulate"], 4);
    let of = |offer: &Value| ["bytes", "seconds"].map(|key| offer[key].as_f64().unwrap());
    let ([bytes, seconds], [less, longer]) = (of(first), of(described));
    assert!(bytes > less && seconds < longer, "{first} {described}");
    assert_has(
        &scratch.run("fit saving.toml --svg saving.svg", 0),
        &["as described; fits", "The run file saves memory itself"],
    );
    let drawn = std::fs::read_to_string(scratch.path("saving.svg")).unwrap();
    assert_eq!(drawn.matches("r=\"8\"").count(), 1, "the choice is drawn, on the front or beside it");
}

/// Of a device that a probe found quicker with a texture.
#[test]
fn every_command_chooses_the_same_of_a_budget_with_a_texture_and_without() {
    let scratch = scratch();
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/lavapipe.json");
    let mut profile: Value = serde_json::from_str(&std::fs::read_to_string(profile).unwrap()).unwrap();
    // Of a name that no adapter has, as what was probed of one by that name would be taken instead.
    profile["name"] = "an adapter of textures".into();
    profile["rates"] = serde_json::json!({
        "unit_seconds": 7.9e-10, "tile_terms": 13.0, "workgroups": 2.0, "bytes_per_second": 1.6e9, "dispatch_seconds": 4e-5,
        "recording_seconds": 2e-6, "submission_seconds": 1e-4,
        "textures": {"tiles": 0.3, "streams": 0.3, "seconds": 1e-6, "bytes_per_second": 28e9},
    });
    scratch.write("textured.json", &profile.to_string());
    let run = scratch.read("run.toml").replace("[train]", "[train]\nstorage = \"f16\"");
    scratch.write("halves.toml", &run);
    for run in ["run.toml", "halves.toml"] {
        let whole = json(&scratch, &format!("plan {run} --profile textured.json --json"), 0);
        assert!(whole["roles"]["texture"].as_u64().unwrap() > 0, "{whole}");
        let whole = whole["planned_bytes"].as_u64().unwrap();
        let mut with = 0;
        for budget in (10..=20).step_by(2).map(|twentieths| whole * twentieths / 20) {
            let plan = format!("plan {run} --profile textured.json --memory {budget}");
            let text = scratch.run(&plan, 0);
            assert!(text.contains("FITS") && !text.contains("pieces larger"), "{text}");
            let plan = json(&scratch, &format!("{plan} --json"), 0);
            let fit = json(&scratch, &format!("fit {run} --device textured.json --memory {budget} --json"), 0);
            assert_eq!(fit["planned_bytes"], plan["planned_bytes"], "{run}, {budget} B");
            assert_eq!(fit["chosen"]["texture"], plan["roles"]["texture"].is_u64(), "{run}, {budget} B");
            with += u32::from(plan["roles"]["texture"].is_u64());
        }
        assert!(with > 0, "{run}");
    }
}

#[test]
fn where_nothing_fits_the_least_is_told_and_what_holds_it_up() {
    let scratch = scratch();
    let text = scratch.run("plan run.toml --memory 1000", 3);
    assert_has(
        &text,
        &["REFUSED", "Not even one row would fit", "The least this model takes is", "of which the layer `rnn` holds"],
    );
    let refused = json(&scratch, "plan run.toml --memory 1000 --json", 3);
    assert_eq!(refused["fits"], false);
    assert_has(
        &scratch.run("fit run.toml --memory 1000", 3),
        &["REFUSED: nothing fits 1000 B; the smallest of these ways needs"],
    );
    assert_has(&scratch.run("fit none.toml", 2), &["none.toml"]);
    assert_has(&scratch.run("fit run.toml --device nowhere", 2), &["no profile `nowhere`"]);
}

#[test]
fn a_run_that_wants_no_bargain_is_refused_with_lines_to_paste() {
    let scratch = scratch();
    let planned = json(&scratch, "plan run.toml --json", 0)["planned_bytes"].as_u64().unwrap();
    let run = std::fs::read_to_string(scratch.path("run.toml")).unwrap();
    scratch.write("run.toml", &(run.clone() + "\n[budget]\nbargain = false\n"));
    let text = scratch.run(&format!("plan run.toml --memory {}", planned * 2 / 3), 3);
    assert_has(&text, &["REFUSED", "What would fit, each planned", "[budget]", "segment = ", "the same updates"]);
    assert_has(&text, &["another result, with the largest batch that fits"]);
    // The first of those in another way, pasted.
    let mut lines = text.lines().skip_while(|line| !line.contains("the same updates, windows in segments"));
    assert_eq!(lines.nth(1), Some("      [budget]"), "{text}");
    let budget: Vec<&str> = lines.map_while(|line| line.strip_prefix("      ")).collect();
    assert!(budget[0].starts_with("segment = "), "{text}");
    scratch.write("pasted.toml", &(run + "\n[budget]\nbargain = false\n" + &budget.join("\n")));
    assert_has(&scratch.run(&format!("plan pasted.toml --memory {}", planned * 2 / 3), 0), &["FITS"]);
    assert_has(&scratch.run(&format!("train run.toml --memory {}", planned * 2 / 3), 3), &["REFUSED"]);
}

#[test]
fn sequences_of_the_data_are_offered_no_shorter_windows() {
    let scratch = Scratch::new();
    let header = r#"{"x":{"dtype":"F32","shape":[8,24,2],"data_offsets":[0,1536]},"y":{"dtype":"F32","shape":[8,24,1],"data_offsets":[1536,2304]}}"#;
    let numbers = (0..576u16).flat_map(|i| (f32::from(i % 7) / 7.0).to_le_bytes());
    let file = (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).chain(numbers);
    std::fs::write(scratch.path("d.safetensors"), file.collect::<Vec<_>>()).unwrap();
    let run = "[data]\ntype = \"arrays\"\nfile = \"d.safetensors\"\ninputs = \"x\"\ntargets = \"y\"\npredict = \"each\"\n\
               validation = 0.0\n[[layer]]\ntype = \"rnn\"\nhidden_size = 16\n[[layer]]\ntype = \"linear\"\n\
               [train]\nbatch = 4\nwindow = 24\ncarry_state = true\n[budget]\nbargain = false\n";
    scratch.write("run.toml", run);
    let planned = |name: &str| json(&scratch, &format!("plan {name} --json"), 0)["planned_bytes"].as_u64().unwrap();
    let whole = planned("run.toml");
    let (mut offered, mut least) = (0, 0);
    for part in 1..20 {
        let memory = whole * part / 20;
        let refused = json(&scratch, &format!("plan run.toml --memory {memory} --json"), 3);
        for offer in refused["alternatives"].as_array().unwrap() {
            let lines: Vec<&str> = offer["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert!(lines.iter().all(|line| !line.starts_with("window")), "{lines:?}");
            let pasted = lines.iter().fold(run.to_string(), |run, line| match line.split_once(" = ") {
                Some((key @ ("batch" | "accumulate" | "storage"), _)) => {
                    let old = run.lines().find(|old| old.starts_with(&format!("{key} = "))).map(String::from);
                    match old {
                        Some(old) => run.replace(&old, line),
                        None => run.replace("[train]\n", &format!("[train]\n{line}\n")),
                    }
                }
                Some(_) => format!("{run}{line}\n"),
                None => run,
            });
            scratch.write("pasted.toml", &pasted);
            assert_eq!(planned("pasted.toml"), offer["planned_bytes"].as_u64().unwrap(), "{lines:?}");
            assert!(planned("pasted.toml") <= memory, "{lines:?}");
            offered += 1;
        }
        least = least.max(refused["least"]["planned_bytes"].as_u64().unwrap_or(0));
    }
    assert!(offered > 8 && least > 0, "{offered} and {least}");
    // Nor is a window that they do not have passed over in silence.
    for window in ["window = 12", "window = 32"] {
        scratch.write("other.toml", &run.replace("window = 24", window));
        assert_has(&scratch.run("plan other.toml", 2), &[&format!("`{window}`"), "have 24 timesteps"]);
    }
    scratch.write("other.toml", &run.replace("window = 24", ""));
    assert_eq!(planned("other.toml"), planned("run.toml"));
}

/// A row of a batch is 2004 bytes, and 256 threads have two batches of 20,000 of them ready each.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_the_host_cannot_hold_is_refused_with_what_would_fit() {
    let scratch = Scratch::new();
    let row = |last: &str, of: &dyn Fn(usize) -> String| (0..500).map(of).collect::<Vec<_>>().join(",") + last;
    let rows: String = (0..8).map(|i| row(",1\n", &|j| ((i * j) % 5).to_string())).collect();
    scratch.write("data.csv", &(row(",y\n", &|j| format!("x{j}")) + &rows));
    let inputs = row("", &|j| format!("\"x{j}\""));
    let run = format!(
        "[data]\ntype = \"table\"\nfile = \"data.csv\"\ninputs = [{inputs}]\ntargets = [\"y\"]\nvalidation = 0.0\n\
         workers = 256\n[[layer]]\ntype = \"linear\"\n[train]\nbatch = 20000\nsteps = 1\n"
    );
    scratch.write("run.toml", &run);
    scratch.write("pasted.toml", &run.replace("workers = 256", "workers = 0"));
    let limited = |args: &str, code: i32| {
        let program = env!("CARGO_BIN_EXE_plimsoll");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -v 8388608; exec '{program}' {args}")]).current_dir(&scratch.0);
        common::printed(&mut shell, code)
    };
    let text = limited("train run.toml --no-probe --out a", 3);
    assert_has(
        &text,
        &[
            "REFUSED: the host cannot hold the run",
            "the host's available_memory allows",
            "GiB, by ",
            "batches 19.1 GiB",
        ],
    );
    assert_has(&text, &["the same updates, batches made ready by", "\n      [data]\n      workers = "]);
    assert!(!scratch.path("a").exists(), "nothing was written");
    limited("train pasted.toml --no-probe --out a", 0);

    // A plan for the device at hand and a bench say the same, and a plan for another one nothing of this host.
    for args in ["bench run.toml --no-probe", "bench run.toml --no-probe --json", "plan run.toml --here"] {
        let said = limited(args, 3);
        assert_has(&said, &["REFUSED: the host cannot hold the run", "available_memory allows", "batches 19.1 GiB"]);
        assert_has(&said, &["the same updates, batches made ready by", "\n      [data]\n      workers = "]);
    }
    for args in ["plan run.toml", "plan run.toml --profile lavapipe"] {
        assert_has(&limited(args, 0), &["FITS", "batches 19.1 GiB"]);
    }
    assert_has(&limited("plan pasted.toml --here", 0), &["FITS"]);
    assert_has(&limited("plan run.toml --here --profile lavapipe", 2), &["cannot be used with"]);
    // A software device gets what 2 GiB of batches leave, and that is whose word it is.
    let layer = "[[layer]]\ntype = \"linear\"\nout_features = 500\n[[layer]]\ntype = \"relu\"\n";
    let deep = run.replace("workers = 256\n", &format!("workers = 25\n{}", layer.repeat(130)));
    scratch.write("deep.toml", &deep);
    let whole = json(&scratch, "plan deep.toml --json --profile lavapipe", 0);
    let whole = whole["planned_bytes"].as_u64().unwrap();
    assert!((5 << 30..6 << 30).contains(&whole), "{whole}");
    let said = limited("plan deep.toml --here", 0);
    if said.contains(", the device's ") {
        assert_has(&said, &["bargain", "this makes the same updates", "more than ", "micro-steps"]);
        assert_has(&said, &[" that the host's free memory, beside batches and a copy of the state, allows; "]);
    }
}
