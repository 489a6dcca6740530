//! A run file of `benches/workloads` and its data, as the programs written in Rust read them.

use std::error::Error;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

/// What a program is asked for: `RUN.toml [--seconds S] [--wait] [--backend NAME]`.
pub(crate) struct Asked {
    pub(crate) path: PathBuf,
    pub(crate) seconds: f64,
    /// Whether each measurement waits for a line.
    pub(crate) waits: bool,
    pub(crate) backend: String,
}

pub(crate) fn asked() -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked { path: PathBuf::new(), seconds: 3.0, waits: false, backend: String::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match &argument[..] {
            "--seconds" => asked.seconds = value()?.parse()?,
            "--wait" => asked.waits = true,
            "--backend" => asked.backend = value()?,
            path => asked.path = path.into(),
        }
    }
    Ok(asked)
}

#[derive(Clone, Debug)]
pub(crate) enum Layer {
    Embedding { size: usize },
    Recurrent { cell: String, hidden: usize, layers: usize },
    Linear { outputs: usize },
    Relu,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Optimizer {
    AdamW { learning_rate: f64 },
    Sgd { learning_rate: f64, momentum: f64 },
}

pub(crate) struct RunFile {
    pub(crate) name: String,
    pub(crate) layers: Vec<Layer>,
    pub(crate) batch: usize,
    pub(crate) accumulate: usize,
    pub(crate) clip_norm: Option<f32>,
    pub(crate) optimizer: Optimizer,
    /// How many ids there are, where the inputs are ids.
    pub(crate) vocabulary: Option<usize>,
    /// Whether the targets are classes, or else numbers.
    pub(crate) of_classes: bool,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    rows: usize,
}

impl RunFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|reason| format!("{}: {reason}", path.display()))?;
        let run: toml::Table = text.parse()?;
        let (data, train) = (table(&run, "data")?, table(&run, "train")?);
        let layers = run.get("layer").and_then(toml::Value::as_array).ok_or("there is no layer")?;
        let optimizer = table(train, "optimizer")?;
        let learning_rate = optimizer.get("learning_rate").and_then(toml::Value::as_float).ok_or("no rate")?;
        let momentum = optimizer.get("momentum").and_then(toml::Value::as_float).unwrap_or(0.0);
        let file = path.parent().unwrap_or(Path::new("")).join(string(data, "file")?);
        let bytes = std::fs::read(&file).map_err(|reason| format!("{}: {reason}", file.display()))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let (inputs, targets) = (tensors.tensor("inputs")?, tensors.tensor("targets")?);
        Ok(Self {
            name: path.file_stem().map(|name| name.to_string_lossy().into()).unwrap_or_default(),
            layers: layers.iter().map(layer).collect::<Result<_, _>>()?,
            batch: number(train, "batch").ok_or("no batch")?,
            accumulate: number(train, "accumulate").unwrap_or(1),
            clip_norm: train.get("clip_norm").and_then(toml::Value::as_float).map(|norm| norm as f32),
            optimizer: match string(optimizer, "type")? {
                "adamw" => Optimizer::AdamW { learning_rate },
                "sgd" => Optimizer::Sgd { learning_rate, momentum },
                other => return Err(format!("no peer knows the optimizer {other}").into()),
            },
            vocabulary: number(data, "vocabulary"),
            of_classes: string(data, "target")? == "class",
            rows: inputs.shape()[0],
            inputs: floats(inputs.data()),
            targets: floats(targets.data()),
        })
    }

    /// Updates that there is data for.
    pub(crate) fn batches(&self) -> usize {
        self.rows / self.batch
    }

    /// Numbers that make up an example's input, or the ids of a window.
    pub(crate) fn features(&self) -> usize {
        self.inputs.len() / self.rows
    }

    /// Numbers that the last layer makes of an example, or of an id.
    #[allow(dead_code, reason = "not every peer has to know")]
    pub(crate) fn outputs(&self) -> usize {
        match self.layers.last() {
            Some(Layer::Linear { outputs }) => *outputs,
            _ => 0,
        }
    }

    /// Inputs and targets of `count` examples from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> (&[f32], &[f32]) {
        let cut = |x: &'_ [f32]| (x.len() / self.rows * first, x.len() / self.rows * (first + count));
        let ((from, to), (start, end)) = (cut(&self.inputs), cut(&self.targets));
        (&self.inputs[from..to], &self.targets[start..end])
    }
}

fn table<'t>(of: &'t toml::Table, key: &str) -> Result<&'t toml::Table, String> {
    of.get(key).and_then(toml::Value::as_table).ok_or_else(|| format!("there is no table `{key}`"))
}

fn string<'t>(of: &'t toml::Table, key: &str) -> Result<&'t str, String> {
    of.get(key).and_then(toml::Value::as_str).ok_or_else(|| format!("there is no `{key}`"))
}

fn number(of: &toml::Table, key: &str) -> Option<usize> {
    of.get(key).and_then(toml::Value::as_integer).and_then(|n| usize::try_from(n).ok())
}

fn layer(written: &toml::Value) -> Result<Layer, String> {
    let written = written.as_table().ok_or("a layer is a table")?;
    let wanted = |key: &str| number(written, key).ok_or_else(|| format!("a layer has no `{key}`"));
    match string(written, "type")? {
        "embedding" => Ok(Layer::Embedding { size: wanted("size")? }),
        "linear" => Ok(Layer::Linear { outputs: wanted("out_features")? }),
        "relu" => Ok(Layer::Relu),
        cell @ ("rnn" | "gru" | "lstm") => {
            let layers = number(written, "layers").unwrap_or(1);
            Ok(Layer::Recurrent { cell: cell.into(), hidden: wanted("hidden_size")?, layers })
        }
        other => Err(format!("no peer knows the layer {other}")),
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
