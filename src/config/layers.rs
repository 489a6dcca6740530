//! The layers of a run file: each by itself, then their names and their order.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::DeValue;

use super::keys::LAYERS;
use super::section::{Notes, Section};
use super::{LayerConfig, LayerKind, Nonlinearity};
use crate::bytes::printable;

/// A layer as far as it could be read.
struct Found<'t> {
    section: Section<'t>,
    /// `None` if it has none or an unknown one.
    word: Option<&'static str>,
    kind: Option<LayerKind>,
}

/// The layers of a run, without those that are wrong.
pub(super) fn layers<'t>(top: &Section<'t>, notes: &mut Notes<'t>) -> Vec<LayerConfig> {
    let Some(value) = top.value("layer") else {
        top.require("layer", "layers, the first being a `[[layer]]` of type `embedding`", notes);
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
    // With a layer that is no table, it is not known which is the first.
    if found.len() == tables.len() {
        check_order(&found, notes);
    }
    let names = names(&found, notes);
    let whole = |(name, found): (String, Found<'_>)| Some(LayerConfig { name, kind: found.kind? });
    names.into_iter().zip(found).filter_map(whole).collect()
}

fn layer<'t>(table: &'t Spanned<DeValue<'t>>, notes: &mut Notes<'t>) -> Option<Found<'t>> {
    let (section, word) = Section::typed("layer", "a layer", table, LAYERS, notes)?;
    let kind = word.and_then(|word| kind(word, &section, notes));
    Some(Found { section, word, kind })
}

fn kind<'t>(word: &str, section: &Section<'t>, notes: &mut Notes<'t>) -> Option<LayerKind> {
    let tanh_or_relu = [Nonlinearity::Tanh, Nonlinearity::Relu].map(|f| (f.name(), f));
    match word {
        "embedding" => {
            section.require("size", "the number of its columns", notes);
            Some(LayerKind::Embedding { size: section.count("size", notes)? })
        }
        "rnn" => {
            section.require("hidden_size", "the number of units of its state", notes);
            let nonlinearity = section.choice("nonlinearity", &tanh_or_relu, notes);
            let bias = section.boolean("bias", notes).unwrap_or(true);
            Some(LayerKind::Rnn {
                hidden_size: section.count("hidden_size", notes)?,
                nonlinearity: nonlinearity.unwrap_or(Nonlinearity::Tanh),
                bias,
            })
        }
        "linear" => Some(LayerKind::Linear {
            out_features: section.count("out_features", notes),
            bias: section.boolean("bias", notes).unwrap_or(true),
        }),
        "tanh" => Some(LayerKind::Tanh),
        "relu" => Some(LayerKind::Relu),
        "sigmoid" => Some(LayerKind::Sigmoid),
        _ => None,
    }
}

/// Text enters through an embedding, and through nothing else.
fn check_order(found: &[Found<'_>], notes: &mut Notes<'_>) {
    for (i, Found { section, word, .. }) in found.iter().enumerate() {
        let message = match word {
            Some("embedding") if i > 0 => {
                "an `embedding` reads units of the text, so it can only be the first layer".to_owned()
            }
            Some(word) if i == 0 && *word != "embedding" => format!(
                "the first layer is of type `{word}`; text is read by an `embedding` \
                 (one-hot input to another layer is not supported)"
            ),
            _ => continue,
        };
        let at = section.value("type").map_or(section.start, |word| word.span().start);
        notes.say(at, message);
    }
}

/// A name for each layer: the given one, or its type, numbered from the second of the type on.
fn names<'t>(found: &[Found<'t>], notes: &mut Notes<'t>) -> Vec<String> {
    let mut of_type = HashMap::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::new();
    for Found { section, word, .. } in found {
        let word = word.unwrap_or("layer");
        let nth = of_type.entry(word).and_modify(|n| *n += 1).or_insert(1);
        let given = section.text("name", notes);
        let at = section.value("name").map_or(section.start, |name| name.span().start);
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
