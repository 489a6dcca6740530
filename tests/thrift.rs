//! Memory that is saved for no time, or for little: what is worked out in pieces, made again, or sent in pieces. The
//! numbers stay what they are, to the bit.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::bytes::Bytes;
use plimsoll::graph::Role;
use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::plan::Plan;
use plimsoll::training::{Batch, Data, LossScale, NonFinite, Optimizer, ParameterGroup, Session, Storage, Training};

use sessions::{bits, close, device, mistake, noise, on_host, optimizers, parameter_bits, parameters, planned, run};

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

/// A perceptron of uneven layers, one shared by two of them, with two groups of parameters.
fn perceptron(optimizer: Optimizer) -> Training {
    let model = Model::new().linear(33).tanh().linear(33).tanh().layer_norm().linear(33).output();
    let frozen = ParameterGroup { parameters: vec!["*.bias".into()], weight_decay: Some(0.0), learning_rate: None };
    let training = Training::new(model, Task::regression(7, 5), 8);
    Training { optimizer, groups: vec![frozen], clip_value: Some(0.05), report_every: 1, ..training }
}

fn rows(kind: u32) -> Batch {
    Batch::numbers(noise(56, kind), noise(40, kind + 7))
}

/// Losses, and parameters and norms, to the bit and nearly.
fn learnt(training: &Training, batches: &[Batch], session: Session) -> (Vec<u32>, Vec<f32>) {
    let mut session = session;
    let reports = run(&mut session, batches);
    assert_eq!(session.planned().training, *training);
    let losses: Vec<f32> = reports.iter().map(|report| report.loss).collect();
    ([bits(&losses), parameter_bits(&mut session)].concat(), reports.iter().map(|report| report.grad_norm).collect())
}

#[test]
fn gradients_that_are_released_early_change_no_bit() {
    let device = device();
    let batches: Vec<Batch> = (0..5).map(rows).collect();
    let text = language_model(Cell::Lstm, Storage::F32).0;
    let ids = |from: u32| (from..from + 256).map(|i| i * i % 16).collect();
    let tokens: Vec<Batch> = (0..3).map(|i| Batch::tokens(ids(i), ids(i + 1))).collect();
    let halves = perceptron(Optimizer::default()).storage(Storage::F16);
    let halves = Training { loss_scale: LossScale::Static(64.0), non_finite: Some(NonFinite::Stop), ..halves };
    let of = optimizers().into_iter().map(|optimizer| (perceptron(optimizer), &batches));
    let of = of.chain([(text, &tokens), (halves, &batches)]);
    for (training, batches) in of {
        let early = Training { release_gradients: true, ..training.clone() };
        let (wanted, norms) = learnt(&training, batches, Session::new(&training, &device).unwrap());
        let session = Session::new(&early, &device).unwrap();
        sessions::holds_what_was_planned(&session);
        let (found, norms_early) = learnt(&early, batches, session);
        assert!(found == wanted, "{:?}", training.optimizer);
        close("norms", &norms_early, &norms, 1e-5);
        let rounding = if training.storage == Storage::F16 { 1e-2 } else { 1e-5 };
        close("norms on the host", &learnt(&early, batches, on_host(&early)).1, &norms, rounding);
    }
}

/// Of all gradients of a stack of linear layers there is one at a time.
#[test]
fn no_more_gradients_are_there_than_the_way_back_makes() {
    let model = Model::new().linear(256).relu().linear(256).relu().linear(256).relu().output();
    let training = Training::new(model, Task::regression(256, 256), 4);
    let (whole, early) = (planned(&training), planned(&Training { release_gradients: true, ..training }));
    let of = |role| move |(found, bytes): (Role, u64)| (found == role).then_some(bytes);
    let gradients = |plan: &Plan| plan.roles().into_iter().find_map(of(Role::Gradient)).unwrap();
    assert_eq!(gradients(&early.plan), 0);
    let layer = 257 * 256 * 4;
    assert!(gradients(&whole.plan) >= 4 * layer);
    let saved = whole.plan.planned_bytes() - early.plan.planned_bytes();
    assert!(saved > 5 * layer / 2, "{saved} B");
    assert_eq!(early.plan.lower_bound_bytes(), early.plan.planned_bytes());
}

#[test]
fn a_step_that_is_not_finite_ends_a_run_whose_gradients_are_released() {
    let device = device();
    let early = Training { release_gradients: true, ..perceptron(Optimizer::default()) };
    let mut session = Session::new(&early, &device).unwrap();
    run(&mut session, &[rows(0), rows(1)]);
    let before = parameter_bits(&mut session);
    let spoilt = |field: usize| {
        let mut batch = rows(2);
        if let (_, Data::F32(x)) = &mut batch.fields[field] {
            x[3] = f32::INFINITY;
        }
        batch
    };
    let reports = run(&mut session, &[spoilt(1), rows(3)]);
    assert!(reports.iter().all(|report| report.skipped), "{reports:?}");
    assert!(parameter_bits(&mut session) == before);
    // A row that is infinite saturates tanh: the loss is finite, and a gradient is not.
    let mut session = Session::new(&early, &device).unwrap();
    let spoilt_step = run(&mut session, &[rows(0), spoilt(0)]).remove(1);
    assert!(spoilt_step.skipped && spoilt_step.loss.is_finite(), "{spoilt_step:?}");
    let then = parameter_bits(&mut session);
    let later = run(&mut session, &[rows(3)]);
    assert!(later[0].skipped && parameter_bits(&mut session) == then, "{later:?}");
    assert!(parameters(&mut session).values().flatten().all(|x| x.is_finite()));
}

#[test]
fn gradients_that_are_needed_together_are_not_released() {
    let of = |change: &dyn Fn(Training) -> Training| {
        let plain = perceptron(Optimizer::default());
        mistake(&change(Training { release_gradients: true, ..plain }))
    };
    let told = [of(&|t| t.accumulate(2)), of(&|t| Training { clip_norm: Some(1.0), ..t })];
    for (told, wanted) in told.iter().zip(["2 micro-steps", "clipped by the norm"]) {
        assert!(told.contains(wanted) && told.contains("leave out `release_gradients`"), "{told}");
    }
}
