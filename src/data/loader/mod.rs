//! Batches, prepared by threads while the device computes, and the same bit for bit however many
//! threads there are.
//!
//! ```text
//! worker 0 | batch 0 | batch 3 | ...   each hands over one batch and has one more in hand;
//! worker 1 | batch 1 | batch 4 | ...   the loader takes from them in turn
//! worker 2 | batch 2 | batch 5 | ...
//! ```
//!
//! A batch is a function of (seed, epoch, batch): which examples it has of (seed, epoch), and each
//! transform's numbers of (seed, epoch, example, transform).

mod recipe;
mod workers;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::{Batch, Data};
use super::dataset::Dataset;
use super::error::{DataError, name_one_of};
use super::field::Field;
use super::transform::Transform;
use recipe::{Cursor, Recipe};
use workers::Workers;

/// Batches that a worker holds at once: one handed over, one in hand.
const BATCHES_PER_WORKER: usize = 2;

/// What becomes of the examples that do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LastBatch {
    /// They are left out of this epoch, as with PyTorch's `drop_last=True`.
    Drop,
    /// Rows that stand for nothing fill the batch: inputs 0, targets `IGNORE` or NaN, length 1.
    Pad,
}

/// How batches are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loading {
    /// B.
    pub batch: usize,
    /// Whether each epoch has an order of its own, or the dataset's.
    pub shuffle: bool,
    /// What all that is random follows from.
    pub seed: u64,
    /// Threads that prepare batches; 0 prepares each when it is asked for.
    pub workers: usize,
    /// What becomes of the examples that do not fill a batch.
    pub last: LastBatch,
    /// After how many epochs the batches end; none for never.
    pub epochs: Option<u64>,
}

/// The place of a batch: all that must be saved to go on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// From 0.
    pub epoch: u64,
    /// Within the epoch, from 0.
    pub batch: u64,
}

/// The batches of a dataset, epoch after epoch. Fields are (T, B, ..) where examples have steps,
/// else (B, ..).
///
/// Dropping it ends its threads and waits for them. A worker's panic is the loader's.
#[derive(Debug)]
pub struct Loader {
    recipe: Arc<Recipe>,
    /// Makes batches where no worker does.
    cursor: Cursor,
    /// Batches before the next one, over all epochs.
    next: u64,
    /// Started by the first batch that is asked for.
    workers: Option<Workers>,
}

impl Loader {
    /// Loads `dataset`; each transform changes the field that is named beside it, in their order.
    ///
    /// # Errors
    /// A [`DataError::Fault`] if there would not be one batch, and for a transform of a field that
    /// is not there or has no numbers.
    pub fn new(
        dataset: Dataset,
        loading: Loading,
        transforms: Vec<(String, Arc<dyn Transform>)>,
    ) -> Result<Loader, DataError> {
        let transforms = transforms.into_iter().map(|(name, transform)| Ok((numeric(&dataset, &name)?, transform)));
        let transforms = transforms.collect::<Result<Vec<_>, DataError>>()?;
        let recipe = Arc::new(Recipe { dataset, loading, transforms });
        if loading.batch == 0 || recipe.batches() == 0 {
            let found = format!("a batch of {} and {} examples", loading.batch, recipe.dataset.len());
            let remedy = "make the batch smaller, or pad the last one";
            return Err(DataError::fault("the dataset", "", found, "one full batch or more", remedy));
        }
        Ok(Loader { cursor: Cursor::new(&recipe), recipe, next: 0, workers: None })
    }

    /// Batches of an epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.recipe.batches()
    }

    /// The place of the batch that is next.
    pub fn position(&self) -> Position {
        let per_epoch = self.recipe.batches();
        Position { epoch: self.next / per_epoch, batch: self.next % per_epoch }
    }

    /// Goes to `position`; batches beyond an epoch's end are those of the next. What workers have
    /// prepared is thrown away, unless they are there already.
    pub fn seek(&mut self, position: Position) {
        let next = position.epoch.saturating_mul(self.recipe.batches()).saturating_add(position.batch);
        if next != self.next {
            self.workers = None;
            self.next = next;
        }
    }

    /// Bytes of one batch.
    pub fn batch_bytes(&self) -> usize {
        self.row_bytes() * self.recipe.loading.batch
    }

    fn row_bytes(&self) -> usize {
        let dataset = &self.recipe.dataset;
        let lengths = usize::from(dataset.has_lengths());
        (dataset.fields().iter().map(Field::size).sum::<usize>() + lengths) * size_of::<u32>()
    }

    /// Bytes of a batch and the most that all workers hold, two batches each and an epoch's order each, if each batch had
    /// so many `rows`. The dataset itself is shared.
    pub(crate) fn bytes_with(&self, rows: u64) -> u64 {
        let batch = rows.saturating_mul(self.row_bytes() as u64);
        let order = (self.recipe.dataset.len() * size_of::<usize>()) as u64;
        let each = batch.saturating_mul(BATCHES_PER_WORKER as u64).saturating_add(order);
        each.saturating_mul(self.recipe.loading.workers as u64).saturating_add(batch)
    }
}

impl Iterator for Loader {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next >= self.recipe.end() {
            self.workers = None;
            return None;
        }
        let workers = self.recipe.loading.workers;
        if self.workers.is_none() && workers > 0 {
            self.workers = Workers::start(&self.recipe, workers, self.next);
        }
        let batch = match &mut self.workers {
            Some(workers) => workers.take(),
            None => self.cursor.batch(self.next),
        };
        self.next += 1;
        Some(batch)
    }
}

/// The place of a field that can be transformed.
fn numeric(dataset: &Dataset, name: &str) -> Result<usize, DataError> {
    let place = dataset.fields().iter().position(|field| field.name() == name);
    let names: Vec<String> = dataset.fields().iter().map(|field| field.name().to_string()).collect();
    let refuse = |found: String, remedy| Err(DataError::fault("the dataset", "", found, "a field of numbers", remedy));
    match place {
        None => refuse(format!("a transform of `{name}`"), name_one_of(name, &names)),
        Some(i) if matches!(dataset.fields()[i].padding(0), Data::U32(_)) => {
            refuse(format!("a transform of `{name}`, which holds ids"), "leave it out".into())
        }
        Some(i) => Ok(i),
    }
}

#[cfg(test)]
mod tests;
