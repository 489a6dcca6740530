//! A recurrence goes through its window in one dispatch or in one for each timestep: which of them is a matter of time
//! and of nothing else. The same numbers come out, to the bit on a processor and of other sums on a graphics card, of the
//! same bytes. (A window of one timestep, which is made so only where that is asked for, may take some more.)

#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

#[path = "common/sessions.rs"]
mod sessions;

use std::collections::BTreeMap;

use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::ops::Function;
use plimsoll::target::{DeviceKind, Rates, Target, TextureRates, Turns, Windows};
use plimsoll::training::{Batch, Optimizer, Planned, Segments, Session, StepReport, Storage, Training};
use plimsoll::{Device, Plan};

use sessions::{device, following, noise, parameters, run, sequence_model};

const VOCABULARY: u32 = 16;
const STEPS: u32 = 3;

/// A language model of so many rows, state carried from window to window.
fn language_model(cell: Cell, [hidden, batch]: [u32; 2]) -> Training {
    let model = Model::new().embedding(12).recurrent(Recurrent::new(cell, hidden)).output();
    let training = Training::new(model, Task::next_token(VOCABULARY), batch).window(8);
    Training { clip_norm: Some(1.0), optimizer: Optimizer::sgd(0.5, 0.0), ..training }
}

/// Numbers (T, B, 3), of rows of different lengths, to numbers each step, through two layers there and back.
fn ragged(cell: Cell) -> Training {
    let model = sequence_model(Recurrent { bidirectional: true, ..Recurrent::new(cell, 5).layers(2) });
    let training = Training::new(model, Task::regression(3, 2).each_step(), 4).window(5);
    Training { lengths: true, optimizer: Optimizer::sgd(0.5, 0.0), ..training }
}

fn of_rows() -> Vec<Batch> {
    let batch = |step| Batch::numbers(noise(60, step), noise(40, 100 + step)).with_lengths(vec![5, 2, 0, 1]);
    (0..STEPS).map(batch).collect()
}

fn plan(training: &Training, target: &Target, windows: Windows) -> Planned {
    training.plan(&Target { windows, ..target.clone() }).unwrap()
}

/// How many dispatches of a plan make more than one timestep.
fn whole(plan: &Plan) -> usize {
    plan.schedule.steps.iter().filter(|step| step.dispatch.shader.name.contains("_window_")).count()
}

/// What came of a training.
struct Trained {
    windows: usize,
    bytes: u64,
    reports: Vec<StepReport>,
    /// Parameters before and after.
    start: BTreeMap<String, Vec<f32>>,
    end: BTreeMap<String, Vec<f32>>,
    state: Vec<(String, Vec<f32>)>,
}

/// Trains in both ways, as is done on `target`.
fn compare(what: &str, (device, target): (&Device, &Target), training: &Training, batches: &[Batch]) {
    let train = |windows| {
        let planned = plan(training, target, windows);
        let (windows, bytes) = (whole(&planned.plan), planned.plan.planned_bytes());
        let mut session = Session::start(planned, device).unwrap();
        let start = parameters(&mut session);
        let reports = run(&mut session, batches);
        Trained { windows, bytes, reports, start, end: parameters(&mut session), state: session.state().unwrap() }
    };
    let (stepwise, together) = (train(Windows::Stepwise), train(Windows::Whole));
    assert_eq!(stepwise.windows, 0, "{what}: stepwise");
    assert!(together.windows >= 2, "{what}: forward and back, {}", together.windows);
    assert_eq!(together.bytes, stepwise.bytes, "{what}: planned bytes");
    if target.device_kind == DeviceKind::Cpu {
        are_the_same(what, &together, &stepwise);
    } else {
        let halves = training.storage == Storage::F16;
        are_near(what, &together, &stepwise, if halves { 2e-2 } else { 1e-4 });
        are_the_same(&format!("{what}, once more"), &together, &train(Windows::Whole));
    }
}

fn are_the_same(what: &str, a: &Trained, b: &Trained) {
    let bits = |trained: &Trained| {
        let of = |(name, x): (&String, &Vec<f32>)| (name.clone(), x.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        let state = trained.state.iter().map(|(name, x)| (name, x));
        trained.end.iter().chain(state).map(of).collect::<Vec<_>>()
    };
    assert_eq!(a.reports, b.reports, "{what}: losses and norms");
    assert_eq!(bits(a), bits(b), "{what}: parameters and state");
}

/// Losses, norms and states differ by no more than `most` of theirs, parameters by no more than that of what was learnt.
fn are_near(what: &str, a: &Trained, b: &Trained, most: f32) {
    let near = |name: &str, a: f32, b: f32, size: f32| {
        assert!((a - b).abs() <= most * size, "{what}: {name} {a} instead of {b}, of about {size}");
    };
    assert_eq!(a.reports.len(), b.reports.len(), "{what}");
    for (a, b) in a.reports.iter().zip(&b.reports) {
        near("loss", a.loss, b.loss, b.loss);
        near("norm", a.grad_norm, b.grad_norm, b.grad_norm);
    }
    let names = |trained: &Trained| trained.state.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(a), names(b), "{what}");
    for ((name, a), (_, b)) in a.state.iter().zip(&b.state) {
        a.iter().zip(b).for_each(|(a, b)| near(name, *a, *b, 1.0));
    }
    for (name, start) in &a.start {
        let (a, b) = (&a.end[name], &b.end[name]);
        let learnt = b.iter().zip(start).map(|(b, start)| (b - start).abs()).fold(0.0, f32::max);
        assert!(learnt > 0.0, "{what}: {name} has learnt nothing");
        a.iter().zip(b).for_each(|(a, b)| near(name, *a, *b, learnt));
    }
}

const CELLS: [(&str, Cell); 3] = [("rnn", Cell::Rnn(Function::Relu)), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];

#[test]
fn the_same_bits_come_out_of_a_window_in_one_dispatch_and_in_many() {
    let device = device();
    let here: (&Device, &Target) = (&device, device.target());
    // With the kernels of a graphics processor, whose sums are others.
    let graphics = Target { device_kind: DeviceKind::Discrete, ..device.target().clone() };
    for (name, cell) in CELLS {
        let training = language_model(cell, [33, 9]);
        compare(&format!("{name} of 33"), here, &training, &following(&training, VOCABULARY, STEPS));
        // What is handed to the last layer is worked out in pieces here, each of which is a dispatch.
        let training = language_model(cell, [32, 8]);
        let batches = following(&training, VOCABULARY, STEPS);
        let pieces = whole(&plan(&training, device.target(), Windows::Whole).plan);
        assert!(pieces > 8 || matches!(cell, Cell::Rnn(_)), "{name}: {pieces}");
        compare(&format!("{name} of 32"), here, &training, &batches);
        compare(&format!("{name}, f16"), here, &training.clone().storage(Storage::F16), &batches);
        let segments = Some(Segments { timesteps: 3, states: None });
        compare(&format!("{name}, in segments"), here, &Training { segments, ..training }, &batches);
        compare(&format!("{name}, ragged"), here, &ragged(cell), &of_rows());
        if device.target().device_kind == DeviceKind::Cpu {
            let training = language_model(cell, [32, 8]);
            compare(&format!("{name}, as on a card"), (&device, &graphics), &training, &batches);
            let training = training.storage(Storage::F16);
            compare(&format!("{name}, f16, as on a card"), (&device, &graphics), &training, &batches);
        }
    }
}

#[test]
fn the_bytes_are_the_same_whatever_is_chosen() {
    for target in ["lavapipe", "nvidia-h200"].map(|name| Target::profile(name).unwrap()) {
        for (name, cell) in CELLS {
            for (hidden, rows, layers, bidirectional, timesteps) in
                [(5, 3, 2, true, 3), (64, 8, 1, false, 3), (24, 20, 2, false, 8), (100, 1, 1, true, 8)]
            {
                let spec = Recurrent { bidirectional, ..Recurrent::new(cell, hidden).layers(layers) };
                let model = Model::new().embedding(12).recurrent(spec).output();
                let segments = Some(Segments { timesteps, states: None }).filter(|_| !bidirectional && timesteps < 8);
                let training = Training::new(model, Task::next_token(VOCABULARY), rows).window(8);
                let training = Training { carry_state: !bidirectional, sample: !bidirectional, ..training };
                for storage in [Storage::F32, Storage::F16] {
                    let training = Training { segments, ..training.clone() }.storage(storage);
                    let bytes = |windows| plan(&training, &target, windows).plan.planned_bytes();
                    assert_eq!(
                        bytes(Windows::Stepwise),
                        bytes(Windows::Whole),
                        "{name} of {hidden} on {}",
                        target.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_window_is_one_dispatch_where_that_is_told_to_be_quicker() {
    let target = Target::profile("lavapipe").unwrap();
    let quicker =
        |hidden, target: &Target| whole(&plan(&language_model(Cell::Lstm, [hidden, 9]), target, Windows::Quicker).plan);
    // A dispatch takes as long as a timestep of a few units, and a timestep of many is better cut up.
    assert!(quicker(32, &target) >= 2);
    assert_eq!(quicker(1024, &target), 0);
    let with = |rates| Target { rates: Some(rates), ..target.clone() };
    let free = Rates { dispatch_seconds: 0.0, workgroups: 64.0, ..Rates::assumed() };
    assert_eq!(quicker(32, &with(free)), 0, "where dispatches cost nothing and processors idle");
    // Four rows of 128 units keep one processor of many at work.
    let on = |processors| with(Rates::of_software(processors));
    let of_128 = |target: &Target| whole(&plan(&language_model(Cell::Lstm, [128, 4]), target, Windows::Quicker).plan);
    assert!(of_128(&on(1)) >= 2 && of_128(&on(32)) == 0);
    let dear = Rates { dispatch_seconds: 1e-2, ..Rates::assumed() };
    assert!(quicker(512, &with(dear)) >= 2, "where they cost ten milliseconds");
    // However dear, none takes longer than a submission should.
    let slow = Rates { unit_seconds: 1e-6, dispatch_seconds: 1e3, ..Rates::assumed() };
    assert_eq!(quicker(512, &with(slow)), 0);
}

#[test]
fn it_is_one_dispatch_more_often_where_its_weight_is_in_a_texture() {
    let planned = |hidden, tiles, seconds| {
        let textures = TextureRates { tiles, streams: None, seconds, bytes_per_second: 25e9 };
        let rates = Rates { textures: Some(textures), ..Rates::assumed() };
        let target = Target { rates: Some(rates), ..Target::profile("lavapipe").unwrap() };
        let plan = plan(&language_model(Cell::Lstm, [hidden, 9]), &target, Windows::Quicker).plan;
        (whole(&plan), plan.texture.rows > 0)
    };
    // With no texture, with one, and where each dispatch that has something copied there takes a second.
    let all = |hidden| [planned(hidden, None, 5e-5), planned(hidden, Some(0.4), 5e-5), planned(hidden, Some(0.4), 1.0)];
    assert_eq!(all(64), [(2, false), (2, true), (2, false)]);
    assert_eq!(all(128), [(0, false), (2, true), (0, false)]);
    // Where a dispatch that has something copied takes no longer than another, timesteps of many units are better apart.
    assert_eq!(planned(320, Some(0.4), 0.0), (0, true));
}

#[test]
fn on_a_graphics_processor_it_is_what_was_measured_that_tells() {
    let card = Target::profile("nvidia-h200").unwrap();
    let rates = Rates { workgroups: 132.0, dispatch_seconds: 3e-6, bytes_per_second: 2e12, ..Rates::assumed() };
    let measured = |seconds, weights_per_second| {
        let rates = Some(Rates { turns: Some(Turns { seconds, weights_per_second }), ..rates });
        Target { rates, ..card.clone() }
    };
    let chosen = |hidden, target: &Target| {
        let plan = plan(&language_model(Cell::Lstm, [hidden, 9]), target, Windows::Quicker).plan;
        plan.replay().unwrap();
        whole(&plan)
    };
    assert!(chosen(32, &measured(1e-6, 25e9)) >= 2);
    assert_eq!(chosen(512, &measured(1e-6, 25e9)), 0, "a million weights take 40 us a timestep");
    // A window of weights in halves takes as long as one of weights in full.
    let halves = |target: &Target| {
        let training = language_model(Cell::Lstm, [64, 9]).storage(Storage::F16).parameter_storage(Storage::F16);
        whole(&plan(&training, target, Windows::Quicker).plan)
    };
    let speeds: Vec<f64> = (0..16).map(|i| 1e8 * 1.5f64.powi(i)).collect();
    let both = speeds.iter().map(|speed| measured(1e-6, *speed)).map(|target| (chosen(64, &target), halves(&target)));
    let (full, halves): (Vec<usize>, Vec<usize>) = both.unzip();
    assert!(full[0] == 0 && full[15] >= 2, "{full:?}");
    assert_eq!(halves, full, "weights in a second: {speeds:?}");
    assert_eq!(chosen(32, &measured(20e-6, 25e9)), 0, "slow to wait for one another");
    assert_eq!(chosen(32, &Target { rates: Some(rates), ..card.clone() }), 0, "not measured");
}

#[test]
fn nothing_is_assumed_of_a_graphics_processor_that_was_not_measured() {
    for name in Target::shipped() {
        let target = Target::profile(name).unwrap();
        if target.device_kind != DeviceKind::Cpu {
            assert_eq!(whole(&plan(&language_model(Cell::Lstm, [32, 9]), &target, Windows::Quicker).plan), 0, "{name}");
        }
    }
}
