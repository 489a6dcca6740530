//! What tests of training share: sessions on the host and on the device, made-up numbers, gradients.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use plimsoll::device::Device;
use plimsoll::nn::{Cell, Model, Recurrent};
use plimsoll::ops::Function;
use plimsoll::storage::TensorFile;
use plimsoll::target::Target;
use plimsoll::training::{Batch, Network, Optimizer, Planned, Session, StepReport, Training};

/// One device for all tests, and one test at a time: a device counts its bytes for all runs together.
pub fn device() -> MutexGuard<'static, Device> {
    static DEVICE: OnceLock<Mutex<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| Mutex::new(Device::open().unwrap()));
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn planned(training: &Training) -> Planned {
    training.plan(&Target::profile("webgpu-default").unwrap()).unwrap()
}

pub fn on_host(training: &Training) -> Session {
    Session::on_host(planned(training)).unwrap()
}

/// A session holds what was planned, and has allocated nothing since its first step; where the backend counts, which
/// OpenGL does not.
pub fn holds_what_was_planned(session: &Session) {
    assert!(session.held().is_none_or(|held| held.bytes == session.plan().planned_bytes()), "{:?}", session.held());
    assert_eq!(session.allocations_after_first_step().unwrap_or(0), 0);
}

/// What planning says is wrong.
pub fn mistake(training: &Training) -> String {
    training.plan(&Target::profile("webgpu-default").unwrap()).unwrap_err().to_string()
}

/// Every cell there is, by the name its op has.
pub const CELLS: [(&str, Cell); 5] = [
    ("elman", Cell::Rnn(Function::Tanh)),
    ("elman", Cell::Rnn(Function::Relu)),
    ("gru", Cell::Gru),
    ("gru, reset before", Cell::GruResetBefore),
    ("lstm", Cell::Lstm),
];

/// One of every optimizer, as they differ in what they remember.
pub fn optimizers() -> Vec<Optimizer> {
    vec![
        Optimizer::sgd(0.1, 0.0),
        Optimizer::sgd(0.1, 0.9),
        Optimizer::default(),
        Optimizer::RmsProp {
            learning_rate: 0.01,
            alpha: 0.9,
            eps: 1e-8,
            momentum: 0.5,
            centered: true,
            weight_decay: 0.1,
        },
        Optimizer::Adagrad {
            learning_rate: 0.01,
            lr_decay: 0.1,
            eps: 1e-10,
            initial_accumulator_value: 0.5,
            weight_decay: 0.1,
        },
    ]
}

/// A recurrent layer of this cell, with an output layer behind it.
pub fn sequence_model(spec: Recurrent) -> Model {
    Model::new().recurrent(spec).output()
}

/// The same run of another model.
pub fn with_model(training: &Training, model: Model) -> Training {
    let task = training.network.task().unwrap().clone();
    Training { network: Network::Layers { model, task }, ..training.clone() }
}

/// `count` numbers between -1 and 1 that repeat nowhere, others for each `kind`.
pub fn noise(count: usize, kind: u32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.7391 + kind as f32 * 1.37).sin()).collect()
}

pub fn run(session: &mut Session, batches: &[Batch]) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for batch in batches {
        reports.extend(session.step(batch).unwrap());
    }
    reports.extend(session.finish().unwrap());
    reports
}

/// Every parameter's numbers, by name.
pub fn parameters(session: &mut Session) -> BTreeMap<String, Vec<f32>> {
    session.parameters().unwrap().into_iter().map(|(name, _, numbers)| (name, numbers)).collect()
}

/// Every parameter's gradient, by name: what a step of gradient descent of size 1 takes away.
pub fn gradients(training: &Training, batch: &Batch) -> BTreeMap<String, Vec<f32>> {
    let training = Training { optimizer: Optimizer::sgd(1.0, 0.0), ..training.clone() };
    let mut session = on_host(&training);
    let before = parameters(&mut session);
    session.step(batch).unwrap();
    let after = parameters(&mut session);
    let taken = |(name, numbers): (&String, &Vec<f32>)| {
        let gradient = numbers.iter().zip(&after[name]).map(|(a, b)| a - b);
        (name.clone(), gradient.collect())
    };
    before.iter().map(taken).collect()
}

/// These parameters, as read from a file.
pub fn file(session: &mut Session, change: impl Fn(&str, &mut Vec<f32>)) -> TensorFile {
    let changed = |(name, shape, mut numbers): (String, Vec<u64>, Vec<f32>)| {
        change(&name, &mut numbers);
        (name, (shape, numbers))
    };
    let tensors = session.parameters().unwrap().into_iter().map(changed).collect();
    TensorFile { path: "made up".into(), tensors, metadata: BTreeMap::new() }
}

/// Holds every gradient against central differences of the evaluated loss.
pub fn check_by_differences(training: &Training, batch: &Batch) {
    let found = gradients(training, batch);
    let whole = Training { accumulate: 1, ..training.clone() };
    let mut session = on_host(&whole);
    let start = file(&mut session, |_, _| ());
    for (name, gradient) in &found {
        for (i, gradient) in gradient.iter().enumerate() {
            let mut loss = |by: f32| {
                let mut moved = start.clone();
                moved.tensors.get_mut(name).unwrap().1[i] += by;
                session.load(&moved).unwrap();
                session.evaluate([batch.clone()]).unwrap().mean().unwrap()
            };
            let slope = (loss(1e-2) - loss(-1e-2)) / 2e-2;
            // Truncation is of order h² of f32 losses; the faults this guards against are 0.1.
            assert!((f64::from(*gradient) - slope).abs() < 2e-3, "{name}[{i}]: {gradient} {slope}");
        }
    }
}

pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// The numbers of all parameters, to the last bit.
pub fn parameter_bits(session: &mut Session) -> Vec<u32> {
    parameters(session).values().flat_map(|numbers| bits(numbers)).collect()
}

#[track_caller]
pub fn close(what: &str, found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(wanted).enumerate() {
        assert!((x - y).abs() < tolerance * y.abs().max(1.0), "{what}[{i}]: {x} instead of {y}");
    }
}

/// Batches of a text in which every unit follows from the one before.
pub fn following(training: &Training, vocabulary: u32, count: u32) -> Vec<Batch> {
    let (rows, time) = (training.batch, training.window);
    let unit = |row: u32, at: u32| (at * at + 3 * row + at / 5) % vocabulary;
    let window = |step: u32| {
        let of = |shift: u32| {
            (0..time).flat_map(move |t| (0..rows).map(move |row| unit(row, step * time + t + shift))).collect()
        };
        Batch::tokens(of(0), of(1))
    };
    (0..count).map(window).collect()
}
