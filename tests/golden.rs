//! Training beside PyTorch: same weights, same data, same losses. `golden/make_golden.py` made the files.

use std::sync::Arc;

use plimsoll::device::Device;
use plimsoll::nn::Model;
use plimsoll::target::Target;
use plimsoll::text::{IGNORE, Streams};
use plimsoll::training::{Batch, Optimizer, Session, StepReport, Task, Training};

#[path = "common/golden.rs"]
mod files;

use files::Golden;

/// Trains on `batches` and holds what comes of it against PyTorch's.
fn holds_for(golden: &Golden, mut session: Session, batches: &[Batch]) -> Session {
    session.load(&golden.weights("initial.")).unwrap();
    let mut reports: Vec<StepReport> = Vec::new();
    for batch in batches {
        reports.extend(session.step(batch).unwrap());
    }
    reports.extend(session.finish().unwrap());
    let complaints = golden.compare(&reports, &mut session).complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    session
}

/// `count` equal parts of what is in `all`.
fn parts<T: Clone>(all: &[T], count: usize) -> Vec<Vec<T>> {
    all.chunks(all.len() / count).map(<[T]>::to_vec).collect()
}

/// On the host for every case, and on the device: both run the same plan.
fn on_both(training: &Training, check: impl Fn(Session)) {
    let device = Device::open().unwrap();
    check(Session::on_host(training.plan(device.target()).unwrap()).unwrap());
    check(Session::on_host(training.plan(&Target::profile("webgpu-default").unwrap()).unwrap()).unwrap());
    check(Session::new(training, &device).unwrap());
}

fn elman(accumulate: u32) -> Training {
    let model = Model::new().embedding(6).rnn(8).output();
    Training {
        optimizer: Optimizer::adamw(1e-2),
        clip_norm: Some(0.5),
        report_every: 3,
        ..Training::new(model, Task::next_token(11), 4).window(5).accumulate(accumulate)
    }
}

#[test]
fn an_elman_rnn_with_carried_state_clipping_and_adamw_trains_as_in_pytorch() {
    let golden = Golden::read("elman");
    let ids: Arc<[u32]> = golden.ids["text"].1.clone().into();
    for accumulate in [1, 2, 4] {
        let training = elman(accumulate);
        let mut streams = Streams::new(ids.clone(), 4, 5).unwrap();
        let batches: Vec<Batch> = (0..20).map(|_| streams.next_window().into()).collect();
        on_both(&training, |session| {
            let mut session = holds_for(&golden, session, &batches);
            let state = session.state().unwrap();
            for (x, y) in state[0].1.iter().zip(&golden.floats["final_state"].1) {
                assert!((x - y).abs() < 1e-5, "the carried state has {x}, PyTorch's {y}");
            }
        });
    }
}

#[test]
fn an_mlp_with_momentum_and_four_micro_steps_trains_as_in_pytorch() {
    let golden = Golden::read("mlp");
    let model = Model::new().linear(16).tanh().linear(13).relu().output();
    let inputs = parts(&golden.floats["inputs"].1, 20);
    let targets = parts(&golden.floats["targets"].1, 20);
    let batches: Vec<Batch> = inputs.into_iter().zip(targets).map(|(x, y)| Batch::numbers(x, y)).collect();
    let task = Task::regression(7, 3);
    let training = Training { optimizer: Optimizer::sgd(0.05, 0.9), ..Training::new(model, task, 24).accumulate(4) };
    on_both(&training, |session| drop(holds_for(&golden, session, &batches)));
}

#[test]
fn a_classifier_with_ignored_rows_trains_as_in_pytorch() {
    let golden = Golden::read("mlp_classes");
    let model = Model::new().linear(16).sigmoid().output();
    let inputs = parts(&golden.floats["inputs"].1, 20);
    let targets = parts(&golden.ids["targets"].1, 20);
    assert!(golden.ids["targets"].1.contains(&IGNORE));
    let batches: Vec<Batch> = inputs.into_iter().zip(targets).map(|(x, y)| Batch::classes(x, y)).collect();
    let task = Task::classification(7, 5);
    let optimizer = Optimizer::AdamW { learning_rate: 1e-2, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.1 };
    let training = Training { optimizer, clip_norm: Some(1.0), ..Training::new(model, task, 24).accumulate(2) };
    on_both(&training, |session| drop(holds_for(&golden, session, &batches)));
}
