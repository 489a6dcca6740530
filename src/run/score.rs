//! How good a model is on data that it has not learnt from.

use super::{Part, Run};
use crate::data::{Data, TARGETS};
use crate::error::Error;
use crate::nn::Targets;
use crate::text::IGNORE;
use crate::training::Session;

/// How good a model is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The mean loss.
    pub loss: f64,
    /// The share of classes, or of bits, that are predicted rightly; none of numbers and of texts.
    pub accuracy: Option<f64>,
}

impl Run {
    /// How good the model is on `part`; none if nothing is held out for that.
    ///
    /// # Errors
    /// Device errors.
    pub fn score(&self, session: &mut Session, part: Part) -> Result<Option<Score>, Error> {
        let rows = session.planned().training.micro_batch();
        let once = || self.source.once(&self.config, part, rows);
        let Some(loss) = session.evaluate(once()?)?.mean() else { return Ok(None) };
        let (_, targets, _) = self.source.task();
        if self.text().is_some() || matches!(targets, Targets::Numbers(_)) {
            return Ok(Some(Score { loss, accuracy: None }));
        }
        let (mut right, mut all) = (0u64, 0u64);
        for batch in once()? {
            let predicted = session.predict(&batch)?;
            let (hits, of) = match (batch.field(TARGETS), targets) {
                (Some(Data::U32(classes)), Targets::Classes(n)) => classes_hit(&predicted, classes, n as usize),
                (Some(Data::F32(bits)), _) => bits_hit(&predicted, bits),
                _ => (0, 0),
            };
            right += hits;
            all += of;
        }
        Ok(Some(Score { loss, accuracy: (all > 0).then(|| right as f64 / all as f64) }))
    }
}

/// Rows whose greatest logit is their class's, and rows that have a class.
fn classes_hit(logits: &[f32], classes: &[u32], n: usize) -> (u64, u64) {
    let known = logits.chunks(n).zip(classes).filter(|(_, class)| **class != IGNORE);
    let greatest = |row: &[f32]| (0u32..).zip(row).max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
    let hits = known.clone().filter(|(row, class)| greatest(row) == Some(**class)).count();
    (hits as u64, known.count() as u64)
}

/// Logits on their bit's side of zero, and bits that are there.
fn bits_hit(logits: &[f32], bits: &[f32]) -> (u64, u64) {
    let known = logits.iter().zip(bits).filter(|(_, bit)| !bit.is_nan());
    let hits = known.clone().filter(|(logit, bit)| (**logit > 0.0) == (**bit > 0.5)).count();
    (hits as u64, known.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_counts() {
        let logits = [0.1, 0.9, 2.0, -1.0, 0.0, 1.0];
        assert_eq!(classes_hit(&logits, &[1, 0, IGNORE], 2), (2, 2));
        assert_eq!(classes_hit(&logits, &[0, 0, 1], 2), (2, 3));
        assert_eq!(bits_hit(&[1.0, -1.0, 3.0], &[1.0, 1.0, f32::NAN]), (1, 2));
    }
}
