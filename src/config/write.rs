//! From a [`Config`] to a run file that says everything.

use super::{Config, LayerConfig, LayerKind, OptimizerConfig};
use crate::bytes::Bytes;

impl Config {
    /// A complete run file: every value is written out, and `None` as a comment, so that
    /// [`Config::from_toml`] gives the same run back. A path that is not Unicode loses what is not.
    pub fn to_toml(&self) -> String {
        let mut blocks = vec![entry("seed", self.seed), self.data_block()];
        blocks.extend(self.layers.iter().map(layer_block));
        blocks.push(self.train_block());
        blocks.push(optimizer_block(&self.train.optimizer));
        blocks.push(self.budget_block());
        blocks.join("\n")
    }

    fn data_block(&self) -> String {
        let text = self.data.text.as_ref().map(|path| quoted(&path.to_string_lossy()));
        "[data]\n".to_owned()
            + &optional("text", text, "the embedded text")
            + &entry("unit", quoted(self.data.unit.name()))
            + &entry("validation", number(self.data.validation))
    }

    fn train_block(&self) -> String {
        let train = &self.train;
        let clip_norm = train.clip_norm.map(number);
        "[train]\n".to_owned()
            + &entry("batch", train.batch)
            + &entry("window", train.window)
            + &entry("accumulate", train.accumulate)
            + &entry("steps", train.steps)
            + &entry("report_every", train.report_every)
            + &optional("clip_norm", clip_norm, "gradients are not clipped")
    }

    fn budget_block(&self) -> String {
        let memory = self.budget.memory.map(|bytes| quoted(&shortest(bytes)));
        "[budget]\n".to_owned() + &optional("memory", memory, "what the device offers")
    }
}

fn layer_block(layer: &LayerConfig) -> String {
    let head =
        "[[layer]]\n".to_owned() + &entry("name", quoted(&layer.name)) + &entry("type", quoted(layer.kind.type_name()));
    let rest = match &layer.kind {
        LayerKind::Embedding { size } => entry("size", size),
        LayerKind::Rnn { hidden_size, nonlinearity, bias } => {
            entry("hidden_size", hidden_size)
                + &entry("nonlinearity", quoted(nonlinearity.name()))
                + &entry("bias", bias)
        }
        LayerKind::Linear { out_features, bias } => {
            optional("out_features", *out_features, "the size of the vocabulary") + &entry("bias", bias)
        }
        LayerKind::Tanh | LayerKind::Relu | LayerKind::Sigmoid => String::new(),
    };
    head + &rest
}

fn optimizer_block(optimizer: &OptimizerConfig) -> String {
    let head = "[train.optimizer]\n".to_owned() + &entry("type", quoted(optimizer.type_name()));
    let rest = match *optimizer {
        OptimizerConfig::Sgd { learning_rate, momentum, weight_decay } => {
            entry("learning_rate", number(learning_rate))
                + &entry("momentum", number(momentum))
                + &entry("weight_decay", number(weight_decay))
        }
        OptimizerConfig::AdamW { learning_rate, betas: [first, second], eps, weight_decay } => {
            entry("learning_rate", number(learning_rate))
                + &entry("betas", format!("[{}, {}]", number(first), number(second)))
                + &entry("eps", number(eps))
                + &entry("weight_decay", number(weight_decay))
        }
    };
    head + &rest
}

fn entry(key: &str, value: impl std::fmt::Display) -> String {
    format!("{key} = {value}\n")
}

fn optional(key: &str, value: Option<impl std::fmt::Display>, otherwise: &str) -> String {
    match value {
        Some(value) => entry(key, value),
        None => format!("# {key} is left out: {otherwise}\n"),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The shortest decimal that reads back to the same number. TOML has no capitals in `nan`.
fn number(x: impl std::fmt::Debug) -> String {
    format!("{x:?}").to_lowercase()
}

/// The size in a unit if that is exact, else in bytes.
fn shortest(bytes: Bytes) -> String {
    let short = bytes.to_string();
    let exact = short.parse() == Ok(bytes);
    if exact { short } else { format!("{} B", bytes.0) }
}
