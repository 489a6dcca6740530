//! From the text of a run file to a [`Config`], or to all that is wrong with it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf, absolute};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Lines, Problem};
use super::keys::{BUDGET, DATA, OPTIMIZERS, TOP, TRAIN};
use super::layers::layers;
use super::section::{Interval, Notes, Section};
use super::{BudgetConfig, Config, ConfigError, DataConfig, OptimizerConfig, TrainConfig, Unit};
use crate::bytes::{Bytes, ParseBytesError, printable};

/// The most that a run file may have; thousands of layers fit.
const MAX_FILE: Bytes = Bytes(1 << 20);

impl Config {
    /// Reads a run from a file. A relative `data.text` is found from the file's folder and
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
        if let Some(text) = &mut config.data.text {
            *text = beside(path, text);
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
        let at = error.valid_up_to();
        let message = format!("the byte 0x{:02x} is not UTF-8; save the file as UTF-8", bytes[at]);
        let before = String::from_utf8_lossy(&bytes[..at]);
        let problems = vec![Lines::new(&before).problem(at, message)];
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
    let default = Config::left_out();
    Config {
        seed: top.integer("seed", 0..=u64::MAX, notes).unwrap_or(default.seed),
        data: data(&top, default.data, notes),
        layers: layers(&top, notes),
        train: train(&top, default.train, notes),
        budget: budget(&top, default.budget, notes),
    }
}

fn data<'t>(top: &Section<'t>, default: DataConfig, notes: &mut Notes<'t>) -> DataConfig {
    let Some(data) = top.section("data", DATA, notes) else {
        return default;
    };
    let units = [Unit::Char, Unit::Byte].map(|unit| (unit.name(), unit));
    let validation = data.float64("validation", Interval::FromZeroToBelowOne, notes);
    DataConfig {
        text: data.text("text", notes).map(Into::into),
        unit: data.choice("unit", &units, notes).unwrap_or(default.unit),
        validation: validation.unwrap_or(default.validation),
    }
}

fn budget<'t>(top: &Section<'t>, default: BudgetConfig, notes: &mut Notes<'t>) -> BudgetConfig {
    let Some(budget) = top.section("budget", BUDGET, notes) else {
        return default;
    };
    let memory = budget.value("memory");
    BudgetConfig { memory: memory.and_then(|value| size(value, notes)) }
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

fn train<'t>(top: &Section<'t>, default: TrainConfig, notes: &mut Notes<'t>) -> TrainConfig {
    let Some(train) = top.section("train", TRAIN, notes) else {
        return default;
    };
    let batch = train.count("batch", notes);
    let accumulate = train.count("accumulate", notes);
    // A batch that is left out has its default; one that is wrong has been noted already.
    let whole = batch.or_else(|| train.value("batch").is_none().then_some(default.batch));
    if let (Some(batch), Some(accumulate), Some(at)) = (whole, accumulate, train.value("accumulate"))
        && !batch.is_multiple_of(accumulate)
    {
        notes.say(at.span().start, does_not_divide(batch, accumulate));
    }
    TrainConfig {
        batch: batch.unwrap_or(default.batch),
        window: train.count("window", notes).unwrap_or(default.window),
        accumulate: accumulate.unwrap_or(default.accumulate),
        steps: train.integer("steps", 1..=u64::MAX, notes).unwrap_or(default.steps),
        optimizer: train.value("optimizer").and_then(|value| optimizer(value, notes)).unwrap_or(default.optimizer),
        clip_norm: train.float32("clip_norm", Interval::Positive, notes),
        report_every: train.count("report_every", notes).unwrap_or(default.report_every),
    }
}

/// The defaults of `torch.optim`. A run that names no optimizer has a greater learning rate.
fn optimizer<'t>(value: &'t Spanned<DeValue<'t>>, notes: &mut Notes<'t>) -> Option<OptimizerConfig> {
    use Interval::{FromZeroToBelowOne, NotNegative, Positive};
    let (given, word) = Section::typed("optimizer", "an optimizer", value, OPTIMIZERS, notes)?;
    let learning_rate = given.float32("learning_rate", NotNegative, notes).unwrap_or(1e-3);
    let weight_decay = given.float32("weight_decay", NotNegative, notes);
    let betas = given.pair("betas", FromZeroToBelowOne, notes).unwrap_or([0.9, 0.999]);
    let eps = given.float32("eps", Positive, notes).unwrap_or(1e-8);
    let momentum = given.float32("momentum", FromZeroToBelowOne, notes).unwrap_or(0.0);
    match word? {
        "adamw" => {
            let weight_decay = weight_decay.unwrap_or(0.01);
            Some(OptimizerConfig::AdamW { learning_rate, betas, eps, weight_decay })
        }
        _ => {
            let weight_decay = weight_decay.unwrap_or(0.0);
            Some(OptimizerConfig::Sgd { learning_rate, momentum, weight_decay })
        }
    }
}

fn does_not_divide(batch: u32, accumulate: u32) -> String {
    let divisors = divisors_near(batch, accumulate);
    let list: Vec<_> = divisors.iter().map(u32::to_string).collect();
    let list = list.join(", ");
    format!("`accumulate` is {accumulate}, which does not divide `batch`, {batch}; {list} would")
}

/// The divisors of `n`, or the dozen nearest to `wanted`, in their order.
fn divisors_near(n: u32, wanted: u32) -> Vec<u32> {
    const MOST: usize = 12;
    let small = (1..=n.isqrt()).filter(|d| n.is_multiple_of(*d));
    let mut divisors: Vec<u32> = small.flat_map(|d| [d, n / d]).collect();
    divisors.sort_by_key(|d| (d.abs_diff(wanted), *d));
    divisors.dedup();
    divisors.truncate(MOST);
    divisors.sort_unstable();
    divisors
}
