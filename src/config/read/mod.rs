//! From the text of a run file to a [`Config`], or to all that is wrong with it.

mod checkpoint;
mod data;
mod layers;
mod model;
mod optimizer;
mod schedule;
mod train;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf, absolute};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Lines, Problem};
use super::keys::{BUDGET, TOP};
use super::section::{LARGEST, Notes, Section};
use super::{BudgetConfig, Config, ConfigError, DataConfig};
use crate::bytes::{Bytes, ParseBytesError, printable};

/// The most that a run file may have; thousands of layers fit.
const MAX_FILE: Bytes = Bytes(1 << 20);

impl Config {
    /// Reads a run from a file. A relative path in `[data]` is found from the file's folder and
    /// becomes absolute, so that the run means the same wherever it is written to.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|opened| opened.take(MAX_FILE.0 + 1).read_to_end(&mut bytes))
            .map_err(|reason| ConfigError::Unreadable { file: file.clone(), reason })?;
        if bytes.len() as u64 > MAX_FILE.0 {
            return Err(ConfigError::TooLarge { file, limit: MAX_FILE });
        }
        let mut config = Self::from_toml(utf8(&bytes, &file)?, &file)?;
        if let Some(named) = config.data.path_mut() {
            *named = beside(path, named);
        }
        Ok(config)
    }

    /// Reads a run from the text of a file; errors call the file `file`.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let invalid = |problems| ConfigError::Invalid { file: file.to_owned(), problems };
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(invalid(syntax(text, &errors)));
        }
        let mut notes = Notes::new(text);
        let config = config(table.get_ref(), &mut notes);
        match notes.into_problems() {
            problems if problems.is_empty() => Ok(config),
            problems => Err(invalid(problems)),
        }
    }
}

/// A path that starts from the folder of `file`, made absolute.
pub(super) fn beside(file: &Path, path: &Path) -> PathBuf {
    let joined = file.parent().unwrap_or(Path::new("")).join(path);
    absolute(&joined).unwrap_or(joined)
}

fn utf8<'t>(bytes: &'t [u8], file: &str) -> Result<&'t str, ConfigError> {
    str::from_utf8(bytes).map_err(|error| {
        let (before, rest) = bytes.split_at(error.valid_up_to());
        let byte = rest.first().copied().unwrap_or_default();
        let message = format!("the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
        let problems = vec![Lines::new(&String::from_utf8_lossy(before)).problem(before.len(), message)];
        ConfigError::Invalid { file: file.to_owned(), problems }
    })
}

/// What is no TOML. Once the parser has stumbled, only its first word on a line is of use.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let lines = Lines::new(text);
    let problem = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let start = span.start;
        let source = printable(text.get(span).unwrap_or_default().trim());
        // The parser takes whatever it does not know for a string.
        let bare_word = error.message().starts_with("string values must be quoted");
        let message = match error.message() {
            _ if bare_word && source.is_empty() => "not TOML: a value is missing".to_owned(),
            _ if bare_word => format!("not TOML at `{source}`: a string must be quoted"),
            "duplicate key" => format!("`{source}` is given twice"),
            message if source.is_empty() => format!("not TOML: {message}"),
            message => format!("not TOML at `{source}`: {message}"),
        };
        lines.problem(start, message)
    };
    let mut problems: Vec<_> = errors.iter().map(problem).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup_by_key(|problem| problem.line);
    problems
}

/// What the file says; where it errs or says nothing, the default.
fn config<'t>(table: &'t DeTable<'t>, notes: &mut Notes<'t>) -> Config {
    let top = Section::open(table, 0, "the run".to_owned(), TOP, notes);
    let seed = top.integer("seed", 0..=u64::MAX, notes).unwrap_or(1);
    // Without known data, nothing is said about what does not fit it.
    let data = data::data(&top, notes);
    let train = train::train(&top, data.as_ref(), notes);
    let layers = layers::layers(&top, data.as_ref(), train.carry_state, notes);
    let (checkpoint, budget) = (checkpoint::checkpoint(&top, notes), budget(&top, notes));
    Config { seed, data: data.unwrap_or_else(DataConfig::left_out), layers, train, checkpoint, budget }
}

fn budget<'t>(top: &Section<'t>, notes: &mut Notes<'t>) -> BudgetConfig {
    let default = BudgetConfig::left_out();
    let Some(budget) = top.section("budget", BUDGET, notes) else { return default };
    let segment_states = budget.integer("segment_states", 0..=LARGEST, notes);
    if segment_states.is_some() && budget.value("segment").is_none() {
        let message = "`segment_states` is for windows in segments; add `segment`, or leave it out";
        notes.say(budget.at("segment_states"), message.to_owned());
    }
    BudgetConfig {
        memory: budget.value("memory").and_then(|value| size(value, notes)),
        segment: budget.count("segment", notes),
        segment_states: segment_states.and_then(|states| u32::try_from(states).ok()),
        recompute: budget.integer("recompute", 2..=LARGEST, notes).and_then(|blocks| u32::try_from(blocks).ok()),
        release_gradients: budget.boolean("release_gradients", notes).unwrap_or(default.release_gradients),
        keep_copies: budget.boolean("keep_copies", notes).unwrap_or(default.keep_copies),
        bargain: budget.boolean("bargain", notes).unwrap_or(default.bargain),
    }
}

/// A size as text, or a bare number of bytes.
fn size<'t>(value: &'t Spanned<DeValue<'t>>, notes: &mut Notes<'t>) -> Option<Bytes> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(bytes) if bytes.radix() == 10 => bytes.to_string(),
        _ => {
            notes.not_wanted("memory", value, "a size such as \"64MiB\" or 67108864");
            return None;
        }
    };
    let wrong = |error| format!("`memory` is not a size: {error}");
    let mut say = |error| notes.say(value.span().start, wrong(error));
    text.parse().map_err(|error: ParseBytesError| say(error)).ok()
}
