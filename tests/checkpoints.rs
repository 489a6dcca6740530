//! What is taken out of a session and put into another makes that one the same to the bit, and what may
//! differ between the two.

#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

#[path = "common/sessions.rs"]
mod sessions;

use std::collections::BTreeSet;

use plimsoll::graph::Role;
use plimsoll::nn::{Cell, Model, Recurrent};
use plimsoll::training::rate::{Curve, Schedule};
use plimsoll::training::{Batch, NonFinite, Optimizer, Session, StepReport, Storage, Task, Training, TrainingState};
use sessions::{CELLS, close, device, file, noise, on_host, optimizers, parameter_bits, planned, run};

/// Numbers (T, B, 3) to numbers (T, B, 2), with state carried, dropout, and a schedule that remembers.
fn training(cell: Cell, optimizer: Optimizer) -> Training {
    let spec = Recurrent { dropout: 0.3, ..Recurrent::new(cell, 7).layers(2) };
    let Curve::Plateau { factor, threshold, min_lr, .. } = Curve::plateau() else { panic!("it is one") };
    let curve = Curve::Plateau { factor, patience: 0, threshold, cooldown: 0, min_lr };
    Training {
        optimizer,
        schedule: Schedule::from(curve),
        clip_norm: Some(1.0),
        carry_state: true,
        seed: 3,
        ..Training::new(Model::new().recurrent(spec).output(), Task::regression(3, 2).each_step(), 4).window(5)
    }
}

fn batches(from: u32, to: u32) -> Vec<Batch> {
    (from..to).map(|i| Batch::numbers(noise(60, i), noise(40, 100 + i))).collect()
}

/// Three steps, losses that stop falling, and what is captured then.
fn begun(session: &mut Session) -> TrainingState {
    run(session, &batches(0, 3));
    for loss in [1.0, 2.0, 3.0] {
        session.observe(loss);
    }
    session.capture().unwrap()
}

fn bits(reports: &[StepReport]) -> Vec<(u64, u32, u32, u32)> {
    reports.iter().map(|r| (r.step, r.loss.to_bits(), r.learning_rate.to_bits(), r.grad_norm.to_bits())).collect()
}

/// Whether a new session goes on from what was captured in another as that one does.
fn check_goes_on(mut begin: impl FnMut() -> Session, what: &str) {
    let mut whole = begin();
    let state = begun(&mut whole);
    let wanted = bits(&run(&mut whole, &batches(3, 6)));
    let mut other = begin();
    // Whatever the session has done before is forgotten.
    run(&mut other, &batches(7, 8));
    other.restore(&state).unwrap();
    assert_eq!(other.capture().unwrap(), state, "{what}");
    assert_eq!(bits(&run(&mut other, &batches(3, 6))), wanted, "{what}");
    assert_eq!(parameter_bits(&mut other), parameter_bits(&mut whole), "{what}");
}

#[test]
fn every_cell_and_every_optimizer_goes_on_to_the_bit() {
    for (name, cell) in CELLS {
        check_goes_on(|| on_host(&training(cell, Optimizer::default()).accumulate(2)), name);
    }
    for optimizer in optimizers() {
        check_goes_on(|| on_host(&training(Cell::Lstm, optimizer)), &format!("{optimizer:?}"));
    }
}

#[test]
fn the_device_goes_on_to_the_bit() {
    let device = device();
    for optimizer in optimizers() {
        let training = training(Cell::Lstm, optimizer).accumulate(2);
        check_goes_on(|| Session::new(&training, &device).unwrap(), &format!("{optimizer:?}"));
    }
}

#[test]
fn in_another_number_of_micro_steps_it_goes_on_as_well_up_to_rounding() {
    let of = |accumulate| on_host(&training(Cell::Lstm, Optimizer::default()).accumulate(accumulate));
    let mut whole = of(2);
    let state = begun(&mut whole);
    let wanted = run(&mut whole, &batches(3, 6));
    for accumulate in [1, 4] {
        let mut other = of(accumulate);
        other.restore(&state).unwrap();
        assert_eq!(other.capture().unwrap(), state, "rows are rows");
        for (a, b) in wanted.iter().zip(run(&mut other, &batches(3, 6))) {
            assert_eq!((a.step, a.learning_rate), (b.step, b.learning_rate));
            close("loss and norm", &[b.loss, b.grad_norm], &[a.loss, a.grad_norm], 1e-5);
        }
    }
}

#[test]
fn all_that_outlives_a_step_is_captured_under_names_of_its_own() {
    let planned = planned(&training(Cell::Lstm, Optimizer::default()).accumulate(2));
    let shapes = planned.state_shapes();
    let names: BTreeSet<&str> = shapes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names.len(), shapes.len(), "{names:?}");
    let captured = |dtype: plimsoll::tensor::DType, shape: &[u64]| dtype.bytes() * shape.iter().product::<u64>();
    let captured: u64 = shapes.iter().map(|(_, dtype, shape)| captured(*dtype, shape)).sum();
    let graph = &planned.plan.graph;
    let begins_anew = |slot| planned.handles.evaluate_states.contains(&slot);
    let lasting = graph.slot_ids().filter(|&slot| {
        matches!(graph[slot].role, Role::Parameter | Role::OptimizerState | Role::CarriedState) && !begins_anew(slot)
    });
    // Slots of many tensors have padding between them.
    let bytes = |slot: plimsoll::ids::SlotId| match &graph[slot].parts[..] {
        [] => graph[slot].bytes * u64::from(graph[slot].copies),
        parts => parts.iter().map(|part| part.bytes).sum(),
    };
    assert_eq!(captured, lasting.map(bytes).sum::<u64>());
    for name in ["parameters/lstm.weight_hh_l1", "first moment/lstm.weight_hh_l1", "carried state/lstm.state_l0"] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
}

#[test]
fn the_state_of_another_run_is_refused_with_all_that_does_not_fit() {
    let state = begun(&mut on_host(&training(Cell::Lstm, Optimizer::default())));
    let mut other = on_host(&training(Cell::Gru, Optimizer::sgd(0.1, 0.9)));
    let before = parameter_bits(&mut other);
    let said = other.restore(&state).unwrap_err().to_string();
    for part in ["`momentum/gru.bias_hh_l0` f32[21] is missing", "`parameters/lstm.bias_hh_l0` is not wanted"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(parameter_bits(&mut other), before, "nothing of it was taken");
}

/// Version 1 of checkpoints did not count steps where floats are stored in full.
#[test]
fn a_state_saved_before_steps_were_counted_goes_on_to_the_bit() {
    for policy in [None, Some(NonFinite::Skip)] {
        let of = Training { non_finite: policy, ..training(Cell::Lstm, Optimizer::default()) };
        let mut whole = on_host(&of);
        let mut state = begun(&mut whole);
        let before = state.tensors.len();
        state.tensors.retain(|tensor| tensor.name != "optimizer state/loss scaler");
        assert_eq!(state.tensors.len(), before - 1);
        let mut later = on_host(&of);
        later.restore(&state).unwrap();
        let batch = Batch::numbers(noise(60, 5), noise(40, 6));
        assert_eq!(run(&mut later, std::slice::from_ref(&batch)), run(&mut whole, &[batch]));
        assert_eq!(later.capture().unwrap(), whole.capture().unwrap());
    }
}

#[test]
fn a_state_with_a_number_that_is_none_is_told_by_its_name() {
    let mut session = on_host(&training(Cell::Lstm, Optimizer::sgd(0.1, 0.0)));
    assert_eq!(session.capture().unwrap().first_not_finite(), None);
    // No step leaves such a one behind; a file may bring it.
    session.step(&Batch::numbers(vec![f32::INFINITY; 60], noise(40, 1))).unwrap();
    assert_eq!(session.capture().unwrap().first_not_finite(), None);
    let spoilt = file(&mut session, |name, numbers| {
        if name == "lstm.bias_hh_l0" {
            numbers[3] = f32::NAN;
        }
    });
    session.load(&spoilt).unwrap();
    let state = session.capture().unwrap();
    assert_eq!(state.first_not_finite(), Some("lstm.bias_hh_l0"));
}

#[test]
fn halves_and_the_scale_of_the_loss_go_on_to_the_bit() {
    let device = device();
    for (name, cell) in CELLS {
        // An odd number of halves, so that a slot ends with half a word that nobody uses.
        let of = || Training { batch: 3, ..training(cell, Optimizer::default()) }.storage(Storage::F16);
        let batches = |from: u32, to: u32| -> Vec<Batch> {
            (from..to).map(|i| Batch::numbers(noise(45, i), noise(30, 100 + i))).collect()
        };
        let mut whole = Session::new(&of(), &device).unwrap();
        run(&mut whole, &batches(0, 3));
        let state = whole.capture().unwrap();
        let scaler = state.tensors.iter().find(|t| t.name == "optimizer state/loss scaler");
        assert!(scaler.is_some_and(|t| t.bytes.iter().any(|&b| b != 0)), "{name}");
        for t in &state.tensors {
            assert_eq!(t.bytes.len() as u64, t.dtype.bytes() * t.shape.iter().product::<u64>(), "{name}: {}", t.name);
        }
        let wanted = bits(&run(&mut whole, &batches(3, 6)));
        let mut other = Session::new(&of(), &device).unwrap();
        other.restore(&state).unwrap();
        assert_eq!(other.capture().unwrap(), state, "{name}");
        assert_eq!(bits(&run(&mut other, &batches(3, 6))), wanted, "{name}");
        assert_eq!(parameter_bits(&mut other), parameter_bits(&mut whole), "{name}");
    }
}
