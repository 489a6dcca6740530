//! What PyTorch did in training, as `tests/golden/README.md` says it is written down.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use plimsoll::storage::TensorFile;
use plimsoll::training::{Session, StepReport};

/// The project's promise. A missing weight decay shows as 7e-4, a state not carried as 5e-2.
pub const LOSS_TOLERANCE: f64 = 1e-5;
/// Of the largest element of a tensor, or of a state.
pub const WEIGHT_TOLERANCE: f64 = 1e-4;
/// A learning rate is computed in `f64` from settings in `f32`, and rounded to `f32`.
pub const RATE_TOLERANCE: f64 = 1.2e-7;

/// Shape, outermost first, and elements of tensors, by name.
pub type Tensors<T> = BTreeMap<String, (Vec<u64>, Vec<T>)>;

pub struct Golden {
    pub floats: Tensors<f32>,
    pub ids: Tensors<u32>,
    pub numbers: serde_json::Value,
}

/// The folder of the golden files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

impl Golden {
    /// Reads `NAME.safetensors` and `NAME.json`.
    pub fn read(name: &str) -> Self {
        let file = |ext| folder().join(format!("{name}.{ext}"));
        let bytes = std::fs::read(file("safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (mut floats, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in tensors.tensors() {
            let shape = tensor.shape().iter().map(|&d| d as u64).collect();
            let words = tensor.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
            match tensor.dtype() {
                safetensors::Dtype::F32 => {
                    drop(floats.insert(name, (shape, words.map(f32::from_le_bytes).collect())));
                }
                // -1, which PyTorch ignores, is `IGNORE` in two's complement.
                safetensors::Dtype::I32 => {
                    drop(ids.insert(name, (shape, words.map(u32::from_le_bytes).collect())));
                }
                other => panic!("{name} is {other:?}"),
            }
        }
        let numbers = serde_json::from_str(&std::fs::read_to_string(file("json")).unwrap()).unwrap();
        Self { floats, ids, numbers }
    }

    /// The numbers under `name`; none if it has none.
    pub fn list(&self, name: &str) -> Vec<f64> {
        numbers(&self.numbers[name])
    }

    /// The weights under `prefix`, as a file of their own.
    pub fn weights(&self, prefix: &str) -> TensorFile {
        let of = |(name, tensor): (&String, &(Vec<u64>, Vec<f32>))| {
            Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()))
        };
        let tensors = self.floats.iter().filter_map(of).collect();
        TensorFile { path: PathBuf::from("golden"), tensors, metadata: BTreeMap::new() }
    }

    /// Holds what a training did, and what it left behind, against what PyTorch's did.
    pub fn compare(&self, reports: &[StepReport], session: &mut Session) -> Deviations {
        let mut found = Deviations::default();
        let losses = reports.iter().map(|r| f64::from(r.loss));
        found.loss.over("step", losses, self.list("losses"));
        let norms = reports.iter().map(|r| f64::from(r.grad_norm));
        found.norm.over("step", norms, self.list("grad_norms"));
        let rates = self.list("learning_rates");
        if !rates.is_empty() {
            found.rate.over("step", reports.iter().map(|r| f64::from(r.learning_rate)), rates);
        }
        let last = self.weights("final.");
        let parameters = session.parameters().unwrap();
        assert_eq!(parameters.len(), last.tensors.len());
        for (name, shape, numbers) in parameters {
            let (wanted_shape, wanted) = &last.tensors[&name];
            assert_eq!(shape, *wanted_shape, "{name}");
            found.weight.of_largest(&name, &numbers, wanted);
        }
        if let Some(wanted) = self.numbers["final_state"].as_array() {
            let states = session.state().unwrap();
            assert_eq!(states.len(), wanted.len(), "a state for each recurrent layer");
            for ((name, state), wanted) in states.iter().zip(wanted) {
                #[allow(clippy::cast_possible_truncation, reason = "they were f32")]
                let wanted: Vec<f32> = numbers(wanted).iter().map(|&x| x as f32).collect();
                found.state.of_largest(name, state, &wanted);
            }
        }
        found
    }
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().map_or_else(Vec::new, |all| all.iter().map(|x| x.as_f64().unwrap()).collect())
}

/// How far a training came from PyTorch's, where it came farthest.
#[derive(Clone, Debug, Default)]
pub struct Deviations {
    /// Of a loss, as a share of it.
    pub loss: Worst,
    /// Of the gradients' norm, as a share of it.
    pub norm: Worst,
    /// Of a learning rate, as a share of it.
    pub rate: Worst,
    /// Of a weight, as a share of the largest of its tensor.
    pub weight: Worst,
    /// Of a state that is carried, as a share of the largest of its layer.
    pub state: Worst,
}

/// A deviation, and where it was.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    /// How much.
    pub by: f64,
    at: String,
}

impl Worst {
    fn over(&mut self, what: &str, found: impl ExactSizeIterator<Item = f64>, wanted: Vec<f64>) {
        assert_eq!(found.len(), wanted.len());
        for (i, (x, y)) in found.zip(wanted).enumerate() {
            self.note(((x - y) / y).abs(), || format!("{what} {i}: {x}, PyTorch's {y}"));
        }
    }

    fn of_largest(&mut self, name: &str, found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len(), "{name}");
        let largest = wanted.iter().fold(0f32, |m, x| m.max(x.abs()));
        for (i, (x, y)) in found.iter().zip(wanted).enumerate() {
            self.note(f64::from((x - y).abs() / largest), || format!("{name}[{i}]: {x}, PyTorch's {y}"));
        }
    }

    fn note(&mut self, by: f64, at: impl FnOnce() -> String) {
        let by = if by.is_nan() { f64::INFINITY } else { by };
        if by > self.by {
            *self = Self { by, at: at() };
        }
    }
}

impl Deviations {
    /// What is outside its tolerance, and where.
    pub fn complaints(&self) -> Vec<String> {
        let all = [
            ("loss", &self.loss, LOSS_TOLERANCE),
            ("norm", &self.norm, LOSS_TOLERANCE),
            ("learning rate", &self.rate, RATE_TOLERANCE),
            ("weight", &self.weight, WEIGHT_TOLERANCE),
            ("state", &self.state, WEIGHT_TOLERANCE),
        ];
        let wrong = all.into_iter().filter(|(_, worst, tolerance)| worst.by >= *tolerance);
        wrong.map(|(what, worst, _)| format!("{what} is off by {:.1e} at {}", worst.by, worst.at)).collect()
    }
}

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, norm, rate, weight, state } = self;
        for (what, worst) in [("loss", loss), ("norm", norm), ("rate", rate), ("weight", weight), ("state", state)] {
            write!(f, "{what} {:.1e}  ", worst.by)?;
        }
        Ok(())
    }
}
