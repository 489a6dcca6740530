//! `metrics.jsonl`, read back: what each step and each look at the validation part said.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::files::METRICS;
use crate::storage::{StorageError, no_such_file};

/// A line of either kind; one of the validation part has no `tokens`.
#[derive(Deserialize)]
struct Line {
    step: u64,
    loss: Option<f32>,
    learning_rate: Option<f32>,
    grad_norm: Option<f32>,
    tokens: Option<u64>,
    skipped: Option<bool>,
    next_loss_scale: Option<f32>,
    validation_loss: Option<f64>,
    validation_accuracy: Option<f64>,
}

/// What a run has said so far, column by column. What was no finite number is NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The number of each step, counted from 1.
    pub steps: Vec<u64>,
    /// Each step's mean loss.
    pub losses: Vec<f32>,
    /// The learning rate it took.
    pub learning_rates: Vec<f32>,
    /// The norm of its gradients, before they were clipped.
    pub grad_norms: Vec<f32>,
    /// What the loss of the next step is scaled by, of steps whose loss is scaled; else empty.
    pub loss_scales: Vec<f32>,
    /// The steps that changed nothing.
    pub skipped: Vec<u64>,
    /// What the validation part said.
    pub looks: Vec<Look>,
    /// Units predicted in all of these steps.
    pub tokens: u64,
    /// Lines that cannot be read. The last one may be, while it is being written.
    pub unreadable: u64,
}

/// A look at the validation part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Updates made before it.
    pub step: u64,
    /// The mean loss.
    pub loss: f64,
    /// The share that was predicted rightly; none of losses that know no right and wrong.
    pub accuracy: Option<f64>,
}

impl History {
    /// Reads the metrics in a run's folder, line by line; of a folder without any there is no history.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(METRICS);
        let failed = |source| StorageError::io("read", &path, source);
        if path.exists() {
            crate::storage::check_regular(&path)?;
        }
        let file = match File::open(&path) {
            Err(error) if no_such_file(&error) => return Ok(Self::default()),
            opened => BufReader::new(opened.map_err(failed)?),
        };
        Self::of(file).map_err(failed)
    }

    fn of(mut lines: impl BufRead) -> std::io::Result<Self> {
        let (mut history, mut line) = (Self::default(), Vec::new());
        while lines.read_until(b'\n', &mut line)? > 0 {
            match serde_json::from_slice(&line) {
                Ok(line) => history.add(&line),
                Err(_) => history.unreadable += 1,
            }
            line.clear();
        }
        Ok(history)
    }

    fn add(&mut self, line: &Line) {
        let step = line.step;
        let Some(tokens) = line.tokens else {
            let loss = line.validation_loss.unwrap_or(f64::NAN);
            return self.looks.push(Look { step, loss, accuracy: line.validation_accuracy });
        };
        let number = |number: Option<f32>| number.unwrap_or(f32::NAN);
        self.tokens = self.tokens.saturating_add(tokens);
        self.steps.push(step);
        self.losses.push(number(line.loss));
        self.learning_rates.push(number(line.learning_rate));
        self.grad_norms.push(number(line.grad_norm));
        if line.next_loss_scale.is_some() {
            // A run is scaled from its first step on; lines before it, if any, have no scale.
            self.loss_scales.resize(self.steps.len() - 1, f32::NAN);
            self.loss_scales.push(number(line.next_loss_scale));
        }
        if line.skipped == Some(true) {
            self.skipped.push(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_kinds_are_read_and_what_is_no_number_is_nan() {
        let text = r#"{"step":1,"loss":0.5,"learning_rate":0.1,"grad_norm":2,"tokens":8,"skipped":false,"next_loss_scale":4}
{"step":1,"validation_loss":0.25,"validation_accuracy":0.5}
{"step":2,"loss":null,"learning_rate":0.1,"grad_norm":null,"tokens":8,"skipped":true,"next_loss_scale":2}
{"step":2,"validation_loss":null,"validation_accuracy":null}
{"step":3,"loss":0.5,"learning_rate":0.1,"grad_norm":2,"tokens":8,"next_loss_scale":2}
{"step":4,"lo"#;
        let history = History::of(text.as_bytes()).unwrap();
        assert_eq!((&history.steps[..], history.tokens, history.unreadable), (&[1, 2, 3][..], 24, 1));
        assert!(history.losses[0] == 0.5 && history.losses[1].is_nan() && history.grad_norms[1].is_nan());
        assert_eq!((&history.loss_scales[..], &history.skipped[..]), (&[4.0, 2.0, 2.0][..], &[2][..]));
        assert_eq!(history.looks[0], Look { step: 1, loss: 0.25, accuracy: Some(0.5) });
        assert!(history.looks[1].loss.is_nan() && history.looks[1].accuracy.is_none());
    }
}
