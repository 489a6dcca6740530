//! Memory that is saved for no time, or for little: what is worked out in pieces, made again, or sent in pieces. The
//! numbers stay what they are, to the bit.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::bytes::Bytes;
use plimsoll::graph::Role;
use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::plan::Plan;
use plimsoll::training::{Batch, Session, Storage, Training};

use sessions::{bits, device, noise, on_host, parameter_bits, planned, run};

/// A language model in windows of 32, as T, B, H and V.
fn language_model(cell: Cell, storage: Storage) -> (Training, [u64; 4]) {
    let [t, b, h, v] = [32, 8, 64, 16];
    let model = Model::new().embedding(32).recurrent(Recurrent::new(cell, h)).output();
    let training = Training::new(model, Task::next_token(v), b).window(t).storage(storage);
    (training, [t, b, h, v].map(u64::from))
}

fn activations(plan: &Plan) -> u64 {
    plan.roles().into_iter().find(|(role, _)| *role == Role::Activation).unwrap().1
}

/// At the peak are what is kept for the way back, the gradient of the logits, and an eighth of what the layer behind
/// hands on; no embedding, and nothing else of a window's length.
#[test]
fn a_window_takes_its_slots_and_little_else() {
    for (cell, slots) in [(Cell::Gru, 5), (Cell::Lstm, 6)] {
        for storage in [Storage::F32, Storage::F16] {
            let (training, [t, b, h, v]) = language_model(cell, storage);
            let bytes = if storage == Storage::F16 { 2 } else { 4 };
            let window = bytes * t * b * (slots * h + v + h / 8);
            let found = activations(&planned(&training).plan);
            println!("{cell:?} {storage:?}: {found} B beside {window} B");
            // States in full, sums and padding.
            assert!(found >= window && found < window + 24 * b * h + 4096, "{found} beside {window}");
        }
    }
}

/// What is worked out in pieces is the same as what is worked out at once, whatever a window's length.
#[test]
fn pieces_add_up_to_the_whole() {
    let device = device();
    for cell in [Cell::Gru, Cell::Lstm] {
        for (t, b, h) in [(32, 8, 64), (17, 8, 32), (9, 16, 16), (5, 3, 7)] {
            let model = Model::new().embedding(6).recurrent(Recurrent::new(cell, h)).output();
            let training = Training::new(model, Task::next_token(5), b).window(t);
            let ids = |from: u32| (from..from + t * b).map(|i| i * i % 5).collect();
            let batches: Vec<Batch> = (0..3).map(|i| Batch::tokens(ids(i), ids(i + 1))).collect();
            let found = run(&mut Session::new(&training, &device).unwrap(), &batches);
            let wanted = run(&mut on_host(&training), &batches);
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!((found.loss - wanted.loss).abs() < 1e-5 * wanted.loss, "{cell:?} {t} {b} {h}");
                assert!((found.grad_norm - wanted.grad_norm).abs() < 1e-5 * wanted.grad_norm, "{cell:?} {t} {b} {h}");
            }
        }
    }
}

/// A perceptron whose rows are wide, so that what is uploaded for a step is much of the whole.
fn wide() -> Training {
    Training::new(Model::new().linear(4).tanh().output(), Task::regression(3000, 2), 32)
}

#[test]
fn a_tight_budget_makes_staging_smaller_and_changes_no_number() {
    let device = device();
    let batches: Vec<Batch> = (0..4).map(|i| Batch::numbers(noise(96_000, i), noise(64, 9 + i))).collect();
    let with = |memory: Option<u64>| {
        let training = Training { memory: memory.map(Bytes), ..wide() };
        let mut session = Session::new(&training, &device).unwrap();
        let held = session.held().map(|held| held.bytes);
        assert!(held.is_none_or(|bytes| bytes == session.plan().planned_bytes()));
        let losses: Vec<f32> = run(&mut session, &batches).iter().map(|report| report.loss).collect();
        assert_eq!(session.allocations_after_first_step().unwrap_or(0), 0);
        (session.plan().planned_bytes(), bits(&losses), parameter_bits(&mut session))
    };
    let (whole, losses, parameters) = with(None);
    for share in [0.9, 0.8, 0.75] {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number")]
        let allowed = (whole as f64 * share) as u64;
        let found = with(Some(allowed));
        assert!(found.0 <= allowed && found.0 > allowed * 9 / 10, "{} of {allowed}", found.0);
        assert_eq!((found.1, found.2), (losses.clone(), parameters.clone()));
    }
}

#[test]
fn more_memory_never_makes_a_plan_smaller_or_a_refusal_of_one_that_fitted() {
    let whole = planned(&wide()).plan.planned_bytes();
    let mut before: Option<u64> = None;
    for step in 0..200 {
        let memory = whole * step / 180;
        let planned = planned(&Training { memory: Some(Bytes(memory)), ..wide() });
        let bytes = planned.plan.planned_bytes();
        match before {
            Some(before) => assert!(planned.fits() && bytes >= before && bytes <= memory, "{bytes} of {memory}"),
            // What does not fit is shown as it would be with all the memory it wants.
            None if !planned.fits() => assert_eq!(bytes, whole),
            None => {}
        }
        before = planned.fits().then_some(bytes);
    }
    assert_eq!(before, Some(whole));
}
