//! Reads typed values out of parsed TOML and notes everything that is wrong on the way.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{Lines, Problem};
use super::keys::{Kind, did_you_mean, home, meant, nearest};
use crate::bytes::printable;

/// The largest size or count: what a signed index on any device still holds.
pub(super) const LARGEST: u64 = (1 << 31) - 1;

type Value<'t> = Spanned<DeValue<'t>>;

/// What is wrong so far, by byte of the text.
pub(super) struct Notes<'t> {
    text: &'t str,
    lines: Lines<'t>,
    found: Vec<(usize, String)>,
}

/// A table of the file. What it lacks or has wrong reads as `None`, the latter with a note.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    /// The byte of the text where it starts.
    pub(super) start: usize,
    /// As a sentence names it: "a layer of type `rnn`".
    place: String,
    keys: Vec<&'static str>,
}

/// Where a number must lie.
#[derive(Clone, Copy)]
pub(super) enum Interval {
    NotNegative,
    Positive,
    FromZeroToBelowOne,
    FromZeroToOne,
    AboveZeroToOne,
    Finite,
}

impl Interval {
    fn holds(self, x: f64) -> bool {
        match self {
            Self::NotNegative => x.is_finite() && x >= 0.0,
            Self::Positive => x.is_finite() && x > 0.0,
            Self::FromZeroToBelowOne => (0.0..1.0).contains(&x),
            Self::FromZeroToOne => (0.0..=1.0).contains(&x),
            Self::AboveZeroToOne => x > 0.0 && x <= 1.0,
            Self::Finite => x.is_finite(),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::NotNegative => "a finite number, 0 or greater",
            Self::Positive => "a finite number greater than 0",
            Self::FromZeroToBelowOne => "a number of at least 0 and below 1",
            Self::FromZeroToOne => "a number from 0 to 1",
            Self::AboveZeroToOne => "a number above 0 and at most 1",
            Self::Finite => "a finite number",
        }
    }
}

impl<'t> Notes<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, lines: Lines::new(text), found: Vec::new() }
    }

    pub(super) fn say(&mut self, at: usize, message: String) {
        self.found.push((at, message));
    }

    /// Says what `key` is, which is not what it should be.
    pub(super) fn not_wanted(&mut self, key: &str, value: &Value<'_>, wanted: &str) {
        let found = self.quoted(value);
        self.say(value.span().start, format!("`{key}` is {found}; wanted {wanted}"));
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.line(at)
    }

    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(at, _)| *at);
        let problem = |(at, message)| self.lines.problem(at, message);
        self.found.into_iter().map(problem).collect()
    }

    /// A value as the file has it: "the float 16.0".
    fn quoted(&self, value: &Value<'_>) -> String {
        let kind = match value.get_ref() {
            DeValue::Array(_) => return "an array".to_owned(),
            DeValue::Table(_) => return "a table".to_owned(),
            DeValue::Datetime(_) => "date",
            other => other.type_str(),
        };
        let source = self.text.get(value.span()).unwrap_or_default();
        format!("the {kind} {}", printable(source))
    }
}

impl<'t> Section<'t> {
    /// Opens a table and notes the keys that it should not have.
    pub(super) fn open(
        table: &'t DeTable<'t>,
        start: usize,
        place: String,
        keys: &[&'static str],
        notes: &mut Notes<'t>,
    ) -> Self {
        Self { table, start, place, keys: keys.to_vec() }.looked_through(None, notes)
    }

    /// Notes the keys that it should not have; its type may be another of `kind`.
    fn looked_through(self, kind: Option<&Kind>, notes: &mut Notes<'t>) -> Self {
        for (key, value) in self.unknown() {
            let what = if value.get_ref().is_table() { "table" } else { "key" };
            let given = key.get_ref();
            let hint = match (meant(given, &self.keys), home(given, kind)) {
                (None, Some(home)) => format!("; it belongs {home}"),
                (Some(word), _) => did_you_mean(Some(word)),
                (None, None) => did_you_mean(nearest(given, &self.keys)),
            };
            let (name, place, keys) = (printable(given), &self.place, self.keys.join(", "));
            let message = format!("unknown {what} `{name}` in {place}{hint} (keys: {keys})");
            notes.say(key.span().start, message);
        }
        self
    }

    /// Opens a table whose keys depend on its `type`, which comes along if it is a known one.
    pub(super) fn typed(
        kind: &Kind,
        value: &'t Value<'t>,
        notes: &mut Notes<'t>,
    ) -> Option<(Self, Option<&'static str>)> {
        let wanted = format!("a table whose `type` is one of {}", kind.words().join(", "));
        Self::typed_or(None, &wanted, kind, value, notes)
    }

    /// The same of a table that, without a `type`, has the type `otherwise`; `wanted` is what is
    /// said of a value that is no table.
    pub(super) fn typed_or(
        otherwise: Option<&'static str>,
        wanted: &str,
        kind: &Kind,
        value: &'t Value<'t>,
        notes: &mut Notes<'t>,
    ) -> Option<(Self, Option<&'static str>)> {
        let start = value.span().start;
        let Some(table) = value.get_ref().as_table() else {
            notes.not_wanted(kind.key, value, wanted);
            return None;
        };
        let bare = Self { table, start, place: kind.place.to_owned(), keys: Vec::new() };
        let options: Vec<_> = kind.types.iter().map(|entry| (entry.0, *entry)).collect();
        if let Some((word, keys)) = bare.choice("type", &options, notes) {
            let place = format!("{} of type `{word}`", kind.place);
            let section = Self { place, keys: keys.to_vec(), ..bare };
            return Some((section.looked_through(Some(kind), notes), Some(word)));
        }
        if let (Some((word, keys)), None) =
            (options.iter().find(|o| Some(o.0) == otherwise).map(|o| o.1), bare.value("type"))
        {
            let section = Self { keys: keys.to_vec(), ..bare };
            return Some((section.looked_through(Some(kind), notes), Some(word)));
        }
        // Without a type, a key is right if any type has it.
        let mut keys: Vec<_> = kind.types.iter().flat_map(|(_, keys)| *keys).copied().collect();
        let mut seen = HashSet::new();
        keys.retain(|key| seen.insert(*key));
        let section = Self { keys, ..bare }.looked_through(None, notes);
        section.require("type", &format!("one of {}", kind.words().join(", ")), notes);
        Some((section, None))
    }

    /// The byte where the value of `key` stands; where it is left out, that of the table.
    pub(super) fn at(&self, key: &str) -> usize {
        self.value(key).map_or(self.start, |value| value.span().start)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Value<'t>> {
        self.table.get(key)
    }

    /// Notes the absence of a key, unless a misspelling of it has been noted.
    pub(super) fn require(&self, key: &str, wanted: &str, notes: &mut Notes<'t>) {
        let misspelt = |given: &str| nearest(given, &self.keys) == Some(key);
        let mut unknown = self.unknown();
        if self.value(key).is_none() && !unknown.any(|(given, _)| misspelt(given.get_ref())) {
            let message = format!("{} lacks `{key}`; wanted {wanted}", self.place);
            notes.say(self.start, message);
        }
    }

    /// A table inside this one.
    pub(super) fn section(&self, key: &str, keys: &[&'static str], notes: &mut Notes<'t>) -> Option<Self> {
        let table = self.read(key, &format!("a table `[{key}]`"), notes, DeValue::as_table)?;
        let start = self.value(key)?.span().start;
        Some(Self::open(table, start, format!("`[{key}]`"), keys, notes))
    }

    pub(super) fn text(&self, key: &str, notes: &mut Notes<'t>) -> Option<&'t str> {
        self.read(key, "a string that is not empty", notes, |value| value.as_str().filter(|text| !text.is_empty()))
    }

    pub(super) fn boolean(&self, key: &str, notes: &mut Notes<'t>) -> Option<bool> {
        self.read(key, "true or false", notes, DeValue::as_bool)
    }

    /// A size or a number of things, of which there is at least one.
    pub(super) fn count(&self, key: &str, notes: &mut Notes<'t>) -> Option<u32> {
        let count = self.integer(key, 1..=LARGEST, notes)?;
        u32::try_from(count).ok()
    }

    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u64>, notes: &mut Notes<'t>) -> Option<u64> {
        let wanted = format!("an integer from {} to {}", range.start(), range.end());
        self.read(key, &wanted, notes, |value| {
            let integer = value.as_integer()?;
            let integer = u64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
            Some(integer).filter(|i| range.contains(i))
        })
    }

    /// One of a few words; gives what stands for it.
    pub(super) fn choice<T: Copy>(&self, key: &str, options: &[(&'static str, T)], notes: &mut Notes<'t>) -> Option<T> {
        let words: Vec<_> = options.iter().map(|(word, _)| *word).collect();
        let one_of = format!("one of {}", words.join(", "));
        let given = self.read(key, &one_of, notes, DeValue::as_str)?;
        let chosen = options.iter().find(|(word, _)| *word == given);
        if chosen.is_none() {
            let at = self.at(key);
            let hint = did_you_mean(nearest(given, &words));
            let (given, place) = (printable(given), &self.place);
            notes.say(at, format!("unknown {key} `{given}` in {place}{hint} ({one_of})"));
        }
        chosen.map(|(_, value)| *value)
    }

    pub(super) fn float64(&self, key: &str, interval: Interval, notes: &mut Notes<'t>) -> Option<f64> {
        self.read(key, interval.wanted(), notes, |value| {
            let number = digits(value)?.parse().ok()?;
            Some(number).filter(|x| interval.holds(*x))
        })
    }

    pub(super) fn float32(&self, key: &str, interval: Interval, notes: &mut Notes<'t>) -> Option<f32> {
        float32(key, self.value(key)?, interval, notes)
    }

    /// Exactly two numbers.
    pub(super) fn pair(&self, key: &str, interval: Interval, notes: &mut Notes<'t>) -> Option<[f32; 2]> {
        let wanted = "an array of two numbers";
        let array = self.read(key, wanted, notes, DeValue::as_array)?;
        if array.len() != 2 {
            let message = format!("`{key}` has length {}; wanted {wanted}", array.len());
            notes.say(self.at(key), message);
        }
        // Each number is looked at even if there are too many or one is already wrong.
        match all(array, |value| float32(key, value, interval, notes))?[..] {
            [first, second] => Some([first, second]),
            _ => None,
        }
    }

    /// At least one number.
    pub(super) fn numbers(&self, key: &str, interval: Interval, notes: &mut Notes<'t>) -> Option<Vec<f32>> {
        let array = self.read(key, "an array of numbers", notes, DeValue::as_array)?;
        self.not_empty(key, array, notes)?;
        all(array, |value| float32(key, value, interval, notes))
    }

    /// At least one string, each with the byte where it stands. A string by itself is a list of one
    /// if `alone`.
    pub(super) fn texts(&self, key: &str, alone: bool, notes: &mut Notes<'t>) -> Option<Vec<(&'t str, usize)>> {
        let value = self.value(key)?;
        if alone && value.get_ref().is_str() {
            return Some(vec![(self.text(key, notes)?, value.span().start)]);
        }
        let wanted = if alone { "a string, or an array of strings" } else { "an array of strings" };
        let array = self.read(key, wanted, notes, DeValue::as_array)?;
        self.not_empty(key, array, notes)?;
        all(array, |value| match value.get_ref().as_str() {
            Some(text) if !text.is_empty() => Some((text, value.span().start)),
            _ => {
                notes.not_wanted(key, value, "strings that are not empty");
                None
            }
        })
    }

    fn not_empty(&self, key: &str, array: &[Value<'t>], notes: &mut Notes<'t>) -> Option<()> {
        if array.is_empty() {
            notes.say(self.at(key), format!("`{key}` is empty; wanted at least one entry"));
        }
        (!array.is_empty()).then_some(())
    }

    fn read<T>(
        &self,
        key: &str,
        wanted: &str,
        notes: &mut Notes<'t>,
        read: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            notes.not_wanted(key, value, wanted);
        }
        read
    }

    fn unknown(&self) -> impl Iterator<Item = (&'t Spanned<DeString<'t>>, &'t Value<'t>)> {
        self.table.iter().filter(|(key, _)| !self.keys.contains(&key.get_ref().as_ref()))
    }
}

/// Every value of an array, if all of them can be read.
fn all<'t, T>(array: &'t [Value<'t>], read: impl FnMut(&'t Value<'t>) -> Option<T>) -> Option<Vec<T>> {
    let read: Vec<_> = array.iter().map(read).collect();
    read.into_iter().collect()
}

/// A number that lies in `interval` both as it is written and as the device will hold it.
fn float32<'t>(key: &str, value: &'t Value<'t>, interval: Interval, notes: &mut Notes<'t>) -> Option<f32> {
    let digits = digits(value.get_ref());
    let wide = digits.as_ref().and_then(|d| d.parse::<f64>().ok());
    let narrow = digits.as_ref().and_then(|d| d.parse::<f32>().ok());
    let narrow = narrow.filter(|_| wide.is_some_and(|x| interval.holds(x)));
    match narrow {
        None => notes.not_wanted(key, value, interval.wanted()),
        Some(x) if interval.holds(f64::from(x)) => return Some(x),
        Some(x) => {
            let (found, wanted) = (notes.quoted(value), interval.wanted());
            let message = format!("`{key}` is {found}, which is {x:?} in 32 bits; wanted {wanted}");
            notes.say(value.span().start, message);
        }
    }
    None
}

/// A number as `str::parse` takes it. Where a float is wanted, an integer will do.
fn digits<'t>(value: &'t DeValue<'t>) -> Option<Cow<'t, str>> {
    match value {
        DeValue::Float(float) => Some(float.as_str().into()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().into()),
        DeValue::Integer(integer) => {
            let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
            Some(number.to_string().into())
        }
        _ => None,
    }
}
