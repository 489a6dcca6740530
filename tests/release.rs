//! Gradients that are released as they are used, in runs that pass over steps which are not finite: judged before the
//! first of them is made, and to the bit what they are without.

#[path = "common/mod.rs"]
mod common;
#[path = "common/sessions.rs"]
mod sessions;

use std::collections::BTreeSet;

use common::inputs_of;
use plimsoll::graph::Role;
use plimsoll::nn::{Answer, Cell, Custom, Field, Init, Model, Recurrent, Task};
use plimsoll::ops::{Function, Layout, Lowering, Matmul, Op, Scale};
use plimsoll::plan::Plan;
use plimsoll::storage::TensorFile;
use plimsoll::target::Target;
use plimsoll::tensor::DType;
use plimsoll::training::{
    Batch, Data, LossScale, NonFinite, Optimizer, Origin, ParameterGroup, Session, Storage, Training, TrainingState,
};

use sessions::{CELLS, bits, close, device, file, noise, on_host, optimizers, parameter_bits, planned, run};

const ROWS: u32 = 4;

/// What every output of an op with a bound is within it, whichever of its inputs is long.
#[test]
fn no_output_is_longer_than_its_bound() {
    let target = Target::profile("webgpu-default").unwrap();
    let square = |numbers: &[f64]| numbers.iter().map(|x| x * x).sum::<f64>();
    let mut met: BTreeSet<&str> = BTreeSet::new();
    for specimen in Op::specimens() {
        let rule = specimen.op.rule();
        let outputs = rule.outputs(&specimen.inputs).unwrap();
        let wanted = vec![true; outputs.len()];
        let at = Lowering { inputs: &specimen.inputs, outputs: &outputs, wanted: &wanted, target: &target };
        let floats = (0..specimen.inputs.len()).filter(|&i| specimen.inputs[i].dtype != DType::U32);
        for long in floats.map(Some).chain([None]) {
            let mut data = inputs_of(&specimen);
            if let Some(long) = long {
                data[long].iter_mut().for_each(|x| *x *= 1e6);
            }
            let inputs: Vec<&[f64]> = data.iter().map(Vec::as_slice).collect();
            let made = rule.reference(&inputs, &at);
            for (i, made) in made.iter().enumerate() {
                let Some(bound) = rule.bound(&specimen.inputs, i) else { continue };
                let term = |term: &Vec<usize>| term.iter().map(|&i| square(inputs[i])).product::<f64>();
                let most = bound.times * bound.terms.iter().map(term).sum::<f64>();
                let found = square(made);
                assert!(found <= most * (1.0 + 1e-12), "{specimen:?}, output {i}: {found} of {most}");
                met.insert(rule.name());
            }
        }
    }
    let known = [
        "add",
        "column sum",
        "embedding gradient",
        "gru bias gradient",
        "gru weight gradient",
        "gru weight gradient, reset before",
        "matmul",
        "multiply",
        "recurrent weight gradient",
        "scale",
        "slice",
        "subtract",
        "transpose",
        "view",
    ];
    for name in known {
        assert!(met.contains(name), "{name} is not among {met:?}");
    }
}

fn skipping(training: Training) -> Training {
    Training { non_finite: Some(NonFinite::Skip), report_every: 1, ..training }
}

/// A perceptron of few rows beside its weights, with two groups of parameters and layers of uneven widths.
fn perceptron(optimizer: Optimizer) -> Training {
    let model = Model::new().linear(65).tanh().linear(64).relu().layer_norm().linear(33).tanh().output();
    let frozen = ParameterGroup { parameters: vec!["*.bias".into()], weight_decay: Some(0.0), learning_rate: None };
    let training = Training::new(model, Task::regression(40, 8), ROWS);
    skipping(Training { optimizer, groups: vec![frozen], ..training })
}

fn rows(kind: u32) -> Batch {
    Batch::numbers(noise(160, kind), noise(32, kind + 7))
}

/// Text in windows of 3.
fn text(change: impl Fn(Model) -> Model) -> Training {
    skipping(Training::new(change(Model::new().embedding(33)).output(), Task::next_token(40), 2).window(3))
}

fn ids(kind: u32) -> Batch {
    let ids = |from: u32| (from..from + 6).map(|i| (i * i + i / 7) % 40).collect();
    Batch::tokens(ids(kind * 31), ids(kind * 31 + 1))
}

/// A run, and what makes up its batches.
type Run = (String, Training, fn(u32) -> Batch);

/// Runs of every kind of gradient.
fn runs() -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for optimizer in optimizers() {
        all.push((format!("{optimizer:?}"), perceptron(optimizer), rows));
    }
    for (name, cell) in CELLS {
        all.push((name.into(), text(|m| m.recurrent(Recurrent::new(cell, 48))), ids));
    }
    let two = Recurrent { bidirectional: true, dropout: 0.3, ..Recurrent::new(Cell::Lstm, 31).layers(2) };
    let whole = Training { carry_state: false, sample: false, ..text(|m| m.recurrent(two)) };
    all.push(("both ways".into(), whole.clone(), ids));
    all.push(("recomputed".into(), perceptron(Optimizer::default()).recompute(3), rows));
    let tied = Model::new().embedding(33).recurrent(Recurrent::new(Cell::Lstm, 33));
    all.push(("tied".into(), sessions::with_model(&whole, tied.tied_output("embedding")), ids));
    all
}

/// The same as it is without release, with what is told of each step.
fn learnt(
    mut session: Session,
    start: Option<&TensorFile>,
    batches: &[Batch],
) -> (Vec<bool>, Vec<u32>, TrainingState, Vec<f32>) {
    if let Some(start) = start {
        session.load(start).unwrap();
    }
    let reports = run(&mut session, batches);
    let losses: Vec<f32> = reports.iter().map(|report| report.loss).collect();
    let norms = reports.iter().filter(|report| !report.skipped).map(|report| report.grad_norm).collect();
    let skipped = reports.iter().map(|report| report.skipped).collect();
    (skipped, bits(&losses), session.capture().unwrap(), norms)
}

/// Holds a run against itself with gradients released, on the host and on the device; returns which steps it skipped.
fn same(name: &str, training: &Training, start: Option<&TensorFile>, batches: &[Batch]) -> Vec<bool> {
    let device = device();
    let early = Training { release_gradients: true, ..training.clone() };
    let rounding = if training.storage == Storage::F16 { 2e-3 } else { 1e-5 };
    let mut skipped = Vec::new();
    for on_device in [false, true] {
        let session =
            |training: &Training| if on_device { Session::new(training, &device).unwrap() } else { on_host(training) };
        let wanted = learnt(session(training), start, batches);
        let released = session(&early);
        if on_device {
            assert_eq!(released.held().unwrap().bytes, released.plan().planned_bytes(), "{name}");
        }
        released.plan().replay().unwrap();
        let found = learnt(released, start, batches);
        assert_eq!(found.0, wanted.0, "{name}, device: {on_device}");
        assert_eq!(found.1, wanted.1, "{name}, device: {on_device}");
        for (found, wanted) in found.2.tensors.iter().zip(&wanted.2.tensors) {
            assert!(found == wanted, "{name}, device: {on_device}: {}", wanted.name);
        }
        assert_eq!(found.2.tensors.len(), wanted.2.tensors.len());
        close(name, &found.3, &wanted.3, rounding);
        skipped = wanted.0;
    }
    skipped
}

/// A scale that is far too large at first, and again whenever it has grown.
fn in_halves(training: &Training) -> Training {
    let loss_scale = LossScale::Dynamic { initial: 16_777_216.0, interval: 3 };
    Training { loss_scale, non_finite: None, ..training.clone() }.storage(Storage::F16)
}

#[test]
fn in_halves_whose_loss_is_scaled_by_too_much_again_and_again() {
    for (name, training, batch) in runs() {
        let batches: Vec<Batch> = (0..20).map(batch).collect();
        let skipped = same(&name, &in_halves(&training), None, &batches);
        let count = skipped.iter().filter(|skipped| **skipped).count();
        println!("{name}: {count} of {} skipped", skipped.len());
        assert!((3..=17).contains(&count), "{name}: {skipped:?}");
    }
}

/// In which one layer's gradient alone is past the range of halves, whichever layer it is.
#[test]
fn in_halves_of_which_those_of_one_layer_are_not_finite() {
    let sgd = perceptron(Optimizer::sgd(1e-4, 0.9));
    for name in ["linear_2.weight", "linear_3.weight", "linear_4.weight"] {
        let start = file(&mut on_host(&sgd), |of, numbers| {
            if of == name {
                numbers.iter_mut().for_each(|x| *x *= 512.0);
            }
        });
        assert!(start.tensors.contains_key(name), "{:?}", start.tensors.keys());
        let batches: Vec<Batch> = (0..28).map(rows).collect();
        let skipped = same(name, &in_halves(&sgd), Some(&start), &batches);
        assert!(skipped[0] && skipped.contains(&false), "{name}: {skipped:?}");
    }
}

/// In which the gradient handed to the lowest layer alone is, whose weight is the largest and has no bias that would show
/// it too.
#[test]
fn in_halves_of_which_the_last_on_the_way_back_is_not_finite() {
    let fields = [Field::numbers("x", &[40]), Field::numbers("targets", &[8])];
    let network = Custom::new(fields, |b, batch| {
        let x = batch.field("x")?;
        let h = b.enter("lowest").linear(x, 96, false, Function::Tanh)?;
        let h = b.enter("middle").linear(h, 32, false, Function::Tanh)?;
        let prediction = b.enter("output").linear(h, 8, false, Function::Identity)?;
        let loss = b.enter("loss").mse(prediction, batch.field("targets")?)?;
        Ok(Answer { prediction, loss })
    });
    let sgd = Training { optimizer: Optimizer::sgd(1e-3, 0.9), ..skipping(Training::custom(network, ROWS)) };
    let start = file(&mut on_host(&sgd), |of, numbers| {
        if of == "middle.weight" {
            numbers.iter_mut().for_each(|x| *x *= 16.0);
        }
    });
    assert!(start.tensors.contains_key("middle.weight"), "{:?}", start.tensors.keys());
    let batch = |kind: u32| {
        let [x, targets] = [(160, kind), (32, kind + 7)].map(|(n, kind)| Data::F32(noise(n, kind)));
        Batch::named([("x", x), ("targets", targets)])
    };
    let batches: Vec<Batch> = (0..24).map(batch).collect();
    let skipped = same("without biases", &in_halves(&sgd), Some(&start), &batches);
    assert!(skipped[0] && skipped.contains(&false), "{skipped:?}");
}

#[test]
fn in_full_where_batches_are_spoilt() {
    let spoilt = |kind: u32, field: usize, number: f32| {
        let mut batch = rows(kind);
        if let (_, Data::F32(x)) = &mut batch.fields[field] {
            x[3] = number;
        }
        batch
    };
    for optimizer in optimizers() {
        let training = perceptron(optimizer);
        let mut batches = vec![rows(0), rows(1)];
        for (input, target) in [(f32::INFINITY, f32::INFINITY), (f32::NAN, f32::NAN), (1e8, 1e30)] {
            batches.extend([spoilt(2, 0, input), rows(3), spoilt(4, 1, target), rows(5)]);
        }
        let skipped = same(&format!("{optimizer:?}"), &training, None, &batches);
        assert_eq!(skipped[..6], [false, false, true, false, true, false], "{optimizer:?}");
    }
    for (name, training, batch) in runs() {
        same(&name, &training, None, &(0..4).map(batch).collect::<Vec<_>>());
    }
}

/// Where in the step its nodes of one kind run.
fn places(plan: &Plan, of: impl Fn(&Op) -> bool) -> Vec<usize> {
    let first = plan.graph.programs().iter().find(|p| p.name == "first").unwrap();
    (0..first.nodes.len()).filter(|&at| of(&plan.graph[first.nodes[at]].op)).collect()
}

/// All weights' gradients are made behind what they are judged by, which every update reads, and one at a time.
#[test]
fn a_step_is_judged_before_its_gradients_are_made() {
    let model = Model::new().linear(256).relu().linear(256).relu().linear(256).relu().output();
    let training = skipping(Training::new(model, Task::regression(256, 256), 4));
    for storage in [Storage::F32, Storage::F16] {
        let kept = training.clone().storage(storage);
        let (kept, early) = (planned(&kept).plan, planned(&Training { release_gradients: true, ..kept }).plan);
        let judged = places(&early, |op| matches!(op, Op::GradientBound(_)));
        let gradients = places(&early, |op| matches!(op, Op::Matmul(product) if product.layout == Layout::Tn));
        let updates = places(&early, |op| matches!(op, Op::Adam(_)));
        assert_eq!([judged.len(), gradients.len(), updates.len()], [1, 4, 8]);
        assert!(gradients.iter().chain(&updates).all(|at| *at > judged[0]), "{judged:?}, {gradients:?}, {updates:?}");
        for (gradient, next) in gradients.iter().zip(&gradients[1..]) {
            assert!(updates.iter().any(|at| gradient < at && at < next), "{gradients:?}, {updates:?}");
        }
        let first = early.graph.programs().iter().find(|p| p.name == "first").unwrap();
        for at in updates {
            let factor = early.graph[first.nodes[at]].site.inputs[3];
            assert_eq!(early.graph[factor].producer.unwrap().0, first.nodes[judged[0]], "what the update obeys");
        }
        let bytes = |plan: &Plan| plan.roles().into_iter().find_map(|(role, n)| (role == Role::Gradient).then_some(n));
        assert_eq!(bytes(&early), Some(0));
        let saved = kept.planned_bytes() - early.planned_bytes();
        assert!(saved > 5 * 257 * 256 * 4 / 2, "{saved} B");
    }
}

/// Where rows are many, a gradient is less than what it is made of, and is looked at itself.
#[test]
fn what_would_cost_more_to_bound_than_to_keep_is_kept() {
    let training = |rows| {
        let training = Training::new(Model::new().linear(16).tanh().output(), Task::regression(8, 3), rows);
        Training { release_gradients: true, ..skipping(training) }
    };
    let late = |rows: u32| {
        let plan = planned(&training(rows)).plan;
        let judged = places(&plan, |op| matches!(op, Op::GradientBound(_)))[0];
        let gradients = places(&plan, |op| matches!(op, Op::Matmul(product) if product.layout == Layout::Tn));
        gradients.iter().filter(|at| **at > judged).count()
    };
    assert_eq!([late(2), late(1024)], [2, 0]);
}

/// A product of lengths may be past what `f32` holds where the product itself is not: such a step is skipped.
#[test]
fn a_bound_is_stricter_than_what_it_bounds() {
    let model = Model::new().output();
    let training = skipping(Training::new(model, Task::regression(40, 33), 2));
    let start = file(&mut on_host(&training), |_, numbers| numbers.iter_mut().for_each(|x| *x = 0.0));
    // Each row has a gradient of its own, and where one is long its input is 0.
    let mut inputs = vec![0.0; 80];
    inputs[0] = 1e15;
    let mut targets = vec![0.0; 66];
    targets[33] = 1e15;
    let batch = Batch::numbers(inputs, targets);
    let skipped = |release_gradients| {
        let mut session = on_host(&Training { release_gradients, ..training.clone() });
        session.load(&start).unwrap();
        let before = parameter_bits(&mut session);
        let skipped = run(&mut session, std::slice::from_ref(&batch))[0].skipped;
        assert_eq!(skipped, parameter_bits(&mut session) == before);
        skipped
    };
    assert_eq!([skipped(false), skipped(true)], [false, true]);
    // It is told as what it is, as is a number that is not finite.
    let device = device();
    let early = Training { release_gradients: true, ..training.clone() };
    for session in [on_host(&early), Session::new(&early, &device).unwrap()] {
        let mut session = session;
        session.load(&start).unwrap();
        run(&mut session, std::slice::from_ref(&batch));
        let before = parameter_bits(&mut session);
        assert_eq!(session.find_non_finite(1, &batch).unwrap(), Some(Origin::Bound));
        let infinite = Batch::numbers(vec![1e30; 80], vec![1e30; 66]);
        let found = session.find_non_finite(1, &infinite).unwrap();
        assert_eq!(found, Some(Origin::Layer { layer: "loss".into(), op: "squared error", backward: false }));
        assert!(parameter_bits(&mut session) == before);
    }
}

#[test]
fn what_is_past_the_range_of_numbers_on_the_way_is_not_taken_for_finite() {
    // The gradient of a weight goes back by 1e25 and then by 1e-25: infinite, though no longer than at first.
    let fields = [Field::numbers("x", &[4]), Field::numbers("targets", &[33])];
    let network = Custom::new(fields, |builder, batch| {
        let x = batch.field("x")?;
        builder.enter("one");
        let w = builder.parameter("weight", &[33, 4], Init::Constant(0.0))?;
        let w = builder.apply_one(Scale { factor: 1e-25 }, &[w])?;
        let w = builder.apply_one(Scale { factor: 1e25 }, &[w])?;
        let prediction = builder.apply_one(Matmul::new(Layout::Nt), &[x, w])?;
        let loss = builder.enter("loss").mse(prediction, batch.field("targets")?)?;
        Ok(Answer { prediction, loss })
    });
    let training = Training {
        optimizer: Optimizer::sgd(1e-3, 0.0),
        non_finite: Some(NonFinite::Skip),
        report_every: 1,
        ..Training::custom(network, 1)
    };
    let batch = Batch::named([("x", Data::F32(vec![1e7; 4])), ("targets", Data::F32(vec![1e10; 33]))]);
    for release_gradients in [false, true] {
        let mut session = on_host(&Training { release_gradients, ..training.clone() });
        let before = parameter_bits(&mut session);
        let reports = run(&mut session, std::slice::from_ref(&batch));
        assert!(reports[0].skipped, "released {release_gradients}: {:?}", reports[0]);
        assert_eq!(parameter_bits(&mut session), before, "released {release_gradients}");
    }
}

/// A gradient that is past all numbers on its way stays so though it is made smaller behind that.
#[test]
fn what_is_infinite_on_the_way_to_a_gradient_is_seen() {
    let fields = [Field::numbers("x", &[4]), Field::numbers("targets", &[33])];
    let network = Custom::new(fields, |b, batch| {
        let x = batch.field("x")?;
        let h = b.enter("lowest").linear(x, 33, false, Function::Identity)?;
        let small = b.apply_one(Scale { factor: 1e-25 }, &[h])?;
        let prediction = b.apply_one(Scale { factor: 1e25 }, &[small])?;
        let loss = b.enter("loss").mse(prediction, batch.field("targets")?)?;
        Ok(Answer { prediction, loss })
    });
    let sgd = Training { optimizer: Optimizer::sgd(1e-3, 0.0), ..skipping(Training::custom(network, 1)) };
    let batch = |target: f32| Batch::named([("x", Data::F32(vec![1.0; 4])), ("targets", Data::F32(vec![target; 33]))]);
    // Of 1e15 the gradient is finite at both ends of the two, and not between them.
    let batches = [1.0, 1e15, 1.0].map(batch);
    assert_eq!(same("two scales", &sgd, None, &batches), [false, true, false]);
}
