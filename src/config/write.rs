//! From a [`Config`] to a run file that says everything.

use std::path::Path;

use super::{
    Config, DataConfig, GroupConfig, LayerConfig, LayerKind, Length, LossConfig, LossScaleConfig, OptimizerConfig,
    StorageConfig,
};
use super::{ScheduleConfig, Source, TrainConfig};
use crate::bytes::Bytes;

impl Config {
    /// A complete run file: every value is written out, and `None` as a comment, so that
    /// [`Config::from_toml`] gives the same run back. A path that is not Unicode loses what is not.
    pub fn to_toml(&self) -> String {
        let train = &self.train;
        let mut blocks = vec![entry("seed", self.seed), data_block(&self.data)];
        blocks.extend(self.layers.iter().map(layer_block));
        blocks.push(train_block(train, &self.data));
        blocks.extend([loss_block(&train.loss), optimizer_block(&train.optimizer), schedule_block(&train.schedule)]);
        blocks.extend(train.groups.iter().map(group_block));
        blocks.extend([self.checkpoint_block(), self.budget_block()]);
        blocks.join("\n")
    }

    fn checkpoint_block(&self) -> String {
        let every = quoted(&self.checkpoint.every.to_string());
        "[checkpoint]\n".to_owned() + &entry("every", every) + &entry("keep", self.checkpoint.keep)
    }

    fn budget_block(&self) -> String {
        let memory = self.budget.memory.map(|bytes| quoted(&shortest(bytes)));
        "[budget]\n".to_owned()
            + &optional("memory", memory, "what the device offers")
            + &optional("segment", self.budget.segment, "a whole window is kept for the way back")
            + &optional("segment_states", self.budget.segment_states, "all states between segments are kept")
            + &optional("recompute", self.budget.recompute, "all activations are kept for the way back")
            + &entry("release_gradients", self.budget.release_gradients)
            + &entry("keep_copies", self.budget.keep_copies)
            + &entry("bargain", self.budget.bargain)
    }
}

fn data_block(data: &DataConfig) -> String {
    let head = typed("[data]", data.source.type_name());
    let columns = |inputs, targets| entry("inputs", list(inputs)) + &entry("targets", list(targets));
    let source = match &data.source {
        Source::Text { text, unit, vocabulary } => {
            optional("text", text.as_deref().map(path), "the embedded text")
                + &entry("unit", quoted(unit.name()))
                + &optional("vocabulary", *vocabulary, "every unit is kept")
        }
        Source::Table { file, inputs, targets, target, standardise } => {
            entry("file", path(file))
                + &columns(inputs, targets)
                + &entry("target", quoted(target.name()))
                + &entry("standardise", standardise)
        }
        Source::Series { file, inputs, targets, horizon, predict, standardise } => {
            entry("file", path(file))
                + &columns(inputs, targets)
                + &entry("horizon", horizon)
                + &entry("predict", quoted(predict.name()))
                + &entry("standardise", standardise)
        }
        Source::Idx { folder, rows_as_steps } => {
            optional("folder", folder.as_deref().map(path), "where such files are usually installed")
                + &entry("rows_as_steps", rows_as_steps)
        }
        Source::Arrays { file, inputs, targets, lengths, target, vocabulary, predict } => {
            entry("file", path(file))
                + &entry("inputs", quoted(inputs))
                + &entry("targets", quoted(targets))
                + &optional("lengths", lengths.as_deref().map(quoted), "all sequences are equally long")
                + &entry("target", quoted(target.name()))
                + &optional("vocabulary", *vocabulary, "the inputs are numbers")
                + &optional("predict", predict.map(|p| quoted(p.name())), "examples are no sequences")
        }
    };
    let test = match data.source {
        Source::Idx { .. } => String::new(),
        _ => entry("test", number(data.test)),
    };
    let shuffle = match data.source {
        Source::Text { .. } => String::new(),
        _ => entry("shuffle", data.shuffle),
    };
    head + &source + &entry("validation", number(data.validation)) + &test + &shuffle + &entry("workers", data.workers)
}

fn train_block(train: &TrainConfig, data: &DataConfig) -> String {
    let window = match data.source {
        Source::Table { .. } | Source::Idx { .. } => String::new(),
        _ => train.window.map_or_else(String::new, |window| entry("window", window)),
    };
    let length = match train.length {
        Length::Steps(steps) => entry("steps", steps),
        Length::Epochs(epochs) => entry("epochs", epochs),
    };
    "[train]\n".to_owned()
        + &entry("batch", train.batch)
        + &window
        + &entry("accumulate", train.accumulate)
        + &length
        + &entry("report_every", train.report_every)
        + &optional("evaluate_every", train.evaluate_every, "validation is at the end only")
        + &optional("clip_norm", train.clip_norm.map(number), "gradients keep their norm")
        + &optional("clip_value", train.clip_value.map(number), "elements of gradients keep their value")
        + &entry("carry_state", train.carry_state)
        + &entry("storage", quoted(train.storage.name()))
        + &entry("parameter_storage", quoted(train.parameter_storage.name()))
        + &loss_scale(train)
        + &optional("non_finite", train.non_finite.map(|policy| quoted(policy.name())), "stop; with f16, skip")
        + &entry("warmup", train.warmup)
}

fn loss_scale(train: &TrainConfig) -> String {
    match (train.storage, train.loss_scale) {
        (StorageConfig::F32, _) => String::new(),
        (StorageConfig::F16, LossScaleConfig::Dynamic) => entry("loss_scale", quoted("dynamic")),
        (StorageConfig::F16, LossScaleConfig::Static(scale)) => entry("loss_scale", number(scale)),
    }
}

fn layer_block(layer: &LayerConfig) -> String {
    let head =
        "[[layer]]\n".to_owned() + &entry("name", quoted(&layer.name)) + &entry("type", quoted(layer.kind.type_name()));
    let input = match &layer.input[..] {
        [] => String::new(),
        [one] => entry("input", quoted(one)),
        several => entry("input", list(several)),
    };
    let init = if layer.kind.has_weights() { entry("init", quoted(layer.init.name())) } else { String::new() };
    head + &input + &settings(&layer.kind) + &init
}

fn settings(kind: &LayerKind) -> String {
    let recurrent = |hidden_size: u32, layers: u32, bidirectional: bool, dropout: f32, bias: bool| {
        entry("hidden_size", hidden_size)
            + &entry("layers", layers)
            + &entry("bidirectional", bidirectional)
            + &entry("dropout", number(dropout))
            + &entry("bias", bias)
    };
    match kind {
        LayerKind::Embedding { size, padding_idx } => {
            entry("size", size) + &optional("padding_idx", *padding_idx, "every id has a row that learns")
        }
        LayerKind::Rnn { hidden_size, layers, bidirectional, dropout, nonlinearity, bias } => {
            recurrent(*hidden_size, *layers, *bidirectional, *dropout, *bias)
                + &entry("nonlinearity", quoted(nonlinearity.name()))
        }
        LayerKind::Gru { hidden_size, layers, bidirectional, dropout, bias, reset_after } => {
            recurrent(*hidden_size, *layers, *bidirectional, *dropout, *bias) + &entry("reset_after", reset_after)
        }
        LayerKind::Lstm { hidden_size, layers, bidirectional, dropout, bias, forget_bias } => {
            recurrent(*hidden_size, *layers, *bidirectional, *dropout, *bias)
                + &optional("forget_bias", forget_bias.map(number), "it starts as the other biases do")
        }
        LayerKind::Linear { out_features, bias, tied } => {
            optional("out_features", *out_features, "what the targets ask for")
                + &entry("bias", bias)
                + &optional("tied", tied.as_deref().map(quoted), "it has a weight of its own")
        }
        LayerKind::LayerNorm { eps, elementwise_affine, bias } => {
            entry("eps", number(eps)) + &entry("elementwise_affine", elementwise_affine) + &entry("bias", bias)
        }
        LayerKind::Dropout { p } => entry("p", number(p)),
        LayerKind::Gelu { approximate } => entry("approximate", quoted(approximate.name())),
        LayerKind::Softplus { beta, threshold } => entry("beta", number(beta)) + &entry("threshold", number(threshold)),
        LayerKind::LeakyRelu { negative_slope } => entry("negative_slope", number(negative_slope)),
        LayerKind::Tanh | LayerKind::Relu | LayerKind::Sigmoid | LayerKind::Silu => String::new(),
        LayerKind::Add | LayerKind::Concat | LayerKind::Last => String::new(),
    }
}

fn loss_block(loss: &LossConfig) -> String {
    let rest = match loss {
        LossConfig::CrossEntropy { label_smoothing, class_weights } => {
            let weights = class_weights.as_deref().map(numbers);
            entry("label_smoothing", number(label_smoothing))
                + &optional("class_weights", weights, "all count the same")
        }
        LossConfig::Huber { delta } => entry("delta", number(delta)),
        LossConfig::Mse | LossConfig::L1 | LossConfig::BceWithLogits => String::new(),
    };
    typed("[train.loss]", loss.type_name()) + &rest
}

fn optimizer_block(optimizer: &OptimizerConfig) -> String {
    let adam = |learning_rate, betas: &[f32], eps, weight_decay| {
        floats([("learning_rate", learning_rate)])
            + &entry("betas", numbers(betas))
            + &floats([("eps", eps), ("weight_decay", weight_decay)])
    };
    let rest = match *optimizer {
        OptimizerConfig::Sgd { learning_rate, momentum, nesterov, dampening, weight_decay } => {
            floats([("learning_rate", learning_rate), ("momentum", momentum)])
                + &entry("nesterov", nesterov)
                + &floats([("dampening", dampening), ("weight_decay", weight_decay)])
        }
        OptimizerConfig::Adam { learning_rate, betas, eps, weight_decay }
        | OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay } => {
            adam(learning_rate, &betas, eps, weight_decay)
        }
        OptimizerConfig::RmsProp { learning_rate, alpha, eps, momentum, centered, weight_decay } => {
            floats([("learning_rate", learning_rate), ("alpha", alpha), ("eps", eps), ("momentum", momentum)])
                + &entry("centered", centered)
                + &floats([("weight_decay", weight_decay)])
        }
        OptimizerConfig::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value, weight_decay } => {
            floats([("learning_rate", learning_rate), ("lr_decay", lr_decay), ("eps", eps)])
                + &floats([("initial_accumulator_value", initial_accumulator_value), ("weight_decay", weight_decay)])
        }
    };
    typed("[train.optimizer]", optimizer.type_name()) + &rest
}

fn schedule_block(schedule: &ScheduleConfig) -> String {
    let length = |steps: Option<u64>| optional("steps", steps, "all steps of the run");
    let rest = match *schedule {
        ScheduleConfig::Constant => String::new(),
        ScheduleConfig::Linear { start_factor, end_factor, steps } => {
            floats([("start_factor", start_factor), ("end_factor", end_factor)]) + &length(steps)
        }
        ScheduleConfig::Cosine { steps, eta_min } => length(steps) + &floats([("eta_min", eta_min)]),
        ScheduleConfig::Step { step_size, gamma } => entry("step_size", step_size) + &floats([("gamma", gamma)]),
        ScheduleConfig::Exponential { gamma, every } => floats([("gamma", gamma)]) + &entry("every", every),
        ScheduleConfig::OneCycle {
            max_lr,
            steps,
            pct_start,
            div_factor,
            final_div_factor,
            anneal,
            cycle_momentum,
            base_momentum,
            max_momentum,
            three_phase,
        } => {
            floats([("max_lr", max_lr), ("pct_start", pct_start), ("div_factor", div_factor)])
                + &length(steps)
                + &floats([("final_div_factor", final_div_factor)])
                + &entry("anneal", quoted(anneal.name()))
                + &entry("cycle_momentum", cycle_momentum)
                + &floats([("base_momentum", base_momentum), ("max_momentum", max_momentum)])
                + &entry("three_phase", three_phase)
        }
        ScheduleConfig::Plateau { factor, patience, threshold, cooldown, min_lr } => {
            floats([("factor", factor), ("threshold", threshold), ("min_lr", min_lr)])
                + &entry("patience", patience)
                + &entry("cooldown", cooldown)
        }
    };
    typed("[train.schedule]", schedule.type_name()) + &rest
}

fn group_block(group: &GroupConfig) -> String {
    let value = |key, given: Option<f32>| optional(key, given.map(number), "the optimizer's");
    "[[train.group]]\n".to_owned()
        + &entry("parameters", list(&group.parameters))
        + &value("weight_decay", group.weight_decay)
        + &value("learning_rate", group.learning_rate)
}

/// The head of a table and its type.
fn typed(head: &str, word: &str) -> String {
    format!("{head}\n") + &entry("type", quoted(word))
}

fn floats<const N: usize>(entries: [(&str, f32); N]) -> String {
    entries.map(|(key, value)| entry(key, number(value))).concat()
}

fn numbers(all: &[f32]) -> String {
    format!("[{}]", all.iter().map(number).collect::<Vec<_>>().join(", "))
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
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
