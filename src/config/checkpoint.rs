//! When a run saves itself: `[checkpoint]`.

use std::fmt;
use std::str::FromStr;

/// When a run saves itself, and how often it can be gone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// How often.
    pub every: Every,
    /// How many checkpoints are kept, the newest ones; at least 1.
    pub keep: u32,
}

/// How often something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Not at all.
    Never,
    /// After so many updates; at least 1.
    Steps(u64),
    /// After so many seconds; at least 1.
    Seconds(u64),
}

/// Words for lengths of time, and their seconds.
const TIMES: [(&str, u64); 3] = [("hour", 3600), ("minute", 60), ("second", 1)];

impl CheckpointConfig {
    /// What a file without `[checkpoint]` does.
    pub(super) fn left_out() -> Self {
        Self { every: Every::Seconds(600), keep: 3 }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, word) = match *self {
            Self::Never => return f.write_str("never"),
            Self::Steps(steps) => (steps, "step"),
            Self::Seconds(seconds) => {
                let whole = TIMES.into_iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
                let (word, unit) = whole.expect("every time is a number of seconds");
                (seconds / unit, word)
            }
        };
        write!(f, "{count} {word}{}", if count == 1 { "" } else { "s" })
    }
}

impl FromStr for Every {
    type Err = String;

    /// Reads `500 steps`, `10 minutes`, `1 hour` or `never`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let (count, word) = text.split_once(' ').ok_or("it has no unit")?;
        let count: u64 = count.parse().map_err(|_| format!("`{count}` is no whole number"))?;
        let word = word.trim();
        let word = word.strip_suffix('s').unwrap_or(word);
        let unit = TIMES.into_iter().find(|(time, _)| *time == word).map(|(_, unit)| unit);
        if count == 0 {
            return Err("it must be at least 1".into());
        }
        match (word, unit) {
            ("step", _) => Ok(Self::Steps(count)),
            (_, Some(unit)) => count.checked_mul(unit).map(Self::Seconds).ok_or_else(|| "it is too long".into()),
            _ => Err(format!("`{word}` is no unit")),
        }
    }
}
