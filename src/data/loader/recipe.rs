//! Batch number n, made of nothing but the dataset, the settings and n.

use std::sync::Arc;

use super::{LastBatch, Loading};
use crate::data::batch::{Batch, Data};
use crate::data::dataset::Dataset;
use crate::data::split::shuffle;
use crate::data::transform::Transform;
use crate::random::{Purpose, State, Stream};

/// Words that each transform may draw of an example's stream before it meets the next one's.
const WORDS_PER_TRANSFORM: u64 = 1 << 40;

/// All that a batch is made of.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) dataset: Dataset,
    pub(super) loading: Loading,
    /// The place of a field, and what changes it.
    pub(super) transforms: Vec<(usize, Arc<dyn Transform>)>,
}

impl Recipe {
    /// Batches of an epoch.
    pub(super) fn batches(&self) -> u64 {
        let (len, batch) = (self.dataset.len() as u64, self.loading.batch.max(1) as u64);
        match self.loading.last {
            LastBatch::Drop => len / batch,
            LastBatch::Pad => len.div_ceil(batch),
        }
    }

    /// Batches of all epochs.
    pub(super) fn end(&self) -> u64 {
        self.loading.epochs.map_or(u64::MAX, |epochs| epochs.saturating_mul(self.batches()))
    }

    /// The examples of an epoch, in its order.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if self.loading.shuffle {
            shuffle(&mut order, &mut Stream::new(self.loading.seed, Purpose::Shuffle, epoch));
        }
        order
    }

    /// The batch of `examples`, which are at most B.
    fn batch(&self, epoch: u64, examples: &[usize]) -> Batch {
        let rows = self.loading.batch;
        let mut fields = Vec::with_capacity(self.dataset.fields().len());
        for (place, field) in self.dataset.fields().iter().enumerate() {
            let (width, mut all) = (field.width(), field.padding(rows * field.size()));
            for (row, &i) in examples.iter().enumerate() {
                let steps = if field.is_timed() { self.dataset.length(i) } else { 1 };
                match (&mut all, self.example(epoch, place, i)) {
                    (Data::F32(all), Data::F32(one)) => lay(all, &one, row, rows, width, steps),
                    (Data::U32(all), Data::U32(one)) => lay(all, &one, row, rows, width, steps),
                    _ => unreachable!("a field's padding is of the kind of its values"),
                }
            }
            fields.push((field.name().to_string(), all));
        }
        let mut lengths = Vec::new();
        if self.dataset.has_lengths() {
            let length = |&i: &usize| u32::try_from(self.dataset.length(i)).expect("lengths are of 32 bits");
            lengths.extend(examples.iter().map(length));
            lengths.resize(rows, 1);
        }
        Batch { fields, lengths, reset: Vec::new() }
    }

    /// Example `i` of field `place`, transformed as this epoch has it.
    fn example(&self, epoch: u64, place: usize, i: usize) -> Data {
        let field = &self.dataset.fields()[place];
        let origin = self.dataset.origin(i);
        let mut data = field.example(origin);
        let Data::F32(values) = &mut data else { return data };
        let of_field = self.transforms.iter().zip(0u64..).filter(|((changed, _), _)| *changed == place);
        for ((_, transform), ordinal) in of_field {
            transform.apply(values, field.shape(), &mut self.random(epoch, origin, ordinal));
        }
        data
    }

    /// What a transform draws from for an example of the whole dataset, so that a subset's examples
    /// are changed as the whole's are.
    fn random(&self, epoch: u64, origin: usize, transform: u64) -> Stream {
        let purpose = Purpose::Data;
        let seed = Stream::new(self.loading.seed, purpose, epoch).next_u64();
        Stream::resume(State { seed, purpose, index: origin as u64, counter: transform * WORDS_PER_TRANSFORM })
    }
}

/// Puts the first `steps` steps of `one` (T, `width`) into row `row` of `all` (T, `rows`, `width`).
fn lay<T: Copy>(all: &mut [T], one: &[T], row: usize, rows: usize, width: usize, steps: usize) {
    for (t, step) in one.chunks_exact(width).take(steps).enumerate() {
        let start = (t * rows + row) * width;
        all[start..start + width].copy_from_slice(step);
    }
}

/// Makes batches, and keeps the order of the epoch that it is in.
#[derive(Debug)]
pub(super) struct Cursor {
    recipe: Arc<Recipe>,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Cursor {
    pub(super) fn new(recipe: &Arc<Recipe>) -> Cursor {
        Cursor { recipe: Arc::clone(recipe), epoch: None }
    }

    /// Batch `n` over all epochs.
    pub(super) fn batch(&mut self, n: u64) -> Batch {
        let (epoch, in_epoch) = (n / self.recipe.batches(), n % self.recipe.batches());
        let order = match self.epoch.take() {
            Some((known, order)) if known == epoch => order,
            _ => self.recipe.order(epoch),
        };
        let start = usize::try_from(in_epoch).expect("batches are fewer than examples") * self.recipe.loading.batch;
        let end = order.len().min(start.saturating_add(self.recipe.loading.batch));
        let mut batch = self.recipe.batch(epoch, &order[start..end]);
        // What is carried from the end of the examples does not go on at their beginning.
        if in_epoch == 0 {
            batch.reset = vec![true; self.recipe.loading.batch];
        }
        self.epoch = Some((epoch, order));
        batch
    }
}
