//! What `metrics.jsonl` says, for TensorBoard: an event file beside it.
//!
//! ```text
//! record | 8: length of the event | 4: masked CRC-32C of these | event | 4: masked CRC-32C of it |
//! event  | 1: wall time, f64 | 2: step | 3: "brain.Event:2"        the first record
//!                                      | 7: { 1: START }           the second: what other files say is void
//!                                      | 5: { 1: { 1: tag, 2: f32 } ... }
//! ```
//!
//! The file is derived from the metrics. A run that is taken up begins it anew, under a later name, with
//! the lines that are kept; only the wall times are those of the file before it, which is emptied.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::growing::Growing;
use super::{History, Score};
use crate::config::Config;
use crate::storage::{self, StorageError};
use crate::training::StepReport;

const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".plimsoll";

/// The most bytes that the record of a step takes: four scalars, and a step number in its longest form.
pub(super) const LONGEST_RECORD: u64 = 160;

/// The file, or what is to be its beginning.
#[derive(Debug)]
pub(super) struct Events {
    folder: PathBuf,
    /// The record of the run's settings.
    about: Vec<u8>,
    /// Records, as long as there is no file for them.
    first: Vec<u8>,
    file: Option<Growing>,
}

impl Events {
    /// Those of a run in `folder`, whose file is made when there is something to write.
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.into(), about: Vec::new(), first: beginning(), file: None }
    }

    /// Adds the run's settings, as text.
    pub(super) fn describe(&mut self, config: &Config) {
        let text = format!("```toml\n{}```\n", config.to_toml());
        self.about = record(now(), 0, &field(5, &field(1, &text_value("config", &text))));
        self.push(&self.about.clone());
    }

    /// Adds a record for each step. What cannot be written now waits for the next attempt.
    pub(super) fn append(&mut self, reports: &[StepReport]) -> Result<(), StorageError> {
        let wall = now();
        for &StepReport { step, loss, learning_rate, grad_norm, next_loss_scale, .. } in reports {
            self.push(&of_step(wall, step, [loss, learning_rate, grad_norm], next_loss_scale));
        }
        self.write()
    }

    /// Adds a record for what the validation part said.
    pub(super) fn append_score(&mut self, step: u64, score: &Score) -> Result<(), StorageError> {
        self.push(&of_look(now(), step, score.loss, score.accuracy));
        self.write()
    }

    /// Begins the file anew with what `history` says.
    pub(super) fn rewrite(&mut self, history: &History) -> Result<(), StorageError> {
        let times = times(&self.folder);
        let at = |step: u64| times.get(&step).copied().unwrap_or_else(now);
        self.file = None;
        self.first = [beginning(), self.about.clone()].concat();
        let mut looks = history.looks.iter().peekable();
        for (i, &step) in history.steps.iter().enumerate() {
            let numbers = [&history.losses, &history.learning_rates, &history.grad_norms].map(|column| column[i]);
            self.first.extend(of_step(at(step), step, numbers, history.loss_scales.get(i).copied()));
            while let Some(look) = looks.next_if(|look| look.step <= step) {
                self.first.extend(of_look(at(look.step), look.step, look.loss, look.accuracy));
            }
        }
        self.write()
    }

    fn push(&mut self, records: &[u8]) {
        match &mut self.file {
            Some(file) => file.push(records),
            None => self.first.extend(records),
        }
    }

    /// Writes what waits, all of it or nothing.
    pub(super) fn write(&mut self) -> Result<(), StorageError> {
        if self.file.is_none() {
            // All that the older ones said has been read, and a full disk needs their room. The last one stays,
            // empty, for readers that are at it: they go on to the next, and stop where theirs is gone.
            let older = names(&self.folder);
            if let Some((last, others)) = older.split_last() {
                others.iter().try_for_each(|name| storage::remove_file(&self.folder.join(name)))?;
                Growing::create(&self.folder.join(last))?;
            }
            let latest = older.iter().filter_map(|name| seconds_of(name)).max();
            let seconds = latest.map_or(0, |s| s.saturating_add(1)).max(whole_seconds());
            let mut file = Growing::create(&self.folder.join(format!("{PREFIX}{seconds:010}{SUFFIX}")))?;
            file.push(&std::mem::take(&mut self.first));
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write()?;
        }
        Ok(())
    }
}

/// When the first and the last step that the event file in `folder` knows were reported, in seconds since
/// 1970; none where there is no such file.
pub fn started(folder: &Path) -> Option<(f64, f64)> {
    let times = times(folder);
    Some((times.values().copied().reduce(f64::min)?, times.values().copied().reduce(f64::max)?))
}

/// The event files that are ours, the oldest first.
fn names(folder: &Path) -> Vec<String> {
    let mut names = storage::names(folder).unwrap_or_default();
    names.retain(|name| seconds_of(name).is_some());
    names.sort();
    names
}

fn seconds_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// The wall time of each step that was reported, as the event files in `folder` have it.
fn times(folder: &Path) -> HashMap<u64, f64> {
    let mut times = HashMap::new();
    for name in names(folder) {
        let Ok(file) = File::open(folder.join(name)) else { continue };
        let mut file = BufReader::new(file);
        // Every event of ours begins with a tag, eight bytes of wall time, a tag, and the step.
        while let Some(event) = next_event(&mut file) {
            let (wall, rest) = event.split_at(event.len().min(10));
            let wall = wall.get(1..9).and_then(|wall| Some(f64::from_le_bytes(wall.try_into().ok()?)));
            if let (Some(wall), step @ 1..) = (wall, read_varint(rest)) {
                times.entry(step).or_insert(wall);
            }
        }
    }
    times
}

/// The next event; none at the end, and where a record is torn.
fn next_event(file: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0; 12];
    file.read_exact(&mut head).ok()?;
    let length = u64::from_le_bytes(head[..8].try_into().ok()?);
    // A length is believed only if its checksum is right.
    (head[8..] == masked_crc(&head[..8])).then_some(())?;
    let mut event = Vec::new();
    file.take(length.checked_add(4)?).read_to_end(&mut event).ok()?;
    let end = event.len().checked_sub(4).filter(|&end| end as u64 == length)?;
    (event[end..] == masked_crc(&event[..end])).then(|| event[..end].to_vec())
}

/// The two records that a file begins with.
fn beginning() -> Vec<u8> {
    [record(now(), 0, &field(3, b"brain.Event:2")), record(now(), 0, &field(7, &[8, 1]))].concat()
}

fn of_step(wall: f64, step: u64, [loss, rate, norm]: [f32; 3], scale: Option<f32>) -> Vec<u8> {
    let values = [("train/loss", loss), ("train/learning_rate", rate), ("train/grad_norm", norm)];
    scalars(wall, step, values.into_iter().chain(scale.map(|scale| ("train/next_loss_scale", scale))))
}

#[allow(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are f32")]
fn of_look(wall: f64, step: u64, loss: f64, accuracy: Option<f64>) -> Vec<u8> {
    let accuracy = accuracy.map(|share| ("validation/accuracy", share as f32));
    scalars(wall, step, std::iter::once(("validation/loss", loss as f32)).chain(accuracy))
}

fn scalars(wall: f64, step: u64, values: impl Iterator<Item = (&'static str, f32)>) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        // The metrics have one word for all that is no finite number; so has this.
        let value = if value.is_finite() { value } else { f32::NAN };
        let value = [&field(1, tag.as_bytes())[..], &[2 << 3 | 5], &value.to_le_bytes()].concat();
        summary.extend(field(1, &value));
    }
    record(wall, step, &field(5, &summary))
}

/// A text as TensorBoard's plugin of that name wants it: a tensor of one string.
fn text_value(tag: &str, text: &str) -> Vec<u8> {
    let plugin = field(9, &field(1, &field(1, b"text")));
    let (string, one_dimension_of_1) = ([8, 7], field(2, &field(2, &[8, 1])));
    let tensor = [&string[..], &one_dimension_of_1, &field(8, text.as_bytes())].concat();
    [field(1, tag.as_bytes()), field(8, &tensor), plugin].concat()
}

/// A record of one event, whose content is `what`.
fn record(wall: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(wall.to_le_bytes());
    event.push(2 << 3);
    push_varint(&mut event, step);
    event.extend(what);
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), &event, &masked_crc(&event)].concat()
}

/// A protobuf field of bytes, of a number below 16.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    push_varint(&mut out, bytes.len() as u64);
    out.extend(bytes);
    out
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn read_varint(bytes: &[u8]) -> u64 {
    let mut number = 0;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// The remainders of all bytes by Castagnoli's polynomial, the lowest bit first.
const REMAINDERS: [u32; 256] = {
    let (mut table, mut byte) = ([0; 256], 0u8);
    loop {
        let (mut rest, mut bit) = (byte as u32, 0);
        while bit < 8 {
            rest = (rest >> 1) ^ (0x82f6_3b78 * (rest & 1));
            bit += 1;
        }
        table[byte as usize] = rest;
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// CRC-32C, turned so that a file with checksums in it can have one too.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ REMAINDERS[usize::from(crc.to_le_bytes()[0] ^ byte)];
    let crc = !bytes.iter().fold(!0, step);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn whole_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
