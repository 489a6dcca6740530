//! `metrics.jsonl`: a line a step, each there once, whatever the disk does and however often the run is
//! taken up again.

use std::fs;
use std::path::Path;

use flate2::Crc;
use serde::{Deserialize, Serialize};

use super::Score;
use super::growing::Growing;
use crate::storage::{StorageError, read_file};
use crate::training::StepReport;

/// A line of a step. What is no number is null, for JSON has no word for it.
#[derive(Serialize)]
struct Line {
    step: u64,
    loss: f32,
    learning_rate: f32,
    grad_norm: f32,
    tokens: u64,
    #[serde(skip_serializing_if = "is_false")]
    skipped: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_loss_scale: Option<f32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A line where the validation part was looked at.
#[derive(Serialize)]
struct ScoreLine {
    step: u64,
    validation_loss: f64,
    validation_accuracy: Option<f64>,
}

/// What is read of a line of either kind.
#[derive(Deserialize)]
struct AnyLine {
    step: u64,
    loss: Option<f32>,
    tokens: Option<u64>,
}

/// The most bytes that the line of a step takes: words, and numbers in their longest form.
pub(super) const LONGEST_LINE: u64 = 220;

/// How far a file of metrics had been written, and a checksum of it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Bytes from its start.
    pub bytes: u64,
    /// Their CRC-32.
    pub crc32: u32,
}

/// What the lines that are kept say of the steps so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Units predicted.
    pub tokens: u64,
    /// Each step's loss, in order.
    pub losses: Vec<f32>,
}

/// The file, and a checksum of what is in it.
#[derive(Debug)]
pub(super) struct Metrics {
    lines: Growing,
    crc: Crc,
}

impl Metrics {
    /// Begins the file anew.
    pub(super) fn create(path: &Path) -> Result<Self, StorageError> {
        Ok(Self { lines: Growing::create(path)?, crc: Crc::new() })
    }

    /// Opens the file of an earlier run; nothing is known of it before [`Metrics::cut`].
    pub(super) fn reopen(path: &Path) -> Result<Self, StorageError> {
        Ok(Self { lines: Growing::reopen(path)?, crc: Crc::new() })
    }

    /// Takes away all lines after step `step`, when the file was as `written` says. Where it is no
    /// longer that file, the whole lines of steps up to there are kept, and the answer's second is false.
    pub(super) fn cut(&mut self, written: Written, step: u64) -> Result<(Past, bool), StorageError> {
        let all = read_file(&self.lines.path)?;
        let (kept, is_known) = kept(&all, written, step);
        self.lines.keep(kept.len() as u64)?;
        self.crc = Crc::new();
        self.crc.update(kept);
        Ok((Past::of(kept), is_known))
    }

    /// How far the lines go that are of steps up to `step`.
    pub(super) fn written_up_to(&self, step: u64) -> Result<Written, StorageError> {
        let all = read_file(&self.lines.path)?;
        let lines = up_to(&all, step);
        Ok(Written { bytes: lines.len() as u64, crc32: checksum(lines) })
    }

    /// Adds a line for each step. Lines that cannot be written now wait for the next attempt.
    pub(super) fn append(&mut self, reports: &[StepReport]) -> Result<(), StorageError> {
        for &StepReport { step, loss, learning_rate, grad_norm, tokens, skipped, next_loss_scale, .. } in reports {
            self.push(&Line { step, loss, learning_rate, grad_norm, tokens, skipped, next_loss_scale });
        }
        self.write()
    }

    /// Adds a line for what the validation part said.
    pub(super) fn append_score(&mut self, step: u64, score: &Score) -> Result<(), StorageError> {
        self.push(&ScoreLine { step, validation_loss: score.loss, validation_accuracy: score.accuracy });
        self.write()
    }

    fn push(&mut self, line: &impl Serialize) {
        self.lines.push(&serde_json::to_vec(line).expect("numbers can be written"));
        self.lines.push(b"\n");
    }

    /// Writes what waits, all of it or nothing.
    fn write(&mut self) -> Result<(), StorageError> {
        self.crc.update(&self.lines.write()?);
        Ok(())
    }

    /// Writes what waits, has the disk keep all of it, and says how far that is.
    pub(super) fn settle(&mut self) -> Result<Written, StorageError> {
        self.write()?;
        let Growing { path, file, bytes, .. } = &self.lines;
        // A file that was removed takes whatever is written to it, for nobody.
        fs::metadata(path).map_err(|e| StorageError::write(path, *bytes, e))?;
        file.sync_data().map_err(|e| StorageError::write(path, *bytes, e))?;
        Ok(Written { bytes: *bytes, crc32: self.crc.sum() })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// What is kept of a file of metrics to go on after step `step`, when it was as `written` says. Where it is
/// no longer that file, that is the whole lines of steps up to there, and the answer's second is false.
pub fn kept(all: &[u8], written: Written, step: u64) -> (&[u8], bool) {
    let known = usize::try_from(written.bytes).ok().and_then(|len| all.get(..len));
    let known = known.filter(|lines| checksum(lines) == written.crc32);
    (known.unwrap_or_else(|| up_to(all, step)), known.is_some())
}

/// The whole lines from the start on that are of steps up to `step`.
fn up_to(all: &[u8], step: u64) -> &[u8] {
    let is_kept = |line: &&[u8]| {
        line.ends_with(b"\n") && serde_json::from_slice(line).is_ok_and(|line: AnyLine| line.step <= step)
    };
    let len = all.split_inclusive(|&byte| byte == b'\n').take_while(is_kept).map(<[u8]>::len).sum();
    all.get(..len).unwrap_or_default()
}

impl Past {
    /// What `lines` say; what is no line of a step says nothing.
    pub fn of(lines: &[u8]) -> Past {
        let mut past = Past::default();
        let lines = lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<AnyLine>(line).ok());
        // Lines of the validation part have no tokens.
        for (line, tokens) in lines.filter_map(|line| line.tokens.map(|tokens| (line, tokens))) {
            // A line may say anything; the sum is only shown.
            past.tokens = past.tokens.saturating_add(tokens);
            past.losses.push(line.loss.unwrap_or(f32::NAN));
        }
        past
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::Scratch;

    fn report(step: u64, loss: f32) -> StepReport {
        let (learning_rate, grad_norm, tokens) = (2e-3, loss, 512);
        let (skipped, skipped_so_far, next_loss_scale) = (false, 0, None);
        StepReport { step, loss, learning_rate, grad_norm, tokens, skipped, skipped_so_far, next_loss_scale }
    }

    #[test]
    fn lines_read_back_to_the_same_bits_and_are_json_whatever_the_numbers() {
        let scratch = Scratch::new();
        let path = scratch.path("metrics.jsonl");
        let mut metrics = Metrics::create(&path).unwrap();
        let losses = [0.1f32, 1.0 / 3.0, 5.0, 1e-42, f32::MAX, f32::MIN_POSITIVE, f32::NAN, f32::INFINITY];
        losses.chunks(3).for_each(|some| {
            let reports: Vec<_> = some.iter().map(|&loss| report(7, loss)).collect();
            metrics.append(&reports).unwrap();
        });
        let text = fs::read_to_string(&path).unwrap();
        let first = r#"{"step":7,"loss":0.1,"learning_rate":0.002,"grad_norm":0.1,"tokens":512}"#;
        assert!(text.starts_with(first), "{text}");
        for (line, loss) in text.lines().zip(losses) {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            match json["loss"].as_number() {
                Some(number) => assert_eq!(number.to_string().parse::<f32>().unwrap().to_bits(), loss.to_bits()),
                None => assert!(json["loss"].is_null() && !loss.is_finite()),
            }
        }
        assert_eq!(text.lines().count(), losses.len());
        let longest = StepReport {
            step: u64::MAX,
            tokens: u64::MAX,
            learning_rate: -1.234_567_8e-38,
            skipped: true,
            next_loss_scale: Some(-1.234_567_8e-38),
            ..report(0, -1.234_567_8e-38)
        };
        let before = metrics.lines.bytes;
        metrics.append(&[longest]).unwrap();
        assert!(metrics.lines.bytes - before <= LONGEST_LINE, "{}", metrics.lines.bytes - before);
    }

    #[test]
    fn what_came_after_a_step_is_cut_off_and_what_came_before_is_told() {
        let scratch = Scratch::new();
        let path = scratch.path("metrics.jsonl");
        let mut metrics = Metrics::create(&path).unwrap();
        metrics.append(&[report(1, 0.5), report(2, f32::NAN)]).unwrap();
        metrics.append_score(2, &Score { loss: 1.0, accuracy: None }).unwrap();
        let (written, kept) = (metrics.settle().unwrap(), fs::read(&path).unwrap());
        metrics.append(&[report(3, 0.25), report(4, 0.125)]).unwrap();
        let whole = fs::read(&path).unwrap();
        drop(metrics);
        // As a kill leaves it: whole, in the middle of a line, or changed by others.
        let torn = [&whole[..whole.len() - 9], &b"{"[..]].concat();
        let other = [&kept[..kept.len() - 1], &b" \n{\"step\":9}\n"[..]].concat();
        for (found, as_it_was) in [(whole, true), (torn, true), (other, false)] {
            fs::write(&path, &found).unwrap();
            let mut metrics = Metrics::reopen(&path).unwrap();
            let (past, same) = metrics.cut(written, 2).unwrap();
            assert_eq!((past.tokens, same), (1024, as_it_was));
            assert!(past.losses[0] == 0.5 && past.losses[1].is_nan());
            assert_eq!(fs::metadata(&path).unwrap().len(), kept.len() as u64 + u64::from(!as_it_was));
            metrics.append(&[report(3, 0.25)]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
        }
    }

    #[test]
    fn lines_that_were_changed_by_hand_say_what_they_say() {
        let lines = b"{\"step\":1,\"loss\":1,\"tokens\":18446744073709551615}\n{\"step\":2,\"loss\":2,\"tokens\":2}\n";
        assert_eq!(kept(lines, Written { bytes: 1, crc32: 1 }, 9), (&lines[..], false));
        assert_eq!(Past::of(lines), Past { tokens: u64::MAX, losses: vec![1.0, 2.0] });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lines_that_a_full_disk_does_not_take_wait_and_are_written_later() {
        let scratch = Scratch::new();
        let path = scratch.path("metrics.jsonl");
        let mut metrics = Metrics::create(&path).unwrap();
        metrics.append(&[report(1, 0.5)]).unwrap();
        // Every write to this device says that it is full.
        let disk =
            std::mem::replace(&mut metrics.lines.file, fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        for step in 2..4 {
            let error = metrics.append(&[report(step, 0.5)]).unwrap_err();
            assert!(matches!(error, StorageError::Full { .. } | StorageError::Io { .. }), "{error}");
        }
        assert!(metrics.settle().is_err());
        metrics.lines.file = disk;
        metrics.append(&[report(4, 0.5)]).unwrap();
        let (past, same) = {
            let written = metrics.settle().unwrap();
            metrics.cut(written, 4).unwrap()
        };
        assert_eq!((past.losses.len(), same), (4, true));
    }
}
