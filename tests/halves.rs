//! Training with halves between dispatches: what it saves, how near it stays to `f32`, and that loss scaling
//! finds its scale and loses no step unsaid.

#![allow(clippy::cast_possible_truncation, reason = "a handful of steps")]

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::bytes::Bytes;
use plimsoll::device::DeviceEngine;
use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::host::{decode, encode};
use plimsoll::narrow::narrow;
use plimsoll::nn::{Answer, Cell, Custom, Field, Model, Recurrent, Task};
use plimsoll::ops::{Binary, Embedding, Function, Op, Scale, Sum};
use plimsoll::plan::{Plan, Staging};
use plimsoll::refusal::Alternative;
use plimsoll::target::Target;
use plimsoll::tensor::{DType, TensorType};
use plimsoll::training::{
    Batch, Data, LossScale, NonFinite, Optimizer, Origin, Session, StepReport, Storage, Training,
};

use sessions::{CELLS, device, following, on_host, parameter_bits, planned, run};

const VOCABULARY: u32 = 13;

/// A language model of this cell over a repeating text, state carried.
fn language_model(cell: Cell, hidden: u32, storage: Storage) -> Training {
    let model = Model::new().embedding(12).recurrent(Recurrent::new(cell, hidden)).output();
    let task = Task::next_token(VOCABULARY);
    Training { clip_norm: Some(1.0), report_every: 1, ..Training::new(model, task, 6).window(8) }.storage(storage)
}

fn losses(reports: &[StepReport]) -> Vec<f32> {
    reports.iter().map(|r| r.loss).collect()
}

fn mean(numbers: &[f32]) -> f32 {
    numbers.iter().sum::<f32>() / numbers.len() as f32
}

/// The greatest difference of two lists, as a share of the second's.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).fold(0.0, |m, (x, y)| if x.is_nan() { f32::INFINITY } else { m.max(((x - y) / y).abs()) })
}

/// Odd sizes too, where two threads share a word, and some rows end within one.
#[test]
fn every_cell_learns_in_halves_as_in_full() {
    let device = device();
    for (name, cell) in CELLS {
        for hidden in [16, 7] {
            let [full, halves] = [Storage::F32, Storage::F16].map(|s| language_model(cell, hidden, s));
            let batches = following(&full, VOCABULARY, 40);
            let full = run(&mut Session::new(&full, &device).unwrap(), &batches);
            let found = run(&mut Session::new(&halves, &device).unwrap(), &batches);
            let off = apart(&losses(&found), &losses(&full));
            println!("{name} {hidden}: off by {off:.1e} of {} > {}", full[0].loss, full[39].loss);
            assert!(off < 1e-2, "{name} of {hidden} units: {off:.1e}");
            assert!(full[39].loss < full[0].loss, "{name} learns");
            let last = found[39];
            assert_eq!((last.skipped_so_far, last.next_loss_scale), (0, Some(65536.0)), "{name}");
            let of_norms = |r: &[StepReport]| r.iter().map(|r| r.grad_norm).collect::<Vec<_>>();
            assert!(apart(&of_norms(&found[..1]), &of_norms(&full[..1])) < 1e-2, "{name}: the scale is taken out");
        }
    }
}

#[test]
fn the_host_rounds_as_the_device_does() {
    let device = device();
    for (name, cell) in CELLS {
        let training = language_model(cell, 7, Storage::F16);
        let batches = following(&training, VOCABULARY, 3);
        let found = run(&mut Session::new(&training, &device).unwrap(), &batches);
        let wanted = run(&mut on_host(&training), &batches);
        assert!(apart(&losses(&found), &losses(&wanted)) < 1e-3, "{name}: {found:?}\n{wanted:?}");
    }
}

#[test]
fn activations_take_half_the_bytes_and_nothing_takes_more() {
    for (name, cell) in CELLS.into_iter().filter(|(name, _)| *name != "gru, reset before") {
        let model = || Model::new().embedding(64).recurrent(Recurrent::new(cell, 128)).output();
        let plan = |storage| {
            let training = Training::new(model(), Task::next_token(96), 16).window(32).storage(storage);
            planned(&training).plan
        };
        let (full, halves) = (plan(Storage::F32), plan(Storage::F16));
        let of = |plan: &Plan, role| plan.roles().into_iter().find(|(r, _)| *r == role).unwrap().1;
        for role in [Role::Activation, Role::CarriedState] {
            let (whole, half) = (of(&full, role), of(&halves, role));
            let share = half as f64 / whole as f64;
            println!("{name} {role:?}: {half} of {whole} B, {share:.3}");
            // What stays in full: sums carried from step to step on the way back, and losses.
            assert!(share < 0.52, "{name} {role:?}: {half} of {whole}");
        }
        for role in [Role::Parameter, Role::Gradient, Role::Input] {
            assert_eq!(of(&full, role), of(&halves, role), "{name} {role:?}");
        }
        // The scaler's four numbers.
        assert!(of(&halves, Role::OptimizerState) - of(&full, Role::OptimizerState) <= 256, "{name}");
    }
}

#[test]
fn what_is_planned_in_halves_is_what_the_device_holds_and_two_runs_are_equal_to_the_bit() {
    let device = device();
    let training = Training { accumulate: 2, ..language_model(Cell::Lstm, 7, Storage::F16) };
    let batches = following(&training, VOCABULARY, 5);
    let train = || {
        let mut session = Session::new(&training, &device).unwrap();
        let reports = run(&mut session, &batches);
        let held = session.held().map(|held| held.bytes);
        assert!(held.is_none_or(|bytes| bytes == session.plan().planned_bytes()));
        assert!(session.allocations_after_first_step().is_none_or(|more| more == 0));
        (losses(&reports), parameter_bits(&mut session))
    };
    assert_eq!(train(), train());
}

/// As `Cast` copies them: every cell, and a perceptron, whose products are of parameters alone.
#[test]
fn with_parameters_in_halves_too_runs_stay_near_those_in_full_and_the_host_does_the_same() {
    let device = device();
    for (name, cell) in CELLS {
        for hidden in [16, 7] {
            let full = language_model(cell, hidden, Storage::F32);
            let halves = full.clone().storage(Storage::F16).parameter_storage(Storage::F16);
            let batches = following(&full, VOCABULARY, 20);
            let wanted = losses(&run(&mut Session::new(&full, &device).unwrap(), &batches));
            let mut session = Session::new(&halves, &device).unwrap();
            let copies = casts(session.plan(), "first");
            // The embedding's table is read row by row, and biases are no factors.
            assert_eq!(copies, if name == "gru, reset before" { 2 } else { 3 }, "{name}: copies of weights");
            assert_eq!(casts(session.plan(), "sample"), 0, "text is written with parameters in full");
            let found = losses(&run(&mut session, &batches));
            assert_eq!(
                session.held().map_or(session.plan().planned_bytes(), |held| held.bytes),
                session.plan().planned_bytes()
            );
            let off = apart(&found, &wanted);
            println!("{name} {hidden}: off by {off:.1e}");
            assert!(off < 1e-2, "{name} of {hidden} units: {off:.1e}");
            assert_ne!(found, losses(&run(&mut Session::new(&full.storage(Storage::F16), &device).unwrap(), &batches)));
            let on_host = losses(&run(&mut on_host(&halves), &batches[..3]));
            assert!(apart(&found[..3], &on_host) < 1e-3, "{name}: {found:?}\n{on_host:?}");
        }
    }
}

#[test]
fn copies_that_are_kept_between_micro_steps_change_no_bit_and_are_given_up_where_there_is_no_room() {
    let device = device();
    let perceptron = Model::new().linear(64).relu().linear(48).relu().output();
    let rows = |kind: u32| Batch::numbers(sessions::noise(6 * 40, kind), sessions::noise(6 * 9, kind + 9));
    let text = language_model(Cell::GruResetBefore, 7, Storage::F32);
    let of = [
        (following(&text, VOCABULARY, 4), text),
        ((0..4).map(rows).collect(), Training::new(perceptron, Task::regression(40, 9), 6)),
    ];
    for (batches, training) in of {
        let halves = Training { report_every: 1, ..training.storage(Storage::F16).parameter_storage(Storage::F16) };
        let kept = halves.accumulate(3);
        let anew = Training { keep_copies: false, ..kept.clone() };
        let [plan, other] = [&kept, &anew].map(|training| training.plan(device.target()).unwrap().plan);
        plan.replay().unwrap();
        assert!(casts(&plan, "first") > 1 && casts(&plan, "next") == 0);
        assert_eq!(casts(&plan, "first"), casts(&other, "next"));
        assert_eq!(casts(&plan, "evaluate"), casts(&other, "evaluate"), "which runs after updates");
        let learnt = |mut session: Session| {
            let found = losses(&run(&mut session, &batches));
            sessions::holds_what_was_planned(&session);
            (found, parameter_bits(&mut session))
        };
        let [found, wanted] = [&kept, &anew].map(|training| learnt(Session::new(training, &device).unwrap()));
        assert_eq!(found, wanted);
        let [found, wanted] = [&kept, &anew].map(|training| losses(&run(&mut on_host(training), &batches)));
        assert_eq!(found, wanted, "on the host");
    }
}

#[test]
fn copies_that_there_is_no_room_for_are_made_anew_in_each_micro_step() {
    let target = Target::profile("webgpu-default").unwrap();
    let perceptron = Model::new().linear(64).relu().linear(48).relu().output();
    let halves = Training::new(perceptron, Task::regression(40, 9), 6).storage(Storage::F16);
    let kept = halves.parameter_storage(Storage::F16).accumulate(3);
    let anew = Training { keep_copies: false, ..kept.clone() };
    let [needed, less] = [&kept, &anew].map(|training| {
        let tight = Training { memory: Some(Bytes(1)), ..training.clone() };
        tight.plan(&target).unwrap().plan.planned_bytes()
    });
    // The first layer's 64 x 40 halves, which the way back has no use for.
    assert!(less + 5120 <= needed, "{less} and {needed}");
    let within = |memory: u64| Training { memory: Some(Bytes(memory)), ..kept.clone() };
    assert!(within(needed).bargain(&target).unwrap().bargain.is_none());
    for memory in [needed - 1, less] {
        let made = within(memory).bargain(&target).unwrap();
        assert!(made.fits() && made.bargain.is_some() && !made.training.keep_copies, "{:?}", made.training.way());
        assert_eq!(made.training.accumulate, 3);
        assert_eq!(made.training.lines_beside(&kept), ["[budget]", "keep_copies = false"]);
        let refusal = within(memory).plan(&target).unwrap().refusal().unwrap();
        let told = |alternative: &Alternative| alternative.lines == ["[budget]", "keep_copies = false"];
        assert!(refusal.alternatives.iter().any(told), "{refusal}");
    }
}

/// Copies in halves that a program makes of parameters.
fn casts(plan: &Plan, program: &str) -> usize {
    let graph = &plan.graph;
    let nodes = graph.programs().iter().find(|p| p.name == program).unwrap().nodes.iter();
    nodes.filter(|node| matches!(graph[**node].op, Op::Cast(_))).count()
}

/// Steps of which none would change a number of 11 bits.
#[test]
fn what_is_learnt_in_steps_too_small_for_halves_is_kept_by_what_is_in_full() {
    let device = device();
    let model = Model::new().linear(1).output();
    let training = Training {
        optimizer: Optimizer::sgd(1e-5, 0.0),
        report_every: 1,
        ..Training::new(model, Task::regression(4, 1), 8)
    };
    let halves = training.clone().storage(Storage::F16).parameter_storage(Storage::F16);
    let batches = vec![Batch::numbers(vec![1.0; 32], vec![3.0; 8]); 200];
    let after = |training: &Training| {
        let mut session = Session::new(training, &device).unwrap();
        run(&mut session, &batches);
        session.parameters().unwrap()
    };
    let (before, full, found) =
        (Session::new(&training, &device).unwrap().parameters().unwrap(), after(&training), after(&halves));
    for ((full, found), before) in full.iter().zip(&found).zip(&before) {
        for ((x, y), start) in full.2.iter().zip(&found.2).zip(&before.2) {
            let moved = (x - start).abs();
            assert!(moved > 1e-4 && (x - y).abs() < 0.02 * moved, "{}: {start} became {x}, and {y}", full.0);
        }
    }
}

#[test]
fn a_parameter_that_no_half_holds_makes_a_step_that_changes_nothing_and_is_named() {
    let device = device();
    let training = language_model(Cell::Lstm, 8, Storage::F16).parameter_storage(Storage::F16);
    let training = Training { loss_scale: LossScale::Static(1024.0), non_finite: Some(NonFinite::Stop), ..training };
    let mut session = Session::new(&training, &device).unwrap();
    let large = sessions::file(&mut session, |name, numbers| {
        if name == "linear.weight" {
            numbers[3] = 70_000.0;
        }
    });
    session.load(&large).unwrap();
    let batch = following(&training, VOCABULARY, 1).remove(0);
    let before = parameter_bits(&mut session);
    let report = run(&mut session, std::slice::from_ref(&batch))[0];
    assert_eq!(report.skipped_so_far, 1);
    assert_eq!(parameter_bits(&mut session), before);
    let origin = session.find_non_finite(0, &batch).unwrap().unwrap();
    assert_eq!(origin, Origin::Layer { layer: "linear".into(), op: "cast", backward: false });
}

#[test]
fn parameters_in_halves_are_for_what_is_kept_in_halves_and_the_plan_says_that_they_save_nothing() {
    let full = language_model(Cell::Gru, 7, Storage::F32);
    let message = sessions::mistake(&full.clone().parameter_storage(Storage::F16));
    assert!(message.contains("store both in halves, or parameters in full too"), "{message}");
    let halves = full.storage(Storage::F16);
    let cast = halves.clone().parameter_storage(Storage::F16);
    let (plain, cast) = (planned(&halves), planned(&cast));
    assert!(plain.warnings().iter().all(|w| w.about != "masters"));
    let told = cast.warnings().into_iter().find(|w| w.about == "masters").unwrap();
    // W_ih (21, 12), W_hh (21, 7) and the output's (13, 7), each in whole words.
    assert_eq!(told.bytes, 2 * (21 * 12 + 21 * 7 + 13 * 7), "{}", told.text);
    assert!(cast.plan.planned_bytes() > plain.plan.planned_bytes());
}

#[test]
fn a_batch_in_parts_gives_the_same_update_in_halves() {
    let device = device();
    let whole = language_model(Cell::Gru, 16, Storage::F16);
    let batches = following(&whole, VOCABULARY, 6);
    let wanted = run(&mut Session::new(&whole, &device).unwrap(), &batches);
    let parts = Training { accumulate: 3, ..whole };
    let found = run(&mut Session::new(&parts, &device).unwrap(), &batches);
    assert!(apart(&losses(&found), &losses(&wanted)) < 2e-3);
}

/// A scale so large that its gradients are past what halves hold.
#[test]
fn a_step_that_overflows_changes_nothing_is_counted_and_the_scale_backs_off_until_one_does_not() {
    let device = device();
    let training = Training {
        loss_scale: LossScale::Dynamic { initial: 16_777_216.0, interval: 4 },
        ..language_model(Cell::Lstm, 16, Storage::F16)
    };
    let batches = following(&training, VOCABULARY, 24);
    let mut session = Session::new(&training, &device).unwrap();
    let start = parameter_bits(&mut session);
    let mut reports = session.step(&batches[0]).unwrap();
    assert_eq!(parameter_bits(&mut session), start, "the first step is skipped");
    reports.extend(run(&mut session, &batches[1..]));
    let scale = |r: &StepReport| r.next_loss_scale.unwrap();
    assert_eq!(reports.len(), 24, "every step is reported");
    assert!(reports[0].skipped && scale(&reports[0]) == 8_388_608.0);
    let skipped = reports.iter().filter(|r| r.skipped).count() as u64;
    assert_eq!(reports[23].skipped_so_far, skipped, "none is lost unsaid");
    let first = reports.iter().position(|r| !r.skipped).expect("it recovers");
    assert!((1..20).contains(&first), "{first} steps are skipped before one is not");
    assert!(reports.iter().skip(first).any(|r| scale(r) > scale(&reports[first])), "it grows again");
    assert!(reports.iter().all(|r| r.loss.is_finite()));
    assert!(mean(&losses(&reports[20..])) < reports[0].loss, "it learns in the end");

    // What Adam makes of its first step must not depend on how many were skipped before.
    let fresh = Training { loss_scale: LossScale::Static(scale(&reports[first - 1])), ..training.clone() };
    let mut fresh = Session::new(&fresh, &device).unwrap();
    let one = run(&mut fresh, &batches[first..=first]);
    assert!(!one[0].skipped);
    let mut again = Session::new(&training, &device).unwrap();
    run(&mut again, &batches[..first]);
    again.reset_state().unwrap();
    run(&mut again, &batches[first..=first]);
    assert_eq!(parameter_bits(&mut again), parameter_bits(&mut fresh));
}

#[test]
fn a_static_scale_stays_and_one_that_makes_no_sense_is_refused() {
    let device = device();
    let with = |scale| Training { loss_scale: scale, ..language_model(Cell::Gru, 7, Storage::F16) };
    let batches = following(&with(LossScale::default()), VOCABULARY, 3);
    let reports = run(&mut Session::new(&with(LossScale::Static(3e9)), &device).unwrap(), &batches);
    assert!(reports.iter().all(|r| r.skipped && r.next_loss_scale == Some(3e9)), "{reports:?}");
    assert_eq!(reports[2].skipped_so_far, 3);
    for scale in [
        LossScale::Static(0.0),
        LossScale::Static(f32::NAN),
        LossScale::Static(1e-40),
        LossScale::Dynamic { initial: 8.0, interval: 0 },
        LossScale::Dynamic { initial: 1e9, interval: 9 },
    ] {
        let said = with(scale).plan(&Target::profile("webgpu-default").unwrap()).unwrap_err().to_string();
        assert!(said.contains("must be"), "{said}");
    }
    // Its scale is found by the very steps that the run would stop for.
    let stops = Training { non_finite: Some(NonFinite::Stop), ..with(LossScale::default()) };
    let said = stops.plan(&Target::profile("webgpu-default").unwrap()).unwrap_err().to_string();
    assert!(said.contains("`non_finite = \"skip\"`"), "{said}");
    // Without halves nothing is scaled, whatever the setting says.
    let full = Training { storage: Storage::F32, ..with(LossScale::Static(0.0)) };
    assert_eq!(run(&mut Session::new(&full, &device).unwrap(), &batches)[0].next_loss_scale, None);
}

/// In words of two halves and in whole words of four, on any adapter.
#[test]
fn what_no_half_holds_is_stored_as_what_is_not_finite() {
    let device = device();
    let target = Target { shader_f16: false, ..device.target().clone() };
    let numbers = [1e6, -1e6, 65_504.0, 65_519.0, 65_520.0, -65_520.0, f64::NAN, f64::INFINITY, -1.0 / 3.0];
    for len in [8, 9] {
        let mut graph = Graph::default();
        graph.begin("program");
        let table = graph.held("table", Role::Parameter, TensorType::f32(&[1, len]), 1);
        let id = graph.held("id", Role::Input, TensorType::u32(&[1]), 1);
        let row = graph.apply_one(Embedding { padding_idx: None }, &[table, id]).unwrap();
        let slot = graph.slot("row", Role::CarriedState, 4 * u64::from(len), 1);
        graph.store(row, slot, 0);
        narrow(&mut graph, |_, _| true);
        let halves = graph[row].ty.clone();
        assert_eq!(halves.dtype, DType::F16);
        let given = graph[table].home.unwrap().slot;
        let plan = Plan::new(graph, &target, Staging::for_traffic(1 << 10, 1 << 10, 0, u64::MAX));
        let mut engine = DeviceEngine::new(&device, plan).unwrap();
        engine.upload(given, 0, 0, &encode(&numbers[..len as usize], &TensorType::f32(&[len]))).unwrap();
        engine.run(0, 0).unwrap();
        let found = decode(&engine.download(slot, 0).unwrap(), &halves);
        for (&found, &x) in found.iter().zip(&numbers) {
            let fits = x.abs() < 65_520.0;
            assert!(found.is_finite() == fits && (!fits || (found - x).abs() < 32.0), "{found} of {x}");
        }
    }
}

/// Gradients of which each element is too small for a half before it is scaled.
#[test]
fn a_loss_that_is_one_of_several_is_scaled_before_it_is_stored() {
    let device = device();
    let norm = |factors: &'static [f32], storage| {
        let rows = 8192;
        let custom = Custom::new([Field::numbers("x", &[4]), Field::numbers("targets", &[2])], move |b, batch| {
            let prediction = b.enter("output").linear(batch.field("x")?, 2, true, Function::Identity)?;
            b.enter("loss");
            let mut loss = b.mse(prediction, batch.field("targets")?)?;
            for &factor in factors {
                let other = b.l1(prediction, batch.field("targets")?)?;
                let other = b.apply_one(Scale { factor: 1e-4 * factor }, &[other])?;
                let halved = b.apply_one(Scale { factor }, &[loss])?;
                loss = b.add(&[halved, other])?;
            }
            Ok(Answer { prediction, loss })
        });
        let training = Training { report_every: 1, ..Training::custom(custom, rows) }.storage(storage);
        let mut session = Session::new(&training, &device).unwrap();
        let zeros = sessions::file(&mut session, |_, numbers| numbers.fill(0.0));
        session.load(&zeros).unwrap();
        let numbers = |width: u32, x| Data::F32(vec![x; (rows * width) as usize]);
        run(&mut session, &[Batch::named([("x", numbers(4, 1.0)), ("targets", numbers(2, 1e-4))])])[0].grad_norm
    };
    for factors in [&[][..], &[0.5], &[0.5, 0.25]] {
        let [full, halves] = [Storage::F32, Storage::F16].map(|storage| norm(factors, storage));
        assert!(full > 0.0 && apart(&[halves], &[full]) < 1e-2, "{factors:?}: {halves:e}, not {full:e}");
    }
}

/// What a network of two fields of 7 numbers learns.
#[derive(Clone, Copy)]
enum Learns {
    /// `y`, by the loss for it.
    Target,
    /// `x`, which it reads.
    Itself,
    /// `y`, by a loss written by hand.
    ByHand,
    /// `x` of a layer norm of it, and `y` nowhere.
    OfNorm,
}

/// A perceptron of 7 features, of which 5 rows end within a word.
fn perceptron(learns: Learns) -> Training {
    let fields = [Field::numbers("x", &[7]), Field::numbers("y", &[7])];
    let custom = Custom::new(fields, move |b, batch| {
        let x = batch.field("x")?;
        let norm = matches!(learns, Learns::OfNorm);
        let read = if norm { b.enter("norm").layer_norm(x, 1e-5, true, true)? } else { x };
        let hidden = b.enter("hidden").linear(read, 9, true, Function::Tanh)?;
        let prediction = b.enter("output").linear(hidden, 7, true, Function::Identity)?;
        b.enter("loss");
        let loss = match learns {
            Learns::Target => b.mse(prediction, batch.field("y")?)?,
            Learns::Itself | Learns::OfNorm => b.mse(prediction, x)?,
            Learns::ByHand => {
                let off = b.apply_one(Binary::Sub, &[prediction, batch.field("y")?])?;
                let squares = b.multiply(off, off)?;
                b.apply_one(Sum { scale: 1.0 / 35.0, accumulate: false }, &[squares])?
            }
        };
        Ok(Answer { prediction, loss })
    });
    Training { report_every: 1, ..Training::custom(custom, 5) }.storage(Storage::F16)
}

fn of_numbers(x: Vec<f32>, y: Vec<f32>) -> Batch {
    Batch::named([("x", Data::F32(x)), ("y", Data::F32(y))])
}

#[test]
fn numbers_that_only_products_read_are_uploaded_in_halves_and_others_are_not() {
    let device = device();
    let bytes = |training: &Training| {
        let plan = planned(training).plan;
        let of = |name| plan.graph.slot_ids().find(|&slot| plan.graph[slot].name == name).unwrap();
        ["x", "y"].map(|name| plan.graph[of(name)].bytes)
    };
    let training = perceptron(Learns::Target);
    assert_eq!(bytes(&training), [72, 140], "35 halves in 18 words, 35 in full");
    assert_eq!(bytes(&perceptron(Learns::Itself)), [140; 2], "a loss reads it as well, and nothing `y`");
    assert_eq!(bytes(&perceptron(Learns::ByHand)), [72, 140], "a loss need not know that it is one");
    assert_eq!(bytes(&perceptron(Learns::OfNorm)), [140; 2], "a norm takes what no half holds");
    assert_eq!(bytes(&training.clone().storage(Storage::F32)), [140; 2]);
    assert_eq!(bytes(&Training { inputs_in_halves: false, ..training.clone() }), [140; 2]);

    let batches: Vec<_> = (0..10).map(|i| of_numbers(sessions::noise(35, i), sessions::noise(35, 99 - i))).collect();
    let found = run(&mut Session::new(&training, &device).unwrap(), &batches);
    let full = run(&mut Session::new(&training.clone().storage(Storage::F32), &device).unwrap(), &batches);
    let host = run(&mut on_host(&training), &batches);
    assert!(apart(&losses(&found), &losses(&full)) < 1e-2, "{found:?}\n{full:?}");
    assert!(apart(&losses(&found), &losses(&host)) < 1e-3, "{found:?}\n{host:?}");
    let parts = Training { batch: 10, accumulate: 2, ..training };
    let twice = |seed| [sessions::noise(35, seed), sessions::noise(35, seed + 1)].concat();
    let batches: Vec<_> = (0..3).map(|i| of_numbers(twice(2 * i), twice(50 + 2 * i))).collect();
    let found = run(&mut Session::new(&parts, &device).unwrap(), &batches);
    let whole = run(&mut Session::new(&Training { accumulate: 1, ..parts }, &device).unwrap(), &batches);
    assert!(apart(&losses(&found), &losses(&whole)) < 1e-3, "{found:?}\n{whole:?}");
}

#[test]
fn a_number_that_no_half_holds_is_refused_before_anything_is_done_and_what_is_not_finite_goes_its_way() {
    let (model, task) = (Model::new().rnn(5).output(), Task::regression(3, 3).each_step());
    let training = Training { carry_state: true, report_every: 1, ..Training::new(model, task, 4).window(3) };
    let mut session = on_host(&training.accumulate(2).storage(Storage::F16));
    // The second timestep's third row, which the second micro-step would read.
    let with = |x: f32| {
        let mut numbers = vec![0.5; 36];
        numbers[12 + 6] = x;
        Batch::named([("inputs", Data::F32(numbers)), ("targets", Data::F32(vec![0.5; 36]))])
    };
    run(&mut session, &[with(0.25)]);
    let before = session.state().unwrap();
    let refused = session.step(&with(-65_520.0)).unwrap_err().to_string();
    assert_eq!(
        refused,
        "inputs: -65520 at position 18, and a half holds no number past 65504 either way; scale what is read, or have it \
         kept in full (`inputs_in_halves`)"
    );
    assert_eq!(session.state().unwrap(), before);
    let reports = run(&mut session, &[with(-65_519.0), with(f32::NAN), with(0.25)]);
    assert_eq!(reports.iter().map(|r| r.skipped).collect::<Vec<_>>(), [false, true, false], "{reports:?}");
}

#[test]
fn a_model_of_any_layer_can_be_kept_in_halves() {
    let device = device();
    let spec = Recurrent { bidirectional: true, layers: 2, dropout: 0.25, ..Recurrent::new(Cell::Lstm, 5) };
    let task = Task::classification(7, 3).whole_sequence();
    let model = Model::new().recurrent(spec).last().output();
    let training = Training { lengths: true, report_every: 1, ..Training::new(model, task, 4).window(6) };
    let inputs = sessions::noise(6 * 4 * 7, 1);
    let batch = Batch::classes(inputs, vec![0, 2, 1, 2]).with_lengths(vec![6, 1, 4, 2]);
    let batches = vec![batch; 20];
    let full = run(&mut Session::new(&training, &device).unwrap(), &batches);
    let found = run(&mut Session::new(&training.storage(Storage::F16), &device).unwrap(), &batches);
    assert!(apart(&losses(&found), &losses(&full)) < 2e-2, "{found:?}\n{full:?}");
}
