//! What training promises, on the device: the same update however a batch is split, the same bits
//! twice, not a byte more than planned.

#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use plimsoll::device::Device;
use plimsoll::error::ErrorKind;
use plimsoll::nn::{INPUTS, Model, TARGETS};
use plimsoll::text::{IGNORE, Streams, Text, Unit};
use plimsoll::training::{Batch, Data, Network, Optimizer, Sampling, Session, StepReport, Task, Training, Writer};

/// One device for all tests, and one test at a time: a device counts its bytes for all runs together.
fn device() -> MutexGuard<'static, Device> {
    static DEVICE: OnceLock<Mutex<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Mutex::new(Device::open().unwrap()));
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

const TEXT: &str = "the load line is drawn before the ship is loaded, and what is above it stays ashore. ";

fn text(times: usize) -> Text {
    Text::from_bytes(TEXT.repeat(times).as_bytes(), Unit::Char, "test").unwrap()
}

fn training() -> Training {
    let vocabulary = text(1).vocabulary.len();
    let model = Model::new().embedding(8).rnn(16).output();
    Training {
        optimizer: Optimizer::adamw(1e-2),
        clip_norm: Some(1.0),
        seed: 3,
        report_every: 4,
        ..Training::new(model, Task::next_token(vocabulary.try_into().unwrap()), 8).window(6)
    }
}

fn with_model(model: Model) -> Training {
    let task = training().network.task().unwrap().clone();
    Training { network: Network::Layers { model, task }, ..training() }
}

/// What a batch holds under `name`.
fn field<'a>(batch: &'a mut Batch, name: &str) -> &'a mut Data {
    let found = batch.fields.iter_mut().find(|(field, _)| field == name);
    &mut found.unwrap().1
}

/// The same batch with other data under `name`.
fn with(batch: &Batch, name: &str, data: Data) -> Batch {
    let mut batch = batch.clone();
    *field(&mut batch, name) = data;
    batch
}

/// Batches of every kind: full windows, a short one at the streams' end, ignored targets.
fn batches(count: usize) -> Vec<Batch> {
    let ids: Arc<[u32]> = text(4).ids.into();
    let mut streams = Streams::new(ids, 8, 6).unwrap();
    let mut batches: Vec<Batch> = (0..count).map(|_| streams.next_window().into()).collect();
    for (i, batch) in batches.iter_mut().enumerate() {
        let Data::U32(targets) = field(batch, TARGETS) else { panic!("text has ids") };
        // So many, and so unevenly, that means of groups are no mean of the whole.
        targets.iter_mut().step_by(3).take(i * 2).for_each(|t| *t = IGNORE);
    }
    batches
}

fn run(session: &mut Session, batches: &[Batch]) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for batch in batches {
        reports.extend(session.step(batch).unwrap());
    }
    reports.extend(session.finish().unwrap());
    reports
}

fn trained(device: &Device, training: &Training, batches: &[Batch]) -> (Vec<StepReport>, Vec<f32>) {
    let mut session = Session::new(training, device).unwrap();
    let reports = run(&mut session, batches);
    let parameters = session.parameters().unwrap().into_iter().flat_map(|(_, _, numbers)| numbers).collect();
    (reports, parameters)
}

#[test]
fn a_batch_split_into_1_2_4_or_8_micro_steps_gives_the_same_update() {
    let device = &device();
    let batches = batches(16);
    let short = batches.iter().any(|b| matches!(b.field(TARGETS), Some(Data::U32(t)) if t.ends_with(&[IGNORE; 8])));
    assert!(short, "a short last window is among them");
    let (whole, parameters) = trained(device, &training(), &batches);
    for accumulate in [2, 4, 8] {
        let (split, others) = trained(device, &training().accumulate(accumulate), &batches);
        for (a, b) in whole.iter().zip(&split) {
            assert_eq!((a.step, a.tokens), (b.step, b.tokens));
            assert!((a.loss - b.loss).abs() < 1e-6 * a.loss, "{accumulate}: {a:?} {b:?}");
            assert!((a.grad_norm - b.grad_norm).abs() < 1e-5 * a.grad_norm, "{accumulate}: {a:?} {b:?}");
        }
        for (a, b) in parameters.iter().zip(&others) {
            assert!((a - b).abs() < 1e-5, "{accumulate}: {a} {b}");
        }
    }
}

#[test]
fn two_runs_with_one_seed_are_equal_to_the_last_bit_and_another_seed_is_not() {
    let device = &device();
    let batches = batches(12);
    let bits = |(reports, parameters): (Vec<StepReport>, Vec<f32>)| {
        let losses: Vec<u32> = reports.iter().map(|r| r.loss.to_bits()).collect();
        (losses, parameters.iter().map(|p| p.to_bits()).collect::<Vec<_>>())
    };
    let first = bits(trained(device, &training(), &batches));
    assert_eq!(first, bits(trained(device, &training(), &batches)));
    assert_ne!(first.0, bits(trained(device, &Training { seed: 4, ..training() }, &batches)).0);
}

#[test]
fn the_device_holds_exactly_what_was_planned_and_nothing_more_after_the_first_step() {
    let device = &device();
    let mlp = Training::new(Model::new().linear(9).tanh().output(), Task::regression(3, 2), 6);
    let mlp = Training { optimizer: Optimizer::sgd(0.1, 0.9), ..mlp.accumulate(3) };
    let rows = Batch::numbers(vec![0.5; 18], vec![0.25; 12]);
    let text_batches = batches(10);
    let cases = [(training(), text_batches.clone()), (training().accumulate(4), text_batches), (mlp, vec![rows; 10])];
    for (training, batches) in cases {
        let mut session = Session::new(&training, device).unwrap();
        let Some(before) = session.held() else { continue };
        assert_eq!(before.bytes, session.plan().planned_bytes());
        for batch in &batches {
            session.step(batch).unwrap();
            assert_eq!(session.held(), Some(before), "a step created a buffer");
        }
        session.finish().unwrap();
        session.parameters().unwrap();
        assert_eq!(session.held(), Some(before));
        assert_eq!(session.allocations_after_first_step(), Some(0));
    }
}

#[test]
fn a_buffer_outside_the_plan_is_seen_by_the_counters() {
    let device = &device();
    let batches = batches(3);
    let mut session = Session::new(&training(), device).unwrap();
    session.step(&batches[0]).unwrap();
    let Some(before) = session.held() else { return };
    let stray = device.stray_buffer(4096);
    session.step(&batches[1]).unwrap();
    assert_eq!(session.held().unwrap().bytes, before.bytes + 4096);
    drop(stray);
    session.step(&batches[2]).unwrap();
    assert_eq!(session.held().unwrap().bytes, before.bytes);
    assert_eq!(session.allocations_after_first_step(), Some(1), "it is gone, and was seen");
}

#[test]
fn two_sessions_on_one_device_are_each_told_what_is_theirs() {
    let device = &device();
    let a = Session::new(&training(), device).unwrap();
    let small = with_model(Model::new().embedding(3).rnn(5).output());
    let b = Session::new(&small, device).unwrap();
    if a.held().is_none() {
        return;
    }
    assert_ne!(a.plan().planned_bytes(), b.plan().planned_bytes());
    assert_eq!(a.held().unwrap().bytes, a.plan().planned_bytes());
    assert_eq!(b.held().unwrap().bytes, b.plan().planned_bytes());
    drop(a);
    assert_eq!(b.held().unwrap().bytes, b.plan().planned_bytes());
}

#[test]
fn a_dropped_session_gives_every_byte_back() {
    let device = &device();
    let session = Session::new(&training(), device).unwrap();
    let planned = session.plan().planned_bytes();
    drop(session);
    // What the next session holds is counted from what was there before it.
    let mut next = Session::new(&training(), device).unwrap();
    run(&mut next, &batches(3));
    assert!(next.held().is_none_or(|held| held.bytes == planned));
}

#[test]
fn the_host_runs_the_same_plan_to_the_same_losses() {
    let device = &device();
    let batches = batches(12);
    for training in [training(), training().accumulate(2)] {
        let planned = training.plan(device.target()).unwrap();
        let mut host = Session::on_host(planned.clone()).unwrap();
        let mut session = Session::start(planned, device).unwrap();
        for (a, b) in run(&mut host, &batches).iter().zip(run(&mut session, &batches)) {
            assert!((a.loss - b.loss).abs() < 1e-5 * a.loss, "{a:?} {b:?}");
        }
        let (a, b) = (host.state().unwrap(), session.state().unwrap());
        for ((name, a), (other, b)) in a.iter().zip(&b) {
            assert_eq!((name, a.len()), (other, b.len()));
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}

#[test]
fn a_plan_spread_over_many_small_buffers_and_bindings_trains_alike() {
    let device = &device();
    let batches = batches(8);
    let training = with_model(Model::new().embedding(8).rnn(32).output());
    let (whole, _) = trained(device, &training, &batches);
    let mut small = device.target().clone();
    // The widest value, the states, takes 6 * 8 * 32 * 4 bytes, and the parameters more than that.
    (small.limits.max_buffer_size, small.limits.max_storage_buffer_binding_size) = (6_200, 6_200);
    let planned = training.plan(&small).unwrap();
    assert!(planned.plan.arenas.len() > 10, "{} arenas", planned.plan.arenas.len());
    assert!(planned.handles.parameter_slots.len() > 1);
    let optimizer = planned.plan.dispatches("update");
    assert!(optimizer > training.plan(device.target()).unwrap().plan.dispatches("update"));
    let mut session = Session::start(planned, device).unwrap();
    for (a, b) in whole.iter().zip(run(&mut session, &batches)) {
        assert!((a.loss - b.loss).abs() < 1e-5 * a.loss, "{a:?} {b:?}");
        assert!((a.grad_norm - b.grad_norm).abs() < 1e-5 * a.grad_norm, "{a:?} {b:?}");
    }
}

#[test]
fn memory_is_the_same_for_a_text_a_hundred_times_as_long() {
    let device = &device();
    let mut held = Vec::new();
    for times in [2, 200] {
        let mut streams = Streams::new(text(times).ids.into(), 8, 6).unwrap();
        let mut session = Session::new(&training(), device).unwrap();
        for _ in 0..40 {
            session.step(&streams.next_window().into()).unwrap();
        }
        session.finish().unwrap();
        held.push((session.plan().planned_bytes(), session.held()));
    }
    assert_eq!(held[0], held[1]);
}

#[test]
fn state_is_carried_from_window_to_window_and_reset_where_asked() {
    let device = &device();
    let batches = batches(4);
    let frozen = Training { optimizer: Optimizer::sgd(0.0, 0.0), ..training() };
    let losses =
        |batches: &[Batch]| -> Vec<f32> { trained(device, &frozen, batches).0.iter().map(|r| r.loss).collect() };
    let carried = losses(&batches);
    let reset: Vec<Batch> = batches.iter().map(|b| Batch { reset: vec![true; 8], ..b.clone() }).collect();
    let cut = losses(&reset);
    assert_eq!(carried[0], cut[0], "the first window starts from zero in any case");
    assert!(carried[1..].iter().zip(&cut[1..]).all(|(a, b)| a != b), "{carried:?} {cut:?}");
    // The second window alone is what it is after a reset.
    assert_eq!(losses(&reset[1..2])[0], cut[1]);
    // One row reset leaves the others' state alone.
    let one: Vec<Batch> =
        batches.iter().map(|b| Batch { reset: (0..8).map(|r| r == 2).collect(), ..b.clone() }).collect();
    let mixed = losses(&one);
    assert!(mixed[1] != carried[1] && mixed[1] != cut[1], "{mixed:?}");
}

#[test]
fn evaluation_and_sampling_leave_training_alone() {
    let device = &device();
    let batches = batches(9);
    let (plain, parameters) = trained(device, &training(), &batches);
    let mut session = Session::new(&training(), device).unwrap();
    let vocabulary = text(1).vocabulary;
    let mut reports = Vec::new();
    for batch in &batches {
        reports.extend(session.step(batch).unwrap());
        let held_out = session.evaluate(batches[..2].iter().cloned()).unwrap();
        assert!(held_out.mean().unwrap().is_finite());
        Writer::new(&mut session, &vocabulary, Sampling::default()).unwrap().write("the ", 3).unwrap();
    }
    reports.extend(session.finish().unwrap());
    assert_eq!(reports, plain);
    let after: Vec<f32> = session.parameters().unwrap().into_iter().flat_map(|(_, _, n)| n).collect();
    assert_eq!(after, parameters);
}

#[test]
fn evaluation_gives_the_loss_that_training_reports() {
    let device = &device();
    let batches = batches(1);
    let frozen = Training { optimizer: Optimizer::sgd(0.0, 0.0), ..training() };
    let mut session = Session::new(&frozen, device).unwrap();
    let reported = run(&mut session, &batches)[0].loss;
    let evaluated = session.evaluate(batches).unwrap().mean().unwrap();
    assert!((f64::from(reported) - evaluated).abs() < 1e-5, "{reported} {evaluated}");
}

#[test]
fn a_model_learns_a_text_by_heart_and_writes_it_down() {
    let device = &device();
    let training = Training { optimizer: Optimizer::adamw(1e-2), ..training() };
    let vocabulary = text(1).vocabulary;
    let mut streams = Streams::new(text(10).ids.into(), 8, 6).unwrap();
    let mut session = Session::new(&training, device).unwrap();
    let mut last = f32::MAX;
    for _ in 0..700 {
        last = session.step(&streams.next_window().into()).unwrap().last().map_or(last, |r| r.loss);
    }
    session.finish().unwrap();
    assert!(last < 0.6, "the loss is still {last}");
    let mut likeliest = Writer::new(&mut session, &vocabulary, Sampling { temperature: 0.0, seed: 0 }).unwrap();
    let written = likeliest.write("the load line is drawn before ", 20).unwrap();
    assert_eq!(written, "the ship is loaded, ");
}

#[test]
fn batches_that_do_not_fit_the_plan_are_named() {
    let device = &device();
    let mut session = Session::new(&training(), device).unwrap();
    let good = batches(1).remove(0);
    let cases = [
        (with(&good, INPUTS, Data::U32(vec![0; 5])), "5 inputs, and the plan is for 48"),
        (with(&good, INPUTS, Data::F32(vec![0.0; 48])), "the task takes ids"),
        (with(&good, INPUTS, Data::U32(vec![99; 48])), "id 99 at position 0"),
        (with(&good, TARGETS, Data::U32(vec![77; 48])), "id 77 at position 0"),
        (Batch { reset: vec![true], ..good.clone() }, "1 resets, and the plan is for 8"),
    ];
    for (batch, needed) in cases {
        let error = session.step(&batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(needed), "{error}");
    }
    // Nothing of a rejected batch reaches the device.
    assert_eq!(session.steps(), 0);
    session.step(&good).unwrap();
}

#[test]
fn a_batch_with_nothing_to_learn_changes_no_gradient_and_breaks_nothing() {
    let device = &device();
    let mut session = Session::new(&training(), device).unwrap();
    let empty = with(&batches(1)[0], TARGETS, Data::U32(vec![IGNORE; 48]));
    let reports = run(&mut session, &[empty]);
    assert_eq!((reports[0].loss, reports[0].grad_norm, reports[0].tokens), (0.0, 0.0, 0));
    assert!(session.parameters().unwrap().iter().all(|(_, _, n)| n.iter().all(|x| x.is_finite())));
}
