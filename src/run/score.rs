//! What a model says of data that it has not learnt from, and how good that is.

use super::{Part, Run};
use crate::error::Error;
use crate::nn::Time;
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
        // A run without this part may have been planned without evaluation.
        if !self.source.has(&self.config, part)? {
            return Ok(None);
        }
        let rows = session.planned().training.micro_batch();
        let found = session.evaluate(self.source.once(&self.config, part, rows)?)?;
        Ok(found.mean().map(|loss| Score { loss, accuracy: found.accuracy() }))
    }

    /// What the model predicts of each of the N examples of `part`, in their order: (N, O), or
    /// (N, T, O) where each step has a target. Numbers are in the units of the file, as if they had
    /// never been standardised; classes and bits have logits.
    ///
    /// # Errors
    /// A text, which is predicted by writing it; a run whose [`Run::predict`] is not set; device errors.
    pub fn predictions(&self, session: &mut Session, part: Part) -> Result<Vec<f32>, Error> {
        let Some(examples) = self.examples() else {
            return Err(Error::Input("a text has no examples to predict; a `Writer` goes on with one".into()));
        };
        let rows = session.planned().training.micro_batch();
        let (_, _, time) = self.source.task();
        let steps = if time == Time::EachStep { examples.parts.train.steps() } else { 1 };
        let mut all = Vec::new();
        let mut left = examples.part(part).len();
        for batch in self.source.once(&self.config, part, rows)? {
            // The last batch was filled with rows that stand for nothing.
            let (rows, real) = (rows as usize, left.min(rows as usize));
            let predicted = row_by_row(&session.predict(&batch)?, steps, rows);
            all.extend(&predicted[..predicted.len() / rows * real]);
            left -= real;
        }
        if let Some(scaling) = &examples.scaling.targets {
            scaling.invert(&mut all);
        }
        Ok(all)
    }
}

/// (T, B, O) as (B, T, O).
fn row_by_row(x: &[f32], steps: usize, rows: usize) -> Vec<f32> {
    let width = x.len() / (steps * rows);
    let of = |row: usize| (0..steps).flat_map(move |t| &x[(t * rows + row) * width..][..width]);
    (0..rows).flat_map(of).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::storage::tests::Scratch;
    use crate::target::Target;

    /// What a model that has learnt nothing says of the seven windows of a test part.
    fn predicted(predict: &str, standardise: bool, batch: u32) -> Vec<f32> {
        let folder = Scratch::new();
        let rows: String = (0..20).map(|i| format!("{i},{}\n", 10 * i)).collect();
        std::fs::write(folder.path("tide.csv"), format!("a,b\n{rows}")).unwrap();
        let file = folder.path("tide.csv");
        let text = format!(
            "[data]\ntype = 'series'\nfile = '{}'\ninputs = ['a']\ntargets = ['b']\npredict = '{predict}'\n\
             standardise = {standardise}\nvalidation = 0.0\ntest = 0.5\nworkers = 0\n[[layer]]\ntype = 'rnn'\n\
             hidden_size = 1\n{}[[layer]]\ntype = 'linear'\n[train]\nbatch = {batch}\nwindow = 3\n",
            file.display(),
            if predict == "last" { "[[layer]]\ntype = 'last'\n" } else { "" },
        );
        let run = Run { predict: true, ..Run::new(Config::from_toml(&text, "run.toml").unwrap()).unwrap() };
        let planned = run.plan(&Target::profile("webgpu-default").unwrap()).unwrap();
        let mut session = Session::on_host(planned).unwrap();
        run.predictions(&mut session, Part::Test).unwrap()
    }

    #[test]
    fn what_is_read_in_halves_stays_in_full_where_the_data_have_more_than_they_hold() {
        let folder = Scratch::new();
        let plan = |most: f32| {
            let file = folder.path("table.csv");
            let rows: String = (0..20).map(|i| format!("{i},{}\n", if i == 19 { most } else { 1.0 })).collect();
            std::fs::write(&file, format!("b,a\n{rows}")).unwrap();
            let text = format!(
                "[data]\ntype = 'table'\nfile = '{}'\ninputs = ['a']\ntargets = ['b']\ntarget = 'number'\n\
                 standardise = false\nshuffle = false\nvalidation = 0.0\ntest = 0.1\nworkers = 0\n[[layer]]\n\
                 type = 'linear'\n[train]\nbatch = 5\nstorage = 'f16'\n",
                file.display()
            );
            let run = Run::new(Config::from_toml(&text, "run.toml").unwrap()).unwrap();
            let planned = run.plan(&Target::profile("webgpu-default").unwrap()).unwrap();
            let noted = planned.warnings().iter().any(|warning| warning.about == "inputs");
            let slot = planned.handles.fields[0];
            let bytes = planned.plan.graph[slot].bytes;
            let score = run.score(&mut Session::on_host(planned).unwrap(), Part::Test).unwrap();
            (bytes, noted, score.is_some_and(|score| score.loss.is_finite()))
        };
        assert_eq!(plan(65_519.0), (12, false, true), "5 halves in 3 words");
        assert_eq!(plan(65_520.0), (20, true, true));
    }

    #[test]
    fn predictions_do_not_depend_on_the_batch_and_are_in_the_units_of_the_file() {
        for (predict, len) in [("last", 7), ("each", 21)] {
            let alone = predicted(predict, false, 1);
            assert_eq!(alone.len(), len);
            assert_eq!(predicted(predict, false, 4), alone);
            // Rows 0 to 9 are learnt from: `b` has mean 45 and deviation 28.7.
            let standardised = predicted(predict, true, 4);
            assert_eq!(standardised.len(), len);
            assert!(standardised.iter().all(|y| (y - 45.0).abs() < 60.0), "{standardised:?}");
            assert!(standardised.iter().any(|y| y.abs() > 5.0), "{standardised:?}");
        }
    }
}
