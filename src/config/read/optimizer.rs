//! Reads `optimizer`, `loss` and the parameter groups.

use toml::Spanned;
use toml::de::DeValue;

use super::super::keys::{GROUP, LOSS, OPTIMIZER};
use super::super::section::Interval::{FromZeroToBelowOne, FromZeroToOne, NotNegative, Positive};
use super::super::section::{Notes, Section};
use super::super::{DataConfig, GroupConfig, LossConfig, OptimizerConfig, Source, TargetKind};
use crate::bytes::printable;

/// The defaults of `torch.optim`. A run that names no optimizer has a greater learning rate.
pub(super) fn optimizer<'t>(value: &'t Spanned<DeValue<'t>>, notes: &mut Notes<'t>) -> Option<OptimizerConfig> {
    let (given, word) = Section::typed(&OPTIMIZER, value, notes)?;
    let slow = matches!(word, Some("rmsprop" | "adagrad"));
    let learning_rate = given.float32("learning_rate", NotNegative, notes).unwrap_or(if slow { 1e-2 } else { 1e-3 });
    let decay = if word == Some("adamw") { 0.01 } else { 0.0 };
    let weight_decay = given.float32("weight_decay", NotNegative, notes).unwrap_or(decay);
    let betas = given.pair("betas", FromZeroToBelowOne, notes).unwrap_or([0.9, 0.999]);
    let eps = given.float32("eps", Positive, notes).unwrap_or(if word == Some("adagrad") { 1e-10 } else { 1e-8 });
    let momentum = given.float32("momentum", FromZeroToBelowOne, notes).unwrap_or(0.0);
    Some(match word? {
        "adamw" => OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay },
        "adam" => OptimizerConfig::Adam { learning_rate, betas, eps, weight_decay },
        "sgd" => {
            let nesterov = given.boolean("nesterov", notes).unwrap_or(false);
            let dampening = given.float32("dampening", FromZeroToOne, notes).unwrap_or(0.0);
            let momentum_is_known = given.value("momentum").is_none() || momentum > 0.0;
            if nesterov && (dampening > 0.0 || momentum_is_known && momentum == 0.0) {
                let message = "`nesterov` looks ahead along the momentum; wanted `momentum` above 0 and no `dampening`";
                notes.say(given.at("nesterov"), message.to_owned());
            }
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov, dampening, weight_decay }
        }
        "rmsprop" => {
            let alpha = given.float32("alpha", FromZeroToBelowOne, notes).unwrap_or(0.99);
            let centered = given.boolean("centered", notes).unwrap_or(false);
            OptimizerConfig::RmsProp { learning_rate, alpha, eps, momentum, centered, weight_decay }
        }
        _ => {
            let lr_decay = given.float32("lr_decay", NotNegative, notes).unwrap_or(0.0);
            let initial = given.float32("initial_accumulator_value", NotNegative, notes).unwrap_or(0.0);
            OptimizerConfig::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value: initial, weight_decay }
        }
    })
}

/// The loss that `[train]` names by its type alone or by a table, if it fits the targets.
pub(super) fn loss<'t>(train: &Section<'t>, data: Option<&DataConfig>, notes: &mut Notes<'t>) -> Option<LossConfig> {
    let value = train.value("loss")?;
    let (mut at, mut weights_at) = (value.span().start, 0);
    let loss = if value.get_ref().is_str() {
        let words: Vec<_> = LOSS.words().into_iter().map(|word| (word, word)).collect();
        plain_loss(train.choice("loss", &words, notes)?)
    } else {
        let wanted = format!("one of {}, or a table with such a `type`", LOSS.words().join(", "));
        let (given, word) = Section::typed_or(None, &wanted, &LOSS, value, notes)?;
        let label_smoothing = given.float32("label_smoothing", FromZeroToOne, notes).unwrap_or(0.0);
        let class_weights = given.numbers("class_weights", NotNegative, notes);
        let delta = given.float32("delta", Positive, notes).unwrap_or(1.0);
        (at, weights_at) = (given.at("type"), given.at("class_weights"));
        match word? {
            "cross_entropy" => LossConfig::CrossEntropy { label_smoothing, class_weights },
            "huber" => LossConfig::Huber { delta },
            word => plain_loss(word),
        }
    };
    if let Some(data) = data {
        check_loss(&loss, data, at, weights_at, notes);
    }
    Some(loss)
}

/// The loss of this type with nothing set.
fn plain_loss(word: &str) -> LossConfig {
    match word {
        "mse" => LossConfig::Mse,
        "l1" => LossConfig::L1,
        "huber" => LossConfig::Huber { delta: 1.0 },
        "bce_with_logits" => LossConfig::BceWithLogits,
        _ => LossConfig::CrossEntropy { label_smoothing: 0.0, class_weights: None },
    }
}

fn check_loss(loss: &LossConfig, data: &DataConfig, at: usize, weights_at: usize, notes: &mut Notes<'_>) {
    let is_text = matches!(data.source, Source::Text { .. });
    let name = loss.type_name();
    if loss.target() != data.target() {
        let (is_for, targets, fitting) = (plural(loss.target()), plural(data.target()), fitting(data.target()));
        let targets = if is_text { "the units of a text" } else { targets };
        notes.say(at, format!("the loss `{name}` is for {is_for}, and the targets are {targets}; wanted {fitting}"));
    } else if is_text && matches!(loss, LossConfig::CrossEntropy { class_weights: Some(_), .. }) {
        let message = "`class_weights` is for targets that are classes, and the targets are the units of a text";
        notes.say(weights_at, message.to_owned());
    }
}

fn plural(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Number => "numbers",
        TargetKind::Class => "classes",
        TargetKind::Bit => "bits",
    }
}

fn fitting(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Number => "`mse`, `l1` or `huber`",
        TargetKind::Class => "`cross_entropy`",
        TargetKind::Bit => "`bce_with_logits`",
    }
}

/// The tables `[[train.group]]`.
pub(super) fn groups<'t>(train: &Section<'t>, notes: &mut Notes<'t>) -> Vec<GroupConfig> {
    let Some(value) = train.value("group") else {
        return Vec::new();
    };
    let Some(tables) = value.get_ref().as_array() else {
        notes.not_wanted("group", value, "an array of tables, each under a line `[[train.group]]`");
        return Vec::new();
    };
    tables.iter().filter_map(|table| group(table, notes)).collect()
}

fn group<'t>(value: &'t Spanned<DeValue<'t>>, notes: &mut Notes<'t>) -> Option<GroupConfig> {
    let start = value.span().start;
    let Some(table) = value.get_ref().as_table() else {
        notes.not_wanted("group", value, "a table with `parameters`");
        return None;
    };
    let given = Section::open(table, start, "a parameter group".to_owned(), GROUP, notes);
    given.require("parameters", "names of parameters, such as [\"*.bias\"]", notes);
    let parameters = given.texts("parameters", false, notes).unwrap_or_default();
    for (name, at) in &parameters {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
        if let Some(other) = name.chars().find(|c| !allowed(*c)) {
            let name = printable(name);
            let wanted = "wanted ASCII letters, digits, `_`, `.`, `-` and, for any characters, `*`";
            notes.say(*at, format!("`parameters` has `{name}` with the character {other:?}; {wanted}"));
        }
    }
    if given.value("weight_decay").is_none() && given.value("learning_rate").is_none() {
        let message = "a parameter group changes nothing; wanted `weight_decay`, `learning_rate` or both";
        notes.say(start, message.to_owned());
    }
    Some(GroupConfig {
        parameters: parameters.into_iter().map(|(name, _)| name.to_owned()).collect(),
        weight_decay: given.float32("weight_decay", NotNegative, notes),
        learning_rate: given.float32("learning_rate", NotNegative, notes),
    })
}
