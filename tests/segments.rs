//! A window worked out in segments learns what it learns as a whole, in less memory.
#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::graph::Role;
use plimsoll::nn::{Cell, Layer, LayerKind, Model, Recurrent, Task};
use plimsoll::plan::Plan;
use plimsoll::training::{Batch, Loss, Optimizer, Segments, Session, Storage, Training};

use sessions::{CELLS, check_by_differences, device, mistake, noise, on_host, parameters, planned, run};

const ROWS: u32 = 6;
const WINDOW: u32 = 12;

/// Texts, in windows that carry state; two recurrent layers with dropout between.
fn text(cell: Cell) -> Training {
    let spec = Recurrent { dropout: 0.3, ..Recurrent::new(cell, 7).layers(2) };
    let model = Model::new().embedding(5).recurrent(spec).dropout(0.2).output();
    Training { report_every: 1, ..Training::new(model, Task::next_token(9), ROWS) }.window(WINDOW)
}

fn texts(count: u32) -> Vec<Batch> {
    let ids = |from: u32| (from..from + ROWS * WINDOW).map(|i| (i * i + i / 7) % 9).collect();
    let reset = |i: u32| (0..ROWS).map(|row| (i + row).is_multiple_of(4)).collect();
    (0..count).map(|i| Batch { reset: reset(i), ..Batch::tokens(ids(i * 31), ids(i * 31 + 1)) }).collect()
}

/// Sequences of different lengths with one target each.
fn sequences(cell: Cell) -> Training {
    let model = Model::new().linear(5).recurrent(Recurrent::new(cell, 7).layers(2)).last().dropout(0.2).output();
    let task = Task::classification(3, 4).whole_sequence();
    Training { lengths: true, report_every: 1, ..Training::new(model, task, ROWS) }.window(WINDOW)
}

fn sequence(kind: u32) -> Batch {
    let batch = Batch::classes(noise((ROWS * WINDOW * 3) as usize, kind), (0..ROWS).map(|i| (i + kind) % 4).collect());
    Batch { lengths: vec![12, 0, 5, 4, 9, 1], ..batch }
}

/// Numbers for each step, in batches of their own.
fn series() -> Training {
    let model = Model::new().lstm(6).layer_norm().gru(5).output();
    let task = Task::regression(2, 3).each_step().loss(Loss::Huber { delta: 0.5 });
    Training { clip_norm: Some(0.1), report_every: 1, ..Training::new(model, task, ROWS) }.window(WINDOW)
}

fn serial(kind: u32) -> Batch {
    Batch::numbers(noise((ROWS * WINDOW * 2) as usize, kind), noise((ROWS * WINDOW * 3) as usize, kind + 7))
}

/// Every way to cut this window that is worth a look: into one timestep each, unequal ones, two, one.
fn ways() -> Vec<Segments> {
    let all = [1, 4, 5, 6, 12, 100].map(Segments::of);
    let few = [(1, 0), (1, 2), (2, 1), (3, 0)].map(|(timesteps, states)| Segments { timesteps, states: Some(states) });
    all.into_iter().chain(few).collect()
}

/// Losses, norms and weights of `batches`, and the losses of two of them as batches held out.
fn learnt(session: &mut Session, batches: &[Batch]) -> (Vec<f64>, Vec<f32>) {
    let reports = run(session, batches);
    let mut told: Vec<f64> = reports.iter().flat_map(|r| [f64::from(r.loss), f64::from(r.grad_norm)]).collect();
    // A batch held out is as large as a micro-step.
    let groups = session.planned().training.accumulate as usize;
    let time = |name: &str| {
        let fields = session.planned().training.network.fields();
        if fields.iter().any(|field| field.name == name && field.time) { WINDOW as usize } else { 1 }
    };
    let parts: Vec<Batch> =
        batches[..2].iter().flat_map(|b| (0..groups).map(|i| b.group(ROWS as usize, i, groups, time))).collect();
    let held_out = session.evaluate(parts).unwrap();
    // Carried state is that of other rows where there are several parts.
    if groups == 1 || !session.planned().training.carry_state {
        told.extend([held_out.mean().unwrap(), held_out.accuracy().unwrap_or(0.0)]);
    }
    (told, parameters(session).into_values().flatten().collect())
}

#[track_caller]
fn same(what: &str, (told, weights): &(Vec<f64>, Vec<f32>), wanted: &(Vec<f64>, Vec<f32>), tolerance: f64) {
    assert_eq!(weights.len(), wanted.1.len());
    for (found, want) in told.iter().zip(&wanted.0) {
        assert!(
            (found - want).abs() <= tolerance * want.abs().max(1.0),
            "{what}: {found} instead of {want}\n{told:?}\n{:?}",
            wanted.0
        );
    }
    for (found, wanted) in weights.iter().zip(&wanted.1) {
        assert!(f64::from((found - wanted).abs()) <= tolerance, "{what}: {found} instead of {wanted}");
    }
}

#[test]
fn segments_learn_what_the_whole_window_teaches() {
    let sgd = |training: Training| Training { optimizer: Optimizer::sgd(0.5, 0.9), ..training };
    for (name, cell) in CELLS {
        let of = [(sgd(text(cell)), texts(4)), (sgd(sequences(cell)), vec![sequence(0), sequence(1), sequence(2)])];
        for (training, batches) in of {
            let wanted = learnt(&mut on_host(&training), &batches);
            for segments in ways() {
                for accumulate in [1, 3] {
                    let cut = training.clone().segments(segments).accumulate(accumulate);
                    let what = format!("{name}, lengths {}, {segments:?}, {accumulate} micro-steps", training.lengths);
                    same(&what, &learnt(&mut on_host(&cut), &batches), &wanted, 1e-6);
                }
            }
        }
    }
}

#[test]
fn segments_of_a_series_learn_the_same_and_clip_alike() {
    let training = Training { optimizer: Optimizer::sgd(0.5, 0.9), ..series() };
    let batches = [serial(0), serial(1), serial(2)];
    let wanted = learnt(&mut on_host(&training), &batches);
    for segments in ways() {
        same(
            &format!("{segments:?}"),
            &learnt(&mut on_host(&training.clone().segments(segments)), &batches),
            &wanted,
            1e-6,
        );
    }
}

#[test]
fn gradients_through_segments_are_those_of_central_differences() {
    let training = text(Cell::Lstm).segments(Segments { timesteps: 5, states: Some(0) });
    let model = Model::new().embedding(2).lstm(2).output();
    let small = Training { carry_state: false, sample: false, ..sessions::with_model(&training, model) };
    check_by_differences(&small, &Batch { reset: Vec::new(), ..texts(1).remove(0) });
}

#[test]
fn a_device_agrees_and_holds_what_was_planned() {
    let device = device();
    let of = [
        (text(Cell::Lstm), texts(4), 5),
        (text(Cell::Gru), texts(4), 1),
        (sequences(Cell::GruResetBefore), vec![sequence(0), sequence(1)], 5),
        (series(), vec![serial(0), serial(1)], 4),
    ];
    for (training, batches, timesteps) in of {
        let training = training.segments(Segments { timesteps, states: Some(1) }).accumulate(2);
        let mut session = Session::new(&training, &device).unwrap();
        let found = learnt(&mut session, &batches);
        sessions::holds_what_was_planned(&session);
        same("device", &found, &learnt(&mut on_host(&training), &batches), 2e-5);
    }
}

#[test]
fn halves_go_with_segments() {
    let device = device();
    let whole = text(Cell::Lstm).storage(Storage::F16);
    let wanted = learnt(&mut Session::new(&whole, &device).unwrap(), &texts(4));
    let cut = whole.segments(Segments::of(5));
    same("halves", &learnt(&mut Session::new(&cut, &device).unwrap(), &texts(4)), &wanted, 5e-3);
}

fn activations(plan: &Plan) -> u64 {
    plan.roles().into_iter().find(|(role, _)| *role == Role::Activation).unwrap().1
}

/// The square root of a window: 42 states and one segment of 12 timesteps, where there were 512 timesteps.
#[test]
fn a_long_window_takes_a_twentieth() {
    let model = Model::new().embedding(128).lstm(256).output();
    let whole = Training::new(model, Task::next_token(112), 32).window(512);
    let full = activations(&planned(&whole).plan);
    let cut = |segments| activations(&planned(&whole.clone().segments(segments)).plan);
    let uniform = cut(Segments::of(12));
    assert!(uniform * 1000 <= full * 51, "{uniform} of {full} B");
    // Fewer states and shorter segments go below that, for more time.
    let fewer = cut(Segments { timesteps: 4, states: Some(12) });
    assert!(fewer * 3 < uniform * 2, "{fewer} beside {uniform} B");
}

#[test]
fn what_cannot_be_cut_says_why() {
    let of = |model: Model, task: Task| Training::new(model, task, 4).window(8).segments(Segments::of(4));
    let both = Recurrent { bidirectional: true, ..Recurrent::new(Cell::Gru, 4) };
    let each = Task::classification(3, 4).each_step();
    let told = mistake(&of(Model::new().recurrent(both).output(), each.clone()));
    assert!(
        told.contains("8 timesteps") && told.contains("segments of 4") && told.contains("`gru` is bidirectional"),
        "{told}"
    );
    let told = mistake(&of(Model::new().gru(4).output(), each.clone()).segments(Segments::of(0)));
    assert!(told.contains("0 timesteps"), "{told}");
    let ends = Model::new().gru(4).linear(4).last().output();
    let lengths = Training { lengths: true, ..of(ends, each.clone().whole_sequence()) };
    let told = mistake(&lengths);
    assert!(told.contains("`last` reads another layer"), "{told}");
    let mut second = Model::new().linear(4).gru(4).last();
    second.layers.push(Layer { inputs: vec!["linear".into()], ..Layer::new("early", LayerKind::Last) });
    let second = second.output().reading(&["last", "early"]);
    let told = mistake(&Training { lengths: true, ..of(second, each.clone().whole_sequence()) });
    assert!(told.contains("`early` reads another layer"), "{told}");
    let mut later = Model::new().gru(4).last().output();
    later.layers.push(Layer {
        inputs: vec!["gru".into()],
        ..Layer::new("late", LayerKind::Recurrent(Recurrent::new(Cell::Gru, 4)))
    });
    let told = mistake(&of(later, each.whole_sequence()));
    assert!(told.contains("`late` stands behind"), "{told}");
    // A segment no shorter than the window is the window.
    let plain = of(Model::new().recurrent(both).output(), Task::classification(3, 4).each_step());
    assert!(planned(&plain.segments(Segments::of(8))).fits());
    // Going through the window again and again is work that is planned too.
    let long = Training::new(Model::new().gru(4).output(), Task::next_token(4), 1);
    let long = Training { carry_state: false, sample: false, ..long }.window(1 << 15);
    let told = mistake(&long.segments(Segments { timesteps: 1, states: Some(0) }));
    assert!(told.contains("timesteps"), "{told}");
}
