//! The program as its users meet it: what it prints, what it leaves behind, how it exits.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{RUN, Scratch, assert_has, printed};
use serde_json::Value;

#[test]
fn the_built_in_run_is_planned_without_any_driver() {
    let scratch = Scratch::new();
    // No Vulkan driver can be found, and no other backend may be looked for.
    let text = printed(scratch.command("plan").env("VK_DRIVER_FILES", "/dev/null").env("WGPU_BACKEND", "nothing"), 0);
    assert_has(&text, &["embedding 64 > rnn 256 > linear", "optimizer state", "gap", "alive at the peak", "FITS"]);
    assert!(scratch.0.read_dir().unwrap().next().is_none(), "a dry run leaves nothing behind");
}

#[test]
fn a_plan_as_json_has_what_is_promised() {
    let scratch = Scratch::with_run();
    let plan: Value = serde_json::from_str(&scratch.run("plan run.toml --json --profile lavapipe", 0)).unwrap();
    assert_eq!(plan["fits"], true);
    assert_eq!((&plan["batch"], &plan["window"], &plan["accumulate"]), (&4.into(), &5.into(), &2.into()));
    let roles = plan["roles"].as_object().unwrap();
    assert_eq!(roles.values().map(|b| b.as_u64().unwrap()).sum::<u64>(), plan["planned_bytes"].as_u64().unwrap());
    assert!(plan["lower_bound_bytes"].as_u64() <= plan["planned_bytes"].as_u64());
    assert_eq!(plan["violations"], Value::Array(Vec::new()));
    assert_eq!(plan["target"]["backend"], "vulkan");
}

#[test]
fn a_plan_explains_itself_when_asked_and_its_json_has_all_of_it() {
    let scratch = Scratch::with_run();
    let plain = scratch.run("plan run.toml", 0);
    let text = scratch.run("plan run.toml --explain", 0);
    let told = ["bytes used again", "results in place", "none of them", "read on the way back by", "by PyTorch"];
    assert_has(&text, &told);
    assert_has(&text, &["rnn: elman f32[5, 2, 8]", "recurrent weight gradient, for rnn.weight_hh_l0", "FITS"]);
    assert!(told.iter().all(|word| !plain.contains(word)), "who does not ask is not told: {plain}");
    let plan: Value = serde_json::from_str(&scratch.run("plan run.toml --json", 0)).unwrap();
    let bytes =
        |rows: &Value, key: &str| rows.as_array().unwrap().iter().map(|r| r[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(bytes(&plan["kept_for_backward"], "bytes"), bytes(&plan["layers"], "kept"));
    assert!(bytes(&plan["kept_by_pytorch"], "bytes") > 0);
    let savings = plan["savings"].as_array().unwrap();
    assert!(savings.iter().all(|s| s["without_bytes"].as_u64() >= plan["planned_bytes"].as_u64()), "{savings:?}");
    assert_eq!(savings.last().unwrap()["saving"], "none of them");
    assert_eq!(plan["kept_for_backward"][0]["readers"][0]["why"], "a factor of the weight's gradient");
}

#[test]
fn what_takes_a_large_share_is_told_whether_asked_or_not() {
    let scratch = Scratch::with_run();
    assert!(!scratch.run("plan run.toml", 0).contains("NOTE:"), "a small run has nothing to look out for");
    scratch.write("run.toml", &RUN.replace("hidden_size = 8", "hidden_size = 500"));
    assert_has(&scratch.run("plan run.toml", 0), &["NOTE: `rnn.weight_hh_l0` is 500 x 500 numbers.", "% of the plan"]);
    let plan: Value = serde_json::from_str(&scratch.run("plan run.toml --json", 0)).unwrap();
    assert_eq!(plan["warnings"][0]["about"], "large_weight");
}

#[test]
fn a_bench_says_what_a_step_takes_and_saves_nothing() {
    let scratch = Scratch::with_run();
    let text = scratch.run("bench run.toml --seconds 50ms", 0);
    assert_has(&text, &["a step", "processor time", "recording it", "the first step", "predictions a second"]);
    let measured: Value = serde_json::from_str(&scratch.run("bench run.toml --seconds 50ms --json", 0)).unwrap();
    let number = |key: &str| measured[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {measured}"));
    assert!(0.0 < number("least_wall_ms") && number("least_wall_ms") <= number("wall_ms"), "{measured}");
    assert!(
        number("recording_ms") < number("first_step_ms") && number("steps") >= 3.0 * number("steps_at_once"),
        "{measured}"
    );
    assert!(number("steps_at_once") >= 1.0 && number("loading_ms") >= 0.0, "{measured}");
    let ops = measured["ops"].as_array().unwrap();
    let dispatches: f64 = ops.iter().map(|op| op["dispatches"].as_f64().unwrap()).sum();
    assert!(ops.is_empty() || dispatches == number("dispatches_per_step"), "{measured}");
    assert!(!scratch.path("runs").exists(), "a bench leaves nothing behind");
}

#[test]
fn two_plans_are_set_apart_by_role_layer_and_peak() {
    let scratch = Scratch::with_run();
    let before = scratch.run("plan run.toml --json", 0);
    scratch.write("before.json", &before);
    scratch.write("run.toml", &RUN.replace("hidden_size = 8", "hidden_size = 16"));
    let after = scratch.run("plan run.toml --json", 0);
    scratch.write("after.json", &after);
    let [a, b] = [before, after].map(|plan| serde_json::from_str::<Value>(&plan).unwrap()["planned_bytes"].clone());
    assert!(a.as_u64() < b.as_u64());
    let text = scratch.run("plan diff before.json after.json", 0);
    assert_has(
        &text,
        &["parameters", "memory by role", "planned", "memory by layer", "rnn", "only after", "only before"],
    );
    assert!(text.lines().any(|line| line.starts_with("planned") && line.contains('+')), "{text}");
    let back = scratch.run("plan diff after.json before.json", 0);
    assert!(back.lines().any(|line| line.starts_with("planned") && line.contains('-')), "{back}");
    assert_has(&scratch.run("plan diff after.json after.json", 0), &["The plans take the same memory"]);
    assert_has(&scratch.run("plan diff before.json run.toml", 2), &["run.toml", "`plimsoll plan --json`"]);
    assert_has(&scratch.run("plan diff before.json none.json", 2), &["none.json"]);
    scratch.write("later.json", &scratch.read("after.json").replacen("\"format\": 1", "\"format\": 99", 1));
    assert_has(&scratch.run("plan diff before.json later.json", 2), &["later.json", "format 99", "format 1"]);
    // Every value's place is there, above those below it.
    let plan: Value = serde_json::from_str(&scratch.read("after.json")).unwrap();
    let timeline = plan["timeline"].as_array().unwrap();
    let top = timeline.iter().map(|value| value["bytes"]["end"].as_u64().unwrap()).max();
    assert!(top.is_some() && top <= plan["planned_bytes"].as_u64(), "{top:?}");
    assert!(timeline.iter().all(|value| value["steps"]["start"].as_u64() < value["steps"]["end"].as_u64()));
}

#[test]
fn a_refusal_lists_what_is_exceeded_and_what_would_fit_and_exits_with_3() {
    let scratch = Scratch::with_run();
    scratch.write("run.toml", &(RUN.to_owned() + "\n[budget]\nbargain = false\n"));
    // What the weights and their like take leaves room for a smaller batch only.
    let planned = scratch.run("plan run.toml --json", 0);
    let planned = serde_json::from_str::<Value>(&planned).unwrap()["planned_bytes"].as_u64().unwrap();
    let text = scratch.run(&format!("plan run.toml --memory {}", planned - 1), 3);
    assert_has(&text, &["REFUSED", "budget memory", "What would fit", "the largest batch that fits"]);
    let refused: Value = serde_json::from_str(&scratch.run("plan run.toml --memory 1000 --json", 3)).unwrap();
    assert_eq!(refused["fits"], false);
    let violation = &refused["violations"][0];
    assert_eq!((&violation["limit"], &violation["allowed"]), (&"memory".into(), &1000.into()));
    assert_eq!(violation["needed"], refused["planned_bytes"]);
    let text = scratch.run("train run.toml --memory 1000", 3);
    assert_has(&text, &["REFUSED", "Nothing was allocated"]);
    assert!(!scratch.path("runs").exists(), "a refused run leaves nothing behind");
}

#[test]
fn a_profile_comes_from_a_file_too() {
    let scratch = Scratch::with_run();
    let small = r#"[{"name": "a small device", "limits": {"max_buffer_size": 1024, "max_storage_buffer_binding_size": 4096,
        "min_storage_buffer_offset_alignment": 256, "max_storage_buffers_per_shader_stage": 4,
        "max_compute_workgroups_per_dimension": 65535, "max_compute_invocations_per_workgroup": 256,
        "max_compute_workgroup_size_x": 256, "max_compute_workgroup_size_y": 256,
        "max_compute_workgroup_storage_size": 16384, "max_immediate_size": 128}, "unfit": null}]"#;
    scratch.write("small.json", small);
    let text = scratch.run("plan run.toml --profile small.json", 3);
    assert_has(&text, &["a small device", "max_buffer_size", "max_storage_buffers_per_shader_stage"]);
    scratch.write("broken.json", "{\"name\": 3}");
    assert_has(&scratch.run("plan --profile broken.json", 2), &["error: broken.json is not a device profile"]);
    assert_has(&scratch.run("plan --profile lavapip", 2), &["no profile `lavapip`", "webgpu-default"]);
}

#[test]
fn mistakes_in_a_run_file_are_all_told_at_their_lines() {
    let scratch = Scratch::with_run();
    scratch.write("bad.toml", &RUN.replace("window = 5", "windov = 5").replace("steps = 7", "steps = \"many\""));
    for command in ["plan", "train"] {
        let text = scratch.run(&format!("{command} bad.toml"), 2);
        assert_has(&text, &["error: bad.toml:14:1: ", "did you mean `window`", "bad.toml:16:9: "]);
    }
    scratch.write("short.toml", &RUN.replace("batch = 4", "batch = 1000"));
    assert_has(&scratch.run("train short.toml", 2), &["the largest batch is 238"]);
    scratch.write("misfit.toml", &RUN.replace("\"linear\"", "\"linear\"\nout_features = 3"));
    assert_has(&scratch.run("plan misfit.toml", 2), &["layer `linear`", "3 features"]);
}

#[test]
fn bad_usage_exits_with_2_and_says_what_is_wanted() {
    let scratch = Scratch::with_run();
    for (args, wanted) in [
        ("", "Usage"),
        ("plan --no-such-flag", "--no-such-flag"),
        ("plan --memory 12parsecs", "12parsecs"),
        ("plan missing.toml", "missing.toml"),
        ("train --steps 0", "--steps"),
        ("train --force", "--out"),
        ("train run.toml --init missing.safetensors", "missing.safetensors does not exist"),
        ("sample", "<DIR>"),
        ("sample missing", "missing"),
        ("sample missing --temperature -1", "temperature"),
        ("sample missing --temperature NaN", "at least 0"),
    ] {
        assert_has(&scratch.run(args, 2), &[wanted]);
    }
}

#[test]
fn a_plan_has_a_fingerprint_and_is_a_gate_by_its_budget() {
    let scratch = Scratch::with_run();
    let json = |args: &str| -> Value { serde_json::from_str(&scratch.run(args, 0)).unwrap() };
    let plan = json("plan run.toml --json");
    assert_eq!(plan["format"], 1);
    assert_eq!(plan["digest"], json("plan run.toml --json")["digest"]);
    scratch.write("other.toml", &scratch.read("run.toml").replace("hidden_size = 8", "hidden_size = 9"));
    assert_ne!(plan["digest"], json("plan other.toml --json")["digest"]);
    let bytes = plan["planned_bytes"].as_u64().unwrap();
    scratch.run(&format!("plan run.toml --budget {bytes}B"), 0);
    let refused = scratch.run(&format!("plan run.toml --budget {}B", bytes / 4), 3);
    assert_has(&refused, &["REFUSED"]);
}

#[test]
fn what_is_done_is_logged_where_that_is_asked_for_and_only_there() {
    let scratch = Scratch::with_run();
    let logged = |args: &str, variable: &str| {
        let output = scratch.command(args).env("RUST_LOG", variable).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(logged("plan run.toml", ""), "");
    assert_has(&logged("plan run.toml --log info", ""), &["INFO", "planned the run bytes="]);
    assert_has(&logged("plan run.toml", "plimsoll=info"), &["planned the run bytes="]);
    // What the command line says counts.
    assert_eq!(logged("plan run.toml --log error", "debug"), "");
    let told = logged("train run.toml --out a --log plimsoll=debug", "");
    for part in ["opened the device", "asked for memory", "compiled kernels=", "reported step=7", "saved a checkpoint"]
    {
        assert!(told.contains(part), "no `{part}` in {told}");
    }
    assert!(!told.contains("submitted"), "that is for `trace`");
    let wrong = scratch.run("plan run.toml --log very=much=so", 2);
    assert_has(&wrong, &["--log is `very=much=so`", "error, warn, info, debug or trace"]);
}

#[test]
fn help_is_complete() {
    let scratch = Scratch::new();
    for (command, wanted) in [
        ("", &["adapters", "plan", "train", "sample"][..]),
        ("adapters", &["--json", "WGPU_BACKEND"]),
        ("plan", &["--memory", "--profile", "--json", "webgpu-default, lavapipe", "[[layer]]", "accumulate = 1"]),
        ("train", &["--steps", "--out", "--init", "--seed", "--force", "metrics.jsonl", "summary.json", "Ctrl-C"]),
        ("sample", &["--prompt", "--length", "--temperature", "--seed"]),
    ] {
        let text = scratch.run(&format!("{command} --help"), 0);
        assert_has(&text, wanted);
        assert_has(&text, &["Exit codes:", "0  done", "2  bad usage", "3  refused", "4  device", "5  storage"]);
        assert!(command.is_empty() || text.contains("Examples:"), "{text}");
    }
}

#[test]
fn without_the_adapter_asked_for_it_exits_with_4_and_lists_those_there_are() {
    let scratch = Scratch::with_run();
    let text = printed(scratch.command("train run.toml").env("WGPU_ADAPTER_NAME", "nonsense"), 4);
    assert_has(&text, &["error: no graphics adapter", "nonsense", "its name does not match"]);
    assert!(!scratch.path("runs").exists());
    assert_has(&printed(scratch.command("adapters").env("WGPU_BACKEND", "nonsense"), 4), &["WGPU_BACKEND", "vulkan"]);
}

#[test]
fn adapters_can_be_planned_for() {
    let scratch = Scratch::with_run();
    let text = scratch.run("adapters", 0);
    assert_has(&text, &["backend", "driver", "largest buffer", "yes; `plimsoll train` takes it"]);
    let json = scratch.run("adapters --json", 0);
    let first = &serde_json::from_str::<Value>(&json).unwrap()[0];
    scratch.write("here.json", &json);
    let text = scratch.run("plan run.toml --profile here.json", 0);
    assert_has(&text, &[first["name"].as_str().unwrap(), "FITS", "takes ", " planned: one block of "]);
}

#[test]
fn a_training_leaves_a_run_that_can_be_repeated_and_sampled() {
    let scratch = Scratch::with_run();
    let text = scratch.run("train run.toml --steps 9", 0);
    assert_has(&text, &["planned", "9/9  loss", "validation loss", "unigram entropy", "0 buffers", "It writes:"]);
    let files = ["config.toml", "metrics.jsonl", "model.safetensors", "summary.json", "vocabulary.json"];
    for file in files {
        assert!(scratch.path("runs/run").join(file).is_file(), "{file}");
    }
    let summary = scratch.json("runs/run/summary.json");
    assert_eq!((&summary["steps"], &summary["allocations_after_first_step"]), (&9.into(), &0.into()));
    assert_eq!(summary["planned_bytes"], summary["allocated_bytes"]);
    for key in ["train_loss", "validation_loss", "unigram_entropy", "seconds", "tokens_per_second"] {
        assert!(summary[key].as_f64().is_some_and(|x| x > 0.0), "{key} in {summary}");
    }
    let driver = &summary["driver"];
    for key in ["allocated_bytes", "reserved_bytes"] {
        assert!(driver["measured"][key].as_u64().unwrap() > summary["planned_bytes"].as_u64().unwrap(), "{driver}");
        assert_eq!(driver["expected"][key], driver["measured"][key]);
    }
    assert_eq!(scratch.json("runs/run/plan.json")["reserved"], driver["expected"]);
    assert!(text.contains("handed out, to the byte as planned"), "{text}");
    assert!(summary["adapter"].is_string() && summary.get("cpu_seconds").is_some());

    let metrics = scratch.read("runs/run/metrics.jsonl");
    let steps: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(steps.iter().map(|s| s["step"].as_u64().unwrap()).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    for key in ["loss", "learning_rate", "grad_norm", "tokens"] {
        assert!(steps.iter().all(|s| s[key].is_number()), "{key}");
    }

    // The saved config is the whole run, the number of steps from the command line included.
    scratch.run("train runs/run/config.toml --out again", 0);
    assert_eq!(metrics, scratch.read("again/metrics.jsonl"), "the same seed, the same bits");
    assert_eq!(scratch.read("runs/run/config.toml"), scratch.read("again/config.toml"));
    scratch.run("train runs/run/config.toml --seed 2 --out other", 0);
    assert_ne!(metrics, scratch.read("other/metrics.jsonl"));

    let sample = |more: &str| scratch.run(&format!("sample runs/run --prompt fox --length 20 {more}"), 0);
    let text = sample("");
    assert!(text.starts_with("fox") && text.chars().count() == 24, "{text}");
    assert_eq!(text, sample("--seed 0"));
    assert_ne!(text, sample("--seed 1"));
    assert_has(&scratch.run("sample runs/run --prompt FOX", 2), &["'F'", "vocabulary"]);
}

#[test]
fn weights_given_are_those_that_are_trained_on() {
    let scratch = Scratch::with_run();
    // At a learning rate of zero what comes out is what went in.
    let still = "\noptimizer = { type = \"sgd\", learning_rate = 0.0 }\n";
    scratch.write("still.toml", &format!("{RUN}{still}"));
    scratch.run("train run.toml --steps 2 --out a", 0);
    scratch.run("train still.toml --steps 1 --init a/model.safetensors --out b", 0);
    let tensors = |name: &str| {
        let bytes = fs::read(scratch.path(name).join("model.safetensors")).unwrap();
        let header = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        bytes[header..].to_vec()
    };
    assert_eq!(tensors("a"), tensors("b"));
    assert_has(&scratch.read("b/config.toml"), &["# started from the weights in"]);
    scratch.write("wider.toml", &RUN.replace("hidden_size = 8", "hidden_size = 9"));
    let text = scratch.run("train wider.toml --init a/model.safetensors --out c", 2);
    assert_has(&text, &["does not fit", "rnn.weight_ih_l0", "linear.weight"]);
    assert!(!scratch.path("c").exists());
}

#[test]
fn folders_that_cannot_be_saved_to_are_refused_before_training() {
    let scratch = Scratch::with_run();
    scratch.write("file", "");
    assert_has(&scratch.run("train run.toml --out file/inside", 5), &["file is a file, not a folder"]);
    fs::create_dir(scratch.path("full")).unwrap();
    scratch.write("full/mine.txt", "mine");
    assert_has(&scratch.run("train run.toml --out full", 2), &["full is not empty", "--force"]);
    scratch.run("train run.toml --steps 1 --out full --force", 0);
    assert_eq!(scratch.read("full/mine.txt"), "mine");
    // Without --out a folder that is taken is left alone.
    fs::create_dir_all(scratch.path("runs/run")).unwrap();
    scratch.write("runs/run/mine.txt", "mine");
    scratch.run("train run.toml --steps 1", 0);
    assert!(scratch.path("runs/run-2/summary.json").is_file());
}

#[test]
fn without_held_out_text_there_is_no_validation_loss() {
    let scratch = Scratch::with_run();
    scratch.write("all.toml", &RUN.replace("[data]", "[data]\nvalidation = 0.0\nunit = \"byte\""));
    assert_has(&scratch.run("train all.toml --steps 1 --out a", 0), &["nothing was held out"]);
    let summary = scratch.json("a/summary.json");
    assert!(summary["validation_loss"].is_null() && summary["unigram_entropy"].as_f64().unwrap() > 2.0);
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let scratch = Scratch::with_run();
    for args in ["plan run.toml", "plan run.toml --json", "adapters", "train run.toml --steps 1000000 --out a"] {
        let mut command = scratch.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success() && stderr.is_empty(), "{args}: {status}: {stderr}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_after_a_step_and_saves() {
    let scratch = Scratch::with_run();
    let mut command = scratch.command("train run.toml --steps 1000000 --out a");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun = |path: &Path| fs::metadata(path).is_ok_and(|about| about.len() > 0);
    while !has_begun(&scratch.path("a/metrics.jsonl")) {
        assert!(child.try_wait().unwrap().is_none(), "the training ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // The shell's own `kill`: a bare system has no program of that name.
    let interrupt = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&stdout);
    assert!(status.success(), "{status}: {text}");
    assert_has(&text, &["Ended early", "validation loss"]);
    let steps = scratch.json("a/summary.json")["steps"].as_u64().unwrap();
    assert_eq!(scratch.read("a/metrics.jsonl").lines().count() as u64, steps);
    scratch.run("sample a --length 5", 0);
}

#[test]
fn weights_of_a_tied_model_start_another_run_by_either_name_or_both() {
    let scratch = Scratch::with_run();
    let tied =
        RUN.replace("hidden_size = 8", "hidden_size = 4").replace("\"linear\"", "\"linear\"\ntied = \"embedding\"");
    scratch.write("tied.toml", &tied);
    scratch.run("train tied.toml --steps 1 --out a", 0);
    assert_has(&scratch.run("train tied.toml --steps 1 --init a/model.safetensors --out b", 0), &["saved to"]);
}
