//! Reads `[data]`, whose keys depend on where examples come from.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::bytes::printable;

use super::super::keys::DATA;
use super::super::section::{Interval, Notes, Section};
use super::super::{DataConfig, Predict, Source, TargetKind, Unit};

/// More would be a mistake on any machine.
const MOST_WORKERS: u64 = 256;

/// What the run learns from; `None` if that cannot be known.
pub(super) fn data<'t>(top: &Section<'t>, notes: &mut Notes<'t>) -> Option<DataConfig> {
    let default = DataConfig::left_out();
    let Some(value) = top.value("data") else {
        return Some(default);
    };
    let (given, word) = Section::typed_or(Some("text"), "a table `[data]`", &DATA, value, notes)?;
    let validation = given.float64("validation", Interval::FromZeroToBelowOne, notes).unwrap_or(default.validation);
    let test = given.float64("test", Interval::FromZeroToBelowOne, notes).unwrap_or(default.test);
    if validation + test >= 1.0 {
        let parts = format!("`validation`, {validation}, and `test`, {test}, leave nothing to learn from");
        notes.say(given.at(if test > 0.0 { "test" } else { "validation" }), format!("{parts}; wanted a sum below 1"));
    }
    let workers = given.integer("workers", 0..=MOST_WORKERS, notes).and_then(|n| u32::try_from(n).ok());
    let shuffle = given.boolean("shuffle", notes);
    let source = source(word?, &given, notes)?;
    // Shuffling a text would tear it apart, so it has no such key.
    let shuffle = shuffle.unwrap_or(!matches!(source, Source::Text { .. }) && !carries_state(top));
    Some(DataConfig { source, validation, test, shuffle, workers: workers.unwrap_or(default.workers) })
}

/// Whether `[train]` asks for it; there, mistakes are noted.
fn carries_state(top: &Section<'_>) -> bool {
    let train = top.value("train").and_then(|value| value.get_ref().as_table());
    train.and_then(|table| table.get("carry_state")?.get_ref().as_bool()) == Some(true)
}

/// Required keys that are missing are noted and stand for something empty.
fn source<'t>(word: &str, given: &Section<'t>, notes: &mut Notes<'t>) -> Option<Source> {
    match word {
        "text" => Some(text(given, notes)),
        "table" => {
            let target = target(given, notes);
            let (inputs, targets) = columns(given, notes);
            if let Some((_, at)) = targets.iter().find(|(column, _)| inputs.iter().any(|(input, _)| input == column)) {
                notes.say(*at, "a column of `targets` is one of `inputs` too, which gives the answer away".to_owned());
            }
            if let (TargetKind::Class, [_, (_, at), ..]) = (target, &targets[..]) {
                notes.say(*at, "`targets` has more than one column; wanted one where `target` is `class`".to_owned());
            }
            let standardise = given.boolean("standardise", notes).unwrap_or(true);
            let [inputs, targets] = [inputs, targets].map(names);
            Some(Source::Table { file: file(given, notes), inputs, targets, target, standardise })
        }
        "series" => {
            let (inputs, targets) = columns(given, notes);
            let [inputs, targets] = [inputs, targets].map(names);
            let horizon = given.count("horizon", notes).unwrap_or(1);
            let predict = given.choice("predict", Predict::WORDS, notes).unwrap_or(Predict::Last);
            let standardise = given.boolean("standardise", notes).unwrap_or(true);
            Some(Source::Series { file: file(given, notes), inputs, targets, horizon, predict, standardise })
        }
        "idx" => Some(Source::Idx {
            folder: given.text("folder", notes).map(Into::into),
            rows_as_steps: given.boolean("rows_as_steps", notes).unwrap_or(false),
        }),
        "arrays" => Some(arrays(given, notes)),
        _ => None,
    }
}

fn text<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> Source {
    let unit = given.choice("unit", Unit::WORDS, notes);
    let vocabulary = given.count("vocabulary", notes);
    let unit_is_known = unit.is_some() || given.value("unit").is_none();
    let unit = unit.unwrap_or(Unit::Char);
    if vocabulary.is_some() && unit_is_known && unit != Unit::Word {
        let message =
            format!("`vocabulary` is for `unit = \"word\"`; `unit` is `{}`, of which all are kept", unit.name());
        notes.say(given.at("vocabulary"), message);
    }
    Source::Text { text: given.text("text", notes).map(Into::into), unit, vocabulary }
}

fn arrays<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> Source {
    let file = file(given, notes);
    let known = |ending: &str| file.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    if given.value("file").is_some() && !file.as_os_str().is_empty() && !known("npz") && !known("safetensors") {
        let message = format!("`file` is `{}`; wanted a name that ends in .npz or .safetensors", shown(&file));
        notes.say(given.at("file"), message);
    }
    given.require("inputs", "the name of the array that is read", notes);
    given.require("targets", "the name of the array that is predicted", notes);
    let name = |key, notes: &mut Notes<'t>| given.text(key, notes).map(str::to_owned);
    Source::Arrays {
        file,
        inputs: name("inputs", notes).unwrap_or_default(),
        targets: name("targets", notes).unwrap_or_default(),
        lengths: name("lengths", notes),
        target: target(given, notes),
        vocabulary: given.count("vocabulary", notes),
        predict: given.choice("predict", Predict::WORDS, notes),
    }
}

fn file<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> PathBuf {
    given.require("file", "the name of the file to read", notes);
    given.text("file", notes).map(Into::into).unwrap_or_default()
}

fn shown(file: &std::path::Path) -> String {
    printable(&file.to_string_lossy()).to_string()
}

fn target<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> TargetKind {
    given.choice("target", TargetKind::WORDS, notes).unwrap_or(TargetKind::Number)
}

type Columns<'t> = Vec<(&'t str, usize)>;

/// The columns that are read, and those that are predicted.
fn columns<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> (Columns<'t>, Columns<'t>) {
    given.require("inputs", "the names of the columns that are read", notes);
    given.require("targets", "the names of the columns that are predicted", notes);
    let mut columns = |key| {
        let columns = given.texts(key, false, notes).unwrap_or_default();
        let mut seen = HashSet::new();
        for (column, at) in &columns {
            if !seen.insert(*column) {
                notes.say(*at, format!("`{key}` names the column `{}` twice", printable(column)));
            }
        }
        columns
    };
    (columns("inputs"), columns("targets"))
}

fn names(columns: Columns<'_>) -> Vec<String> {
    columns.into_iter().map(|(column, _)| column.to_owned()).collect()
}
