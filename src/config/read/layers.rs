//! Reads the layers, each by itself; what they must be to one another is for [`model`].

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeValue;

use super::super::keys::LAYER;
use super::super::section::Interval::{Finite, FromZeroToBelowOne, NotNegative, Positive};
use super::super::section::{LARGEST, Notes, Section};
use super::super::{Approximate, DataConfig, Init, LayerConfig, LayerKind, Nonlinearity};
use super::model;
use crate::bytes::printable;

/// A layer as far as it could be read.
pub(super) struct Found<'t> {
    pub(super) section: Section<'t>,
    /// `None` if it has none or an unknown one.
    pub(super) kind: Option<LayerKind>,
    /// The layers that it names, each with the byte where it does.
    pub(super) input: Vec<(&'t str, usize)>,
}

/// The layers of a run that learns from `data`, without those that are wrong.
pub(super) fn layers<'t>(
    top: &Section<'t>,
    data: Option<&DataConfig>,
    carry_state: bool,
    notes: &mut Notes<'t>,
) -> Vec<LayerConfig> {
    let Some(value) = top.value("layer") else {
        let first = if data.is_none_or(DataConfig::reads_ids) {
            ", the first being a `[[layer]]` of type `embedding`"
        } else {
            ""
        };
        top.require("layer", &format!("layers{first}"), notes);
        return Vec::new();
    };
    let Some(tables) = value.get_ref().as_array() else {
        notes.not_wanted("layer", value, "an array of tables, each under a line `[[layer]]`");
        return Vec::new();
    };
    if tables.is_empty() {
        notes.say(value.span().start, "`layer` is empty; wanted at least one layer".to_owned());
    }
    let found: Vec<_> = tables.iter().filter_map(|table| layer(table, notes)).collect();
    let names = names(&found, notes);
    // With a layer that is no table, it is not known which is the first.
    if found.len() == tables.len() {
        model::check(&found, &names, data, carry_state, notes);
    }
    let mut whole = |(name, found): (String, Found<'t>)| {
        let init = found.section.choice("init", Init::WORDS, notes).unwrap_or(Init::Default);
        let input = found.input.into_iter().map(|(name, _)| name.to_owned()).collect();
        Some(LayerConfig { name, kind: found.kind?, input, init })
    };
    names.into_iter().zip(found).filter_map(&mut whole).collect()
}

fn layer<'t>(table: &'t Spanned<DeValue<'t>>, notes: &mut Notes<'t>) -> Option<Found<'t>> {
    let (section, word) = Section::typed(&LAYER, table, notes)?;
    let kind = word.and_then(|word| kind(word, &section, notes));
    if matches!(word, Some("add" | "concat")) {
        section.require("input", "the names of at least two layers before it", notes);
    }
    // An embedding has no such key, which has been noted.
    let reads_layers = word != Some("embedding");
    let input = if reads_layers { section.texts("input", true, notes) } else { None };
    Some(Found { section, kind, input: input.unwrap_or_default() })
}

/// Defaults are those of `torch.nn`. A count that is missing is noted and reads as 1.
fn kind<'t>(word: &str, section: &Section<'t>, notes: &mut Notes<'t>) -> Option<LayerKind> {
    Some(match word {
        "embedding" => {
            section.require("size", "the number of its columns", notes);
            LayerKind::Embedding {
                size: section.count("size", notes).unwrap_or(1),
                padding_idx: section.integer("padding_idx", 0..=LARGEST, notes).and_then(|id| u32::try_from(id).ok()),
            }
        }
        "rnn" | "gru" | "lstm" => recurrent(word, section, notes),
        "linear" => LayerKind::Linear {
            out_features: section.count("out_features", notes),
            bias: section.boolean("bias", notes).unwrap_or(true),
            tied: section.text("tied", notes).map(str::to_owned),
        },
        "layer_norm" => LayerKind::LayerNorm {
            eps: section.float32("eps", Positive, notes).unwrap_or(1e-5),
            elementwise_affine: section.boolean("elementwise_affine", notes).unwrap_or(true),
            bias: section.boolean("bias", notes).unwrap_or(true),
        },
        "dropout" => LayerKind::Dropout { p: section.float32("p", FromZeroToBelowOne, notes).unwrap_or(0.5) },
        "tanh" => LayerKind::Tanh,
        "relu" => LayerKind::Relu,
        "sigmoid" => LayerKind::Sigmoid,
        "silu" => LayerKind::Silu,
        "gelu" => {
            let approximate = section.choice("approximate", Approximate::WORDS, notes);
            LayerKind::Gelu { approximate: approximate.unwrap_or(Approximate::None) }
        }
        "softplus" => LayerKind::Softplus {
            beta: section.float32("beta", Positive, notes).unwrap_or(1.0),
            threshold: section.float32("threshold", NotNegative, notes).unwrap_or(20.0),
        },
        "leaky_relu" => {
            LayerKind::LeakyRelu { negative_slope: section.float32("negative_slope", Finite, notes).unwrap_or(0.01) }
        }
        "add" => LayerKind::Add,
        "concat" => LayerKind::Concat,
        "last" => LayerKind::Last,
        _ => return None,
    })
}

fn recurrent<'t>(word: &str, section: &Section<'t>, notes: &mut Notes<'t>) -> LayerKind {
    section.require("hidden_size", "the number of units of its state", notes);
    let hidden_size = section.count("hidden_size", notes).unwrap_or(1);
    let layers = section.count("layers", notes).unwrap_or(1);
    let bidirectional = section.boolean("bidirectional", notes).unwrap_or(false);
    let dropout = section.float32("dropout", FromZeroToBelowOne, notes).unwrap_or(0.0);
    let bias = section.boolean("bias", notes).unwrap_or(true);
    match word {
        "gru" => {
            let reset_after = section.boolean("reset_after", notes).unwrap_or(true);
            LayerKind::Gru { hidden_size, layers, bidirectional, dropout, bias, reset_after }
        }
        "lstm" => {
            let forget_bias = section.float32("forget_bias", Finite, notes);
            if forget_bias.is_some() && !bias {
                let message = "`forget_bias` is what a bias starts from, and `bias = false` leaves this layer none";
                notes.say(section.at("forget_bias"), message.to_owned());
            }
            LayerKind::Lstm { hidden_size, layers, bidirectional, dropout, bias, forget_bias }
        }
        _ => {
            let nonlinearity = section.choice("nonlinearity", Nonlinearity::WORDS, notes).unwrap_or(Nonlinearity::Tanh);
            LayerKind::Rnn { hidden_size, layers, bidirectional, dropout, nonlinearity, bias }
        }
    }
}

/// A name for each layer: the given one, or its type, numbered from the second of the type on.
fn names<'t>(found: &[Found<'t>], notes: &mut Notes<'t>) -> Vec<String> {
    let mut of_type = HashMap::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::new();
    for Found { section, kind, .. } in found {
        let word = kind.as_ref().map_or("layer", LayerKind::type_name);
        let nth = of_type.entry(word).and_modify(|n| *n += 1).or_insert(1);
        let given = section.text("name", notes);
        let at = section.at("name");
        let name = match (given, &*nth) {
            (Some(name), _) => name.to_owned(),
            (None, 1) => word.to_owned(),
            (None, nth) => format!("{word}_{nth}"),
        };
        check_name(&name, at, notes);
        if let Some(other) = taken.get(&name) {
            let line = notes.line(*other);
            let (name, whose) = (printable(&name), if given.is_some() { "" } else { "default " });
            let message = format!("the {whose}name `{name}` is taken by the layer of line {line}");
            notes.say(at, message);
        }
        taken.entry(name.clone()).or_insert(section.start);
        names.push(name);
    }
    names
}

fn check_name(name: &str, at: usize, notes: &mut Notes<'_>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        let name = printable(name);
        let message = format!(
            "the name `{name}` has the character {other:?}; \
             wanted ASCII letters, digits, `_`, `.` and `-`"
        );
        notes.say(at, message);
    }
}
