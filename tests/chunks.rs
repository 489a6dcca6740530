//! Logits that are worked out in chunks of rows: the same updates, less memory, in training and in evaluation.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::graph::Role;
use plimsoll::nn::{Answer, Cell, Custom, Field, Loss, Model, Recurrent, Task};
use plimsoll::ops::{Function, Op};
use plimsoll::plan::Plan;
use plimsoll::target::Target;
use plimsoll::training::{Batch, Data, Optimizer, Segments, Session, Storage, Training};

use sessions::{device, noise, parameters, planned, run};

const CLASSES: u32 = 64;

/// A language model whose logits are four times as wide as what they are made of.
fn language_model(cell: Cell, rows: u32, window: u32) -> Training {
    let model = Model::new().embedding(8).recurrent(Recurrent::new(cell, 16)).output();
    Training { report_every: 1, ..Training::new(model, Task::next_token(CLASSES), rows).window(window) }
}

/// Classes of rows of numbers, without time.
fn classifier(rows: u32, loss: Loss) -> Training {
    let task = Task::classification(5, CLASSES).loss(loss);
    Training { report_every: 1, ..Training::new(Model::new().linear(12).tanh().output(), task, rows) }
}

fn batches(training: &Training, count: u32) -> Vec<Batch> {
    let of = training.batch * training.window;
    let ids = |from: u32| (from..from + of).map(|i| (i * i + i / 7) % CLASSES).collect();
    let batch = |i: u32| match training.sample {
        true => Batch::tokens(ids(i), ids(i + 1)),
        false => Batch::classes(noise(5 * of as usize, i), ids(i)),
    };
    (0..count).map(batch).collect()
}

/// A device that lets bindings begin so seldom that no chunk could.
fn coarse(target: &Target) -> Target {
    let mut coarse = target.clone();
    coarse.limits.min_storage_buffer_offset_alignment = 8192;
    coarse
}

fn chunked(plan: &Plan) -> Vec<&'static str> {
    let programs = plan.graph.programs().iter();
    let has = |nodes: &[plimsoll::ids::NodeId]| {
        nodes.iter().any(|node| matches!(plan.graph[*node].op, Op::LinearCrossEntropy(_)))
    };
    programs.filter(|program| has(&program.nodes)).map(|program| program.name).collect()
}

fn cases() -> Vec<(&'static str, Training)> {
    let smooth =
        Loss::CrossEntropy { label_smoothing: 0.1, class_weights: noise(64, 3).iter().map(|x| x.abs()).collect() };
    let plain = || Loss::CrossEntropy { label_smoothing: 0.0, class_weights: Vec::new() };
    let lstm = language_model(Cell::Lstm, 64, 16);
    let tied = Model::new().embedding(16).recurrent(Recurrent::new(Cell::Gru, 16)).tied_output("embedding");
    let deep = Model::new().linear(12).tanh().linear(20).relu().linear(16).tanh().linear(12).tanh().output();
    let halves = sessions::with_model(&classifier(1024, plain()), deep.clone()).recompute(3);
    let sgd = Training { optimizer: Optimizer::sgd(0.1, 0.9), ..classifier(1024, plain()) };
    vec![
        ("lstm", lstm.clone()),
        ("elman, clipped", Training { clip_norm: Some(0.5), ..language_model(Cell::Rnn(Function::Tanh), 64, 13) }),
        ("in micro-steps", Training { accumulate: 2, ..language_model(Cell::Gru, 128, 16) }),
        ("in segments", Training { segments: Some(Segments::of(12)), ..language_model(Cell::Lstm, 64, 24) }),
        ("tied", sessions::with_model(&lstm, tied)),
        ("in halves", lstm.clone().storage(Storage::F16)),
        ("parameters in halves", lstm.storage(Storage::F16).parameter_storage(Storage::F16)),
        ("without time", classifier(1024, plain())),
        ("smoothed and weighted", classifier(900, smooth)),
        ("recomputed", sessions::with_model(&classifier(1024, plain()), deep).recompute(2)),
        ("recomputed in halves", halves.storage(Storage::F16).parameter_storage(Storage::F16)),
        ("released", Training { release_gradients: true, ..sgd }),
    ]
}

#[test]
fn a_head_in_chunks_learns_what_it_does_as_a_whole() {
    let device = device();
    for (name, training) in cases() {
        let whole = training.plan(&coarse(device.target())).unwrap();
        let planned = training.plan(device.target()).unwrap();
        assert_eq!(chunked(&whole.plan), [""; 0], "{name}");
        let wanted: &[&str] =
            if training.accumulate > 1 { &["first", "next", "evaluate"] } else { &["first", "evaluate"] };
        assert_eq!(chunked(&planned.plan), wanted, "{name}");
        let held_out = Training { batch: training.batch / training.accumulate, ..training.clone() };
        let (batches, held_out) = (batches(&training, 5), batches(&held_out, 1));
        let learnt = |mut session: Session| {
            let reports = run(&mut session, &batches);
            let held_out = session.evaluate(held_out.clone()).unwrap();
            (reports, held_out.mean().unwrap(), held_out.accuracy(), parameters(&mut session))
        };
        let on_host = learnt(Session::on_host(planned.clone()).unwrap());
        let session = Session::start(planned, &device).unwrap();
        assert_eq!(session.held().map_or(session.plan().planned_bytes(), |h| h.bytes), session.plan().planned_bytes());
        let found = learnt(session);
        let wanted = learnt(Session::start(whole, &device).unwrap());
        let most: f32 = if training.storage == Storage::F16 { 2e-3 } else { 1e-6 };
        for (other, most) in [(&wanted, most), (&on_host, most.max(1e-5))] {
            for (found, wanted) in found.0.iter().zip(&other.0) {
                assert!((found.loss - wanted.loss).abs() <= most * wanted.loss, "{name}: {found:?}, {wanted:?}");
                assert!((found.grad_norm - wanted.grad_norm).abs() <= 10.0 * most * wanted.grad_norm, "{name}");
            }
            assert!(
                (found.1 - other.1).abs() <= f64::from(most) * other.1,
                "{name}: {} and {} held out",
                found.1,
                other.1
            );
        }
        for ((parameter, found), (_, wanted)) in found.3.iter().zip(&wanted.3) {
            sessions::close(&format!("{name}: {parameter}"), found, wanted, 1e3 * most.min(1e-5));
        }
        assert_eq!(found.2.is_some(), wanted.2.is_some(), "{name}");
        assert!(
            found.2.zip(wanted.2).is_none_or(|(a, b)| (a - b).abs() < 2e-3),
            "{name}: {:?}, {:?}",
            found.2,
            wanted.2
        );
    }
}

/// A chunk of an eighth of the rows, and what the layer before is handed.
#[test]
fn no_more_logits_are_there_than_a_chunk_has() {
    for storage in [Storage::F32, Storage::F16] {
        let task = Task::classification(32, 4096);
        let model = Model::new().linear(64).tanh().output();
        let training = Training::new(model, task, 4096).storage(storage);
        let (whole, chunked) = (training.plan(&coarse(&webgpu())).unwrap(), planned(&training));
        let activations = |plan: &Plan| plan.roles().into_iter().find(|(role, _)| *role == Role::Activation).unwrap().1;
        let bytes = if storage == Storage::F16 { 2 } else { 4 };
        let [rows, hidden, classes] = [4096, 64, 4096u64];
        let logits = rows * classes * bytes;
        let (whole, found) = (activations(&whole.plan), activations(&chunked.plan));
        assert!(whole > logits, "{whole} of logits of {logits}");
        // Beside them what the layer made, the gradient of it, of the bias and the weight, and of each row its loss.
        let most = logits / 8 + 2 * rows * hidden * bytes + 4 * rows + 4096;
        println!("{storage:?}: {found} of {whole} B, at most {most}");
        assert!(found <= most, "{found} beside {most}");
    }
}

/// Where it would not pay, or somebody else reads the logits, they are made as a whole.
#[test]
fn logits_that_are_few_or_asked_for_are_made_as_a_whole() {
    let plain = || Loss::CrossEntropy { label_smoothing: 0.0, class_weights: Vec::new() };
    let narrow = Model::new().linear(60).output();
    let few = [
        ("few rows", classifier(256, plain())),
        ("as wide as what they are made of", sessions::with_model(&classifier(1024, plain()), narrow)),
    ];
    for (name, training) in few {
        assert_eq!(chunked(&planned(&training).plan), [""; 0], "{name}");
    }
    let asked = Training { predict: true, ..classifier(1024, plain()) };
    assert_eq!(chunked(&planned(&asked).plan), ["first", "evaluate"], "what is predicted is a result as a whole");
}

fn webgpu() -> Target {
    Target::profile("webgpu-default").unwrap()
}

/// Else the largest batch that fits could not be searched for.
#[test]
fn more_rows_never_take_less() {
    let planned_bytes = |rows| {
        let model = Model::new().linear(8).tanh().output();
        let training = Training::new(model, Task::classification(4, 1000), rows);
        training.plan(&webgpu()).unwrap().plan.planned_bytes()
    };
    let mut last = (0, 0);
    for rows in (1..250).step_by(31).chain(250..262).chain((262..2600).step_by(17)).chain([4096, 4097]) {
        let bytes = planned_bytes(rows);
        assert!(bytes >= last.1, "{rows} rows take {bytes} B, and {} took {}", last.0, last.1);
        last = (rows, bytes);
    }
}

/// What is made in chunks does not count where a network is cut.
#[test]
fn a_stack_in_front_of_many_classes_is_cut_like_any_other() {
    let stack = (0..16).fold(Model::new(), |model, _| model.linear(64).tanh()).output();
    let activations = |blocks: Option<u32>| {
        let training =
            Training { recompute: blocks, ..Training::new(stack.clone(), Task::classification(64, 2000), 2000) };
        let plan = planned(&training).plan;
        plan.roles().into_iter().find(|(role, _)| *role == Role::Activation).unwrap().1
    };
    let [kept, two, four] = [None, Some(2), Some(4)].map(activations);
    println!("{kept}, {two} and {four} B");
    assert!(two < kept * 4 / 5 && four < two * 9 / 10, "{kept}, {two} and {four} B");
}

/// Losses that lie nowhere but where other things have died, on the host as on the device.
#[test]
fn two_heads_of_a_network_written_by_hand_add_up() {
    let device = device();
    let custom = Custom::new([Field::numbers("x", &[6]), Field::ids("targets", CLASSES)], |b, batch| {
        let h = b.enter("hidden").linear(batch.field("x")?, 8, true, Function::Tanh)?;
        let mut losses = Vec::new();
        let mut prediction = h;
        for head in ["one", "two"] {
            prediction = b.enter(head).linear(h, CLASSES, true, Function::Identity)?;
            losses.push(b.enter("loss").cross_entropy(prediction, batch.field("targets")?)?);
        }
        let loss = b.add(&losses)?;
        Ok(Answer { prediction, loss })
    });
    let training = Training { report_every: 1, ..Training::custom(custom, 600) };
    let whole = training.plan(&coarse(device.target())).unwrap();
    let planned = training.plan(device.target()).unwrap();
    assert_eq!(chunked(&planned.plan), ["first", "evaluate"]);
    let ids = |from: u32| (from..from + 600).map(|i| (i * i + i / 7) % CLASSES).collect();
    let batch = |i| Batch::named([("x", Data::F32(noise(3600, i))), ("targets", Data::U32(ids(i)))]);
    let batches: Vec<Batch> = (0..4).map(batch).collect();
    let learnt = |mut session: Session| {
        let losses: Vec<f32> = run(&mut session, &batches).iter().map(|report| report.loss).collect();
        (losses, session.evaluate([batch(9)]).unwrap().mean().unwrap())
    };
    let wanted = learnt(Session::start(whole, &device).unwrap());
    for found in [learnt(Session::on_host(planned.clone()).unwrap()), learnt(Session::start(planned, &device).unwrap())]
    {
        sessions::close("losses", &found.0, &wanted.0, 1e-5);
        assert!((found.1 - wanted.1).abs() < 1e-5 * wanted.1, "{} and {} held out", found.1, wanted.1);
    }
}
