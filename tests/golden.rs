//! Training beside PyTorch: same weights, same data, same losses. `golden/make_golden.py` made the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll::device::Device;
use plimsoll::nn::Model;
use plimsoll::storage::TensorFile;
use plimsoll::target::Target;
use plimsoll::text::{IGNORE, Streams};
use plimsoll::training::{Batch, Optimizer, Session, StepReport, Task, Training};

/// The project's promise. A missing weight decay shows as 7e-4, a state not carried as 5e-2.
const LOSS_TOLERANCE: f64 = 1e-5;
const WEIGHT_TOLERANCE: f64 = 1e-4;

struct Golden {
    floats: BTreeMap<String, (Vec<u64>, Vec<f32>)>,
    ids: BTreeMap<String, Vec<u32>>,
    numbers: serde_json::Value,
}

impl Golden {
    fn read(name: &str) -> Self {
        let file = |ext| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.{ext}"));
        let bytes = std::fs::read(file("safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (mut floats, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in tensors.tensors() {
            let words = tensor.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
            match tensor.dtype() {
                safetensors::Dtype::F32 => {
                    let shape = tensor.shape().iter().map(|&d| d as u64).collect();
                    floats.insert(name, (shape, words.map(f32::from_le_bytes).collect()));
                }
                // -1, which PyTorch ignores, is `IGNORE` in two's complement.
                safetensors::Dtype::I32 => drop(ids.insert(name, words.map(u32::from_le_bytes).collect())),
                other => panic!("{name} is {other:?}"),
            }
        }
        let numbers = serde_json::from_str(&std::fs::read_to_string(file("json")).unwrap()).unwrap();
        Self { floats, ids, numbers }
    }

    fn list(&self, name: &str) -> Vec<f64> {
        self.numbers[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    }

    /// The weights under `prefix`, as a file of their own.
    fn weights(&self, prefix: &str) -> TensorFile {
        let of = |(name, tensor): (&String, &(Vec<u64>, Vec<f32>))| {
            Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()))
        };
        let tensors = self.floats.iter().filter_map(of).collect();
        TensorFile { path: PathBuf::from("golden"), tensors, metadata: BTreeMap::new() }
    }

    /// `count` equal parts of what `name` holds.
    fn parts<T: Clone>(all: &[T], count: usize) -> Vec<Vec<T>> {
        all.chunks(all.len() / count).map(<[T]>::to_vec).collect()
    }

    /// Trains on `batches` and compares every loss, every norm and every weight.
    fn holds_for(&self, mut session: Session, batches: &[Batch]) -> Session {
        session.load(&self.weights("initial.")).unwrap();
        let mut reports: Vec<StepReport> = Vec::new();
        for batch in batches {
            reports.extend(session.step(batch).unwrap());
        }
        reports.extend(session.finish().unwrap());
        assert_eq!(reports.len(), batches.len());
        let compared = reports.iter().zip(self.list("losses")).zip(self.list("grad_norms"));
        for ((report, loss), norm) in compared {
            close(&format!("loss of step {}", report.step), f64::from(report.loss), loss, LOSS_TOLERANCE);
            close(&format!("norm of step {}", report.step), f64::from(report.grad_norm), norm, LOSS_TOLERANCE);
        }
        let last = self.weights("final.");
        for (name, _, numbers) in session.parameters().unwrap() {
            let wanted = &last.tensors[&name].1;
            let scale = wanted.iter().fold(0f32, |m, x| m.max(x.abs()));
            for (i, (x, y)) in numbers.iter().zip(wanted).enumerate() {
                let off = f64::from((x - y).abs() / scale);
                assert!(off < WEIGHT_TOLERANCE, "{name}[{i}] is {x}, PyTorch's {y}");
            }
        }
        session
    }
}

fn close(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let off = ((found - wanted) / wanted).abs();
    assert!(off < tolerance, "{what} is {found}, PyTorch's {wanted}: off by {off:.1e}");
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
    let ids: Arc<[u32]> = golden.ids["text"].clone().into();
    for accumulate in [1, 2, 4] {
        let training = elman(accumulate);
        let mut streams = Streams::new(ids.clone(), 4, 5).unwrap();
        let batches: Vec<Batch> = (0..20).map(|_| streams.next_window().into()).collect();
        on_both(&training, |session| {
            let mut session = golden.holds_for(session, &batches);
            let state = session.state().unwrap();
            for (x, y) in state[0].iter().zip(&golden.floats["final_state"].1) {
                assert!((x - y).abs() < 1e-5, "the carried state has {x}, PyTorch's {y}");
            }
        });
    }
}

#[test]
fn an_mlp_with_momentum_and_four_micro_steps_trains_as_in_pytorch() {
    let golden = Golden::read("mlp");
    let model = Model::new().linear(16).tanh().linear(13).relu().output();
    let inputs = Golden::parts(&golden.floats["inputs"].1, 20);
    let targets = Golden::parts(&golden.floats["targets"].1, 20);
    let batches: Vec<Batch> = inputs.into_iter().zip(targets).map(|(x, y)| Batch::numbers(x, y)).collect();
    let task = Task::regression(7, 3);
    let training = Training { optimizer: Optimizer::sgd(0.05, 0.9), ..Training::new(model, task, 24).accumulate(4) };
    on_both(&training, |session| drop(golden.holds_for(session, &batches)));
}

#[test]
fn a_classifier_with_ignored_rows_trains_as_in_pytorch() {
    let golden = Golden::read("mlp_classes");
    let model = Model::new().linear(16).sigmoid().output();
    let inputs = Golden::parts(&golden.floats["inputs"].1, 20);
    let targets = Golden::parts(&golden.ids["targets"], 20);
    assert!(golden.ids["targets"].contains(&IGNORE));
    let batches: Vec<Batch> = inputs.into_iter().zip(targets).map(|(x, y)| Batch::classes(x, y)).collect();
    let task = Task::classification(7, 5);
    let optimizer = Optimizer::AdamW { learning_rate: 1e-2, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.1 };
    let training = Training { optimizer, clip_norm: Some(1.0), ..Training::new(model, task, 24).accumulate(2) };
    on_both(&training, |session| drop(golden.holds_for(session, &batches)));
}
