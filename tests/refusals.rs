//! Every limit refuses: one violation each, several at once, with both numbers and what would fit.

#[path = "common/pasted.rs"]
mod pasted;

use pasted::pasted;
use plimsoll::bytes::Bytes;
use plimsoll::config::Config;
use plimsoll::error::{Error, ErrorKind};
use plimsoll::nn::{Inputs, Model, Targets, Time};
use plimsoll::target::{Limits, Target};
use plimsoll::training::{Network, Planned, Segments, Storage, Task, Training, Way};

fn target(change: impl Fn(&mut Limits)) -> Target {
    let mut target = Target::profile("lavapipe").unwrap();
    change(&mut target.limits);
    target
}

fn training() -> Training {
    let model = Model::new().embedding(32).rnn(64).output();
    Training::new(model, Task::next_token(50), 16).window(24).accumulate(2)
}

/// Names of the limits that the plan for `target` exceeds.
fn limits(training: &Training, target: &Target) -> Vec<&'static str> {
    let planned = training.plan(target).unwrap();
    let violations = planned.plan.violations(planned.memory());
    for v in &violations {
        assert!(v.needed > v.allowed, "{v:?}");
        assert!(!v.layer.is_empty(), "{v:?}");
        let sentence = v.sentence();
        assert!(sentence.contains(v.limit) && sentence.contains(&v.layer), "{sentence}");
    }
    let mut limits: Vec<_> = violations.iter().map(|v| v.limit).collect();
    limits.dedup();
    limits
}

type Case = (&'static str, fn(&mut Limits));

/// Each limit just too small for this plan, all others as they are.
const CASES: [Case; 9] = [
    ("max_buffer_size", |l| l.max_buffer_size = 12_000),
    ("max_storage_buffer_binding_size", |l| l.max_storage_buffer_binding_size = 8_192),
    ("max_storage_buffers_per_shader_stage", |l| l.max_storage_buffers_per_shader_stage = 5),
    ("max_compute_workgroups_per_dimension", |l| l.max_compute_workgroups_per_dimension = 1),
    ("max_compute_invocations_per_workgroup", |l| l.max_compute_invocations_per_workgroup = 64),
    ("max_compute_workgroup_size_x", |l| l.max_compute_workgroup_size_x = 128),
    ("max_compute_workgroup_size_y", |l| l.max_compute_workgroup_size_y = 0),
    ("max_compute_workgroup_storage_size", |l| l.max_compute_workgroup_storage_size = 512),
    // What a dispatch cannot carry it reads from a buffer.
    ("max_uniform_buffer_binding_size", |l| (l.max_immediate_size, l.max_uniform_buffer_binding_size) = (16, 16)),
];

#[test]
fn a_plan_within_all_limits_is_not_refused() {
    assert_eq!(limits(&training(), &target(|_| ())), [] as [&str; 0]);
}

#[test]
fn each_limit_alone_refuses_and_is_the_only_one_named() {
    for (name, change) in CASES {
        assert_eq!(limits(&training(), &target(change)), [name]);
    }
}

#[test]
fn limits_exceeded_together_are_all_named() {
    for (i, (first, change)) in CASES.iter().enumerate() {
        for (second, other) in &CASES[i + 1..] {
            let found = limits(&training(), &target(|l| (change(l), other(l)).0));
            assert!(found.contains(first) && found.contains(second), "{first} and {second}: {found:?}");
        }
    }
    let all = limits(&training(), &target(|l| CASES.iter().for_each(|(_, change)| change(l))));
    assert_eq!(all.len(), CASES.len(), "{all:?}");
}

#[test]
fn a_wider_alignment_is_planned_for_not_refused() {
    for align in [4, 16, 32, 64, 256] {
        let target = target(|l| l.min_storage_buffer_offset_alignment = align);
        assert_eq!(limits(&training(), &target), [] as [&str; 0]);
        training().plan(&target).unwrap().plan.replay().unwrap();
    }
}

#[test]
fn a_budget_refuses_one_byte_below_the_smallest_plan_and_not_at_it() {
    let target = target(|_| ());
    let with = |memory| Training { memory: Some(Bytes(memory)), ..training() };
    let whole = training().plan(&target).unwrap().plan.planned_bytes();
    // Staging is all that can be smaller.
    let staging = training().plan(&target).unwrap().plan.staging.bytes();
    let fits = |memory| with(memory).plan(&target).unwrap().fits();
    let (mut below, mut least) = (whole - staging, whole);
    while least - below > 1 {
        let middle = below.midpoint(least);
        *(if fits(middle) { &mut least } else { &mut below }) = middle;
    }
    assert!(least < whole, "some of it can be");
    assert_eq!(with(least).plan(&target).unwrap().plan.planned_bytes(), least);
    assert_eq!(limits(&with(least), &target), [] as [&str; 0]);
    assert_eq!(limits(&with(least - 1), &target), ["memory"]);
    // What does not fit is told of as a whole.
    assert_eq!(with(least - 1).plan(&target).unwrap().plan.planned_bytes(), whole);
}

#[test]
fn what_the_device_has_refuses_as_the_budget_does() {
    let mut small = target(|_| ());
    small.memory_bytes = Some(100_000);
    assert_eq!(limits(&training(), &small), ["memory_bytes"]);
    let with = Training { memory: Some(Bytes(90_000)), ..training() };
    assert_eq!(limits(&with, &small), ["memory", "memory_bytes"]);
}

#[test]
fn every_layer_that_exceeds_a_limit_is_named() {
    let target = target(|l| l.max_storage_buffer_binding_size = 8_192);
    let violations = training().plan(&target).unwrap().plan.violations(None);
    for layer in ["embedding", "rnn", "linear", "loss", "rnn.weight_hh_l0"] {
        let named = violations.iter().filter(|v| v.layer.split(" (").next() == Some(layer)).count();
        assert_eq!(named, 1, "{layer}: {violations:?}");
    }
}

#[test]
fn the_violation_names_the_layer_and_the_numbers() {
    let target = target(|l| l.max_storage_buffer_binding_size = 8_192);
    let planned = training().plan(&target).unwrap();
    let violations = planned.plan.violations(None);
    let violation = violations.iter().find(|v| v.layer.starts_with("rnn (")).unwrap();
    // 12 rows of 24 timesteps, 8 a micro-step: the widest value is a sequence (24, 8, 64).
    assert_eq!((violation.needed, violation.allowed), (24 * 8 * 64 * 4, 8_192));
}

fn refused(training: &Training, target: &Target) -> (Planned, Box<plimsoll::refusal::Refusal>) {
    let planned = training.plan(target).unwrap();
    match planned.clone().accepted() {
        Err(Error::Refused(refusal)) => (planned, refusal),
        other => panic!("not refused: {:?}", other.map(|_| ())),
    }
}

#[test]
fn alternatives_fit_and_the_next_larger_does_not() {
    let target = target(|_| ());
    let full = training().plan(&target).unwrap().plan.planned_bytes();
    let halved = training().storage(Storage::F16).plan(&target).unwrap().plan.planned_bytes();
    assert!(full * 3 / 4 < halved && halved < full * 9 / 10);
    for (memory, wanted_halves) in [(full * 3 / 4, 0), (full * 9 / 10, 1)] {
        check_alternatives(&Training { memory: Some(Bytes(memory)), ..training() }, &target, wanted_halves);
    }
}

/// Holds each alternative for a run that does not fit against plans of it and of the next larger.
fn check_alternatives(training: &Training, target: &Target, wanted_halves: u32) {
    let (planned, refusal) = refused(training, target);
    assert_eq!(Error::Refused(refusal.clone()).kind(), ErrorKind::Refused);
    let fits = |batch, window, accumulate| {
        let t = Training { batch, window, accumulate, ..training.clone() };
        t.plan(target).unwrap().fits()
    };
    let (mut batches, mut windows, mut same, mut halves) = (0, 0, Vec::new(), 0);
    for a in &refusal.alternatives {
        let segments = a.segment.map(|timesteps| Segments { timesteps, states: a.segment_states });
        let way = Way {
            accumulate: a.accumulate,
            segments,
            recompute: a.recompute,
            release_gradients: a.release_gradients,
            keep_copies: a.keep_copies,
        };
        if way != training.way() && (a.batch, a.window, a.halves) == (training.batch, training.window, false) {
            let planned = training.in_way(way).plan(target).unwrap();
            assert!(planned.fits() && planned.plan.planned_bytes() == a.planned_bytes, "{a:?}");
            let cut = segments.map(|s| format!("segment = {}", s.timesteps));
            assert!(cut.is_none_or(|cut| a.lines.contains(&"[budget]".to_string()) && a.lines.contains(&cut)), "{a:?}");
            same.push((a.times_longer, way));
            continue;
        }
        if a.halves {
            assert_eq!((a.batch, a.window, a.accumulate), (training.batch, training.window, training.accumulate));
            let same = training.clone().storage(Storage::F16).plan(target).unwrap();
            assert!(same.fits() && same.plan.planned_bytes() == a.planned_bytes, "{a:?}");
            assert!(refusal.to_string().contains("storage = \"f16\""), "{refusal}");
            halves += 1;
            continue;
        }
        assert!(fits(a.batch, a.window, a.accumulate), "{a:?}");
        assert!(a.planned_bytes <= training.memory.unwrap().0, "{a:?}");
        let t = &planned.training;
        match (a.batch == t.batch, a.window == t.window, a.accumulate == t.accumulate) {
            (false, true, true) => {
                assert!(!fits(a.batch + t.accumulate, a.window, a.accumulate), "{a:?} is not the largest batch");
                batches += 1;
            }
            (true, false, true) => {
                assert!(!fits(a.batch, a.window + 1, a.accumulate), "{a:?} is not the largest window");
                windows += 1;
            }
            _ => panic!("{a:?} changes more than one thing though one would do"),
        }
    }
    assert_eq!((batches, windows, halves), (1, 1, wanted_halves), "{refusal}");
    // By the time that the same data take, whatever an update has of them.
    let all = &refusal.alternatives;
    assert!(all.is_sorted_by(|a, b| a.data_times_longer <= b.data_times_longer), "{refusal}");
    for a in all {
        let less = f64::from(a.batch) * f64::from(a.window) / f64::from(training.batch) / f64::from(training.window);
        assert!((a.data_times_longer * less - a.times_longer).abs() < 1e-9, "{a:?}");
        assert_eq!(a.same_updates, less == 1.0 && !a.halves, "{a:?}");
        let bytes = Bytes(a.planned_bytes);
        let marked = refusal.to_string().contains(&format!("{bytes}: another result, with {}", a.change));
        assert_eq!(marked, !a.same_updates, "{refusal}");
        // Dispatches of fewer rows or timesteps are no faster by the row.
        assert!(a.halves || a.data_times_longer > 0.99, "{a:?}");
    }
    // The fastest first, which is what a bargain takes; some by micro-steps alone, some by segments alone.
    assert!(same.len() >= 2 && same.is_sorted_by(|a, b| a.0 <= b.0), "{refusal}");
    assert!(same.iter().any(|(_, way)| way.segments.is_none()), "{refusal}");
    assert!(same.iter().any(|(_, way)| way.accumulate == training.accumulate), "{refusal}");
    assert_eq!(training.bargain(target).unwrap().training.way(), same[0].1);
}

#[test]
fn a_shorter_window_is_offered_only_where_state_is_carried_from_one_to_the_next() {
    let target = target(|_| ());
    let carried = training();
    let full = carried.plan(&target).unwrap().plan.planned_bytes();
    let whole = Training { carry_state: false, sample: false, ..carried.clone() };
    let of = |training: &Training| {
        let training = Training { memory: Some(Bytes(full * 3 / 4)), ..training.clone() };
        refused(&training, &target).1.alternatives
    };
    assert!(of(&carried).iter().any(|a| a.window < 24));
    // Sequences of 24 timesteps stay what they are.
    let alternatives = of(&whole);
    assert!(!alternatives.is_empty() && alternatives.iter().all(|a| a.window == 24), "{alternatives:?}");
    let tight = Training { memory: Some(Bytes(full / 4)), ..whole };
    let (planned, refusal) = refused(&tight, &target);
    let least = Training { batch: 1, accumulate: 1, ..planned.training.clone() };
    let fits = least.plan(&target).unwrap().fits();
    assert_eq!(refusal.alternatives.is_empty(), !fits, "{refusal}");
}

#[test]
fn a_refusal_shows_the_five_largest_tenants_and_what_would_fit() {
    let target = target(|_| ());
    let training = Training { memory: Some(Bytes(300_000)), ..training() };
    let (_, refusal) = refused(&training, &target);
    assert_eq!(refusal.tenants.len(), 5);
    assert!(refusal.tenants.windows(2).all(|t| t[0].bytes >= t[1].bytes));
    let text = refusal.to_string();
    for needed in ["REFUSED", "Nothing was allocated", "memory", "293 KiB", "batch = ", "window = "] {
        assert!(text.contains(needed), "`{needed}` is not in\n{text}");
    }
}

#[test]
fn a_model_too_large_for_any_batch_says_so() {
    let training = Training { memory: Some(Bytes(1000)), ..training() };
    let (_, refusal) = refused(&training, &target(|_| ()));
    assert_eq!(refusal.alternatives, []);
    assert!(refusal.to_string().contains("Not even one row"), "{refusal}");
}

#[test]
fn sizes_past_every_limit_are_refused_without_overflow() {
    let layers = |size| Model::new().embedding(size).rnn(size).output();
    for size in [1, 1 << 14, 1 << 20, u32::MAX] {
        let training = Training::new(layers(size), Task::next_token(u32::MAX - 1), u32::MAX).window(2);
        match training.plan(&target(|_| ())) {
            Ok(planned) => assert!(!planned.plan.violations(None).is_empty()),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Input, "{e}"),
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_errors_that_say_what_would() {
    let base = training();
    let task = Task::next_token(50);
    let layers = |model: Model, task: &Task| Network::Layers { model, task: task.clone() };
    let with = |model: Model| Training { network: layers(model, &task), ..base.clone() };
    let timeless = layers(Model::new().output(), &Task::regression(3, 1));
    let timeless = Training { network: timeless, window: 1, sample: false, carry_state: false, ..base.clone() };
    let regression = layers(Model::new().rnn(4).output(), &Task::regression(3, 1));
    let cases = [
        (Training { batch: 0, ..base.clone() }, "`batch` is 0"),
        (Training { window: 0, ..base.clone() }, "`window` is 0"),
        (Training { accumulate: 0, ..base.clone() }, "`accumulate` is 0"),
        (Training { accumulate: 3, ..base.clone() }, "1, 2, 4, 8, 16 would do"),
        (with(Model::new()), "no layers"),
        (with(Model::new().rnn(4).output()), "token ids"),
        (with(Model::new().embedding(4).linear(7)), "7 features and the task needs 50"),
        (Training { window: 1 << 20, ..base.clone() }, "may have 65536"),
        (with((0..33).fold(Model::new().embedding(4), |m, _| m.rnn(4))).window(1 << 15), "have 1081344 timesteps"),
        (Training { network: regression, ..base.clone() }, "no time"),
        (Training { lengths: true, ..timeless }, "rows have lengths, but the task has no time"),
        (Training { carry_state: false, ..base.clone() }, "set `carry_state`, or leave out `sample`"),
    ];
    for (training, needed) in cases {
        let error = training.plan(&target(|_| ())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(needed), "{error}");
    }
}

#[test]
fn every_line_of_a_refusal_plans_to_what_it_says() {
    let target = target(|_| ());
    let file = |train: &str, budget: &str| {
        let embedding = "[[layer]]\ntype = \"embedding\"\nsize = 8\n";
        let rest = "[[layer]]\ntype = \"gru\"\nhidden_size = 24\n[[layer]]\ntype = \"linear\"\n";
        // What is deep enough to be recomputed in blocks.
        let hidden = "[[layer]]\ntype = \"linear\"\nout_features = 40\n".repeat(6);
        let hidden = if budget.starts_with("recompute") { hidden } else { String::new() };
        let text = format!(
            "{embedding}{hidden}{rest}[train]\nbatch = 12\nwindow = 20\n{train}\n[budget]\nbargain = false\n{budget}"
        );
        Config::from_toml(&text, "run.toml").unwrap()
    };
    let mut seen = std::collections::BTreeSet::new();
    for config in [
        file("", ""),
        file("clip_norm = 1.0\naccumulate = 2", ""),
        file("", "release_gradients = true"),
        file("clip_norm = 1.0", "segment = 10\nsegment_states = 0"),
        file("storage = \"f16\"", ""),
        file("", "recompute = 2"),
    ] {
        let run = |config: &Config, memory: u64| {
            let (inputs, targets) = (Inputs::Tokens { vocabulary: 40 }, Targets::Classes(40));
            Training { memory: Some(Bytes(memory)), ..config.training(inputs, targets, Time::EachStep, 100) }
        };
        let whole = run(&config, u64::MAX).plan(&target).unwrap().plan.planned_bytes();
        for part in 1..24 {
            let memory = whole * part / 24;
            let planned = run(&config, memory).plan(&target).unwrap();
            let Some(refusal) = planned.refusal() else { continue };
            for a in &refusal.alternatives {
                let pasted = run(&pasted(&config, &a.lines), memory).plan(&target).unwrap();
                assert!(pasted.fits(), "{a:?}");
                assert_eq!(pasted.plan.planned_bytes(), a.planned_bytes, "{a:?}");
                seen.extend(a.lines.iter().filter_map(|line| Some(line.split_once(" = ")?.0.to_string())));
            }
        }
    }
    let all =
        ["accumulate", "batch", "recompute", "release_gradients", "segment", "segment_states", "storage", "window"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}
