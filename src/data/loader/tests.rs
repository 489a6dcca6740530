//! What a loader promises: the same batches for any number of workers, nothing lost, no thread
//! left.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::data::field::Values;
use crate::data::transform::{Flip, Noise, Shift};
use crate::data::{Field, INPUTS, TARGETS};
use crate::ops::IGNORE;
use crate::random::Stream;

const PLAIN: Loading = Loading { batch: 4, shuffle: true, seed: 7, workers: 0, last: LastBatch::Pad, epochs: Some(3) };

/// 10 images of 2 by 3, and their classes: image i has the class i.
fn images() -> Dataset {
    let pixels = (0..60).map(|i| u8::try_from(i).unwrap()).collect();
    let classes = Values::Classes { ids: (0..10).collect(), classes: 10 };
    Dataset::new(vec![Field::inputs(&[2, 3], Values::Pixels(pixels)), Field::targets(&[], classes)]).unwrap()
}

fn transforms() -> Vec<(String, Arc<dyn Transform>)> {
    let all: [Arc<dyn Transform>; 3] =
        [Arc::new(Flip { p: 0.5 }), Arc::new(Shift { most: 1 }), Arc::new(Noise { std: 0.1 })];
    all.into_iter().map(|transform| (INPUTS.to_string(), transform)).collect()
}

fn loader(loading: Loading) -> Loader {
    Loader::new(images(), loading, transforms()).unwrap()
}

/// As bits, so that NaN equals itself and -0 does not equal 0.
fn bits(batches: impl Iterator<Item = Batch>) -> Vec<Vec<u8>> {
    batches.map(|batch| batch.fields.iter().flat_map(|(_, data)| data.bytes().to_vec()).collect()).collect()
}

fn targets(batch: &Batch) -> Vec<u32> {
    match batch.field(TARGETS) {
        Some(Data::U32(ids)) => ids.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn batches_are_bit_equal_for_any_number_of_workers() {
    let alone = bits(loader(PLAIN));
    assert_eq!(alone.len(), 9);
    for workers in [1, 2, 7] {
        assert_eq!(bits(loader(Loading { workers, ..PLAIN })), alone, "{workers} workers");
    }
    assert_ne!(bits(loader(Loading { seed: 8, ..PLAIN })), alone);
    assert_ne!(alone[..3], alone[3..6], "each epoch has its own order and its own changes");
}

#[test]
fn an_epoch_has_every_example_once_and_padding_that_teaches_nothing() {
    let batches: Vec<Batch> = loader(PLAIN).take(3).collect();
    let mut seen: Vec<u32> = batches.iter().flat_map(targets).collect();
    assert_eq!(batches[2].valid(), 2);
    assert_eq!(targets(&batches[2])[2..], [IGNORE, IGNORE]);
    let Some(Data::F32(inputs)) = batches[2].field(INPUTS) else { panic!("pixels are numbers") };
    assert_eq!((inputs.len(), &inputs[12..]), (24, &[0.0; 12][..]));
    seen.sort_unstable();
    assert!(seen[..10].iter().copied().eq(0..10));
    let dropped: Vec<Batch> = loader(Loading { last: LastBatch::Drop, epochs: Some(1), ..PLAIN }).collect();
    assert_eq!(dropped.iter().map(Batch::valid).collect::<Vec<_>>(), [4, 4]);
}

#[test]
fn a_loader_starts_anywhere_and_goes_on_as_if_it_had_been_there() {
    let all = bits(loader(PLAIN));
    for workers in [0, 3] {
        let mut loader = loader(Loading { workers, ..PLAIN });
        loader.next();
        for (epoch, batch) in [(1, 2), (0, 0), (0, 4)] {
            loader.seek(Position { epoch, batch });
            let n = usize::try_from(epoch * 3 + batch).unwrap();
            assert_eq!(bits(loader.by_ref().take(2)), all[n..n + 2]);
            let after = n as u64 + 2;
            assert_eq!(loader.position(), Position { epoch: after / 3, batch: after % 3 });
        }
        loader.seek(Position { epoch: u64::MAX, batch: u64::MAX });
        assert!(loader.next().is_none());
    }
}

#[test]
fn a_subsets_examples_are_changed_as_those_of_the_whole() {
    let loading = Loading { batch: 1, shuffle: false, epochs: Some(1), ..PLAIN };
    let whole = bits(loader(loading));
    let part = Loader::new(images().subset(&[8, 3]), loading, transforms()).unwrap();
    assert_eq!(bits(part), [whole[8].clone(), whole[3].clone()]);
}

/// Counts the clones of itself that are alive, which its loader's threads share.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Transform for Counted {
    fn apply(&self, _: &mut [f32], _: &[usize], _: &mut Stream) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn dropping_a_loader_within_an_epoch_ends_its_threads() {
    let applied = Arc::new(AtomicUsize::new(0));
    let transform: Arc<dyn Transform> = Arc::new(Counted(Arc::clone(&applied)));
    let loading = Loading { workers: 3, epochs: None, ..PLAIN };
    let mut loader = Loader::new(images(), loading, vec![(INPUTS.into(), Arc::clone(&transform))]).unwrap();
    assert!(loader.next().is_some());
    drop(loader);
    // Every thread holds the recipe, and the recipe the transform: none is left.
    assert_eq!(Arc::strong_count(&transform), 1);
    // One batch was taken; beyond it no worker prepared more than its two, each of 4 rows at most.
    assert!(applied.load(Ordering::SeqCst) <= (1 + 3 * BATCHES_PER_WORKER) * 4);
}

#[derive(Debug)]
struct Broken;

impl Transform for Broken {
    fn apply(&self, _: &mut [f32], _: &[usize], _: &mut Stream) {
        panic!("a broken transform");
    }
}

#[test]
#[should_panic(expected = "a broken transform")]
fn a_workers_panic_is_the_loaders() {
    let loading = Loading { workers: 2, ..PLAIN };
    let mut loader = Loader::new(images(), loading, vec![(INPUTS.into(), Arc::new(Broken))]).unwrap();
    loader.next();
}

#[test]
fn steps_are_outermost_and_what_follows_a_rows_end_is_padding() {
    let numbers = |from: u16, n: u16| Values::Numbers((from..from + n).map(f32::from).collect());
    // Three sequences of two steps of two inputs, and one target each step.
    let fields =
        vec![Field::inputs(&[2, 2], numbers(1, 12)).each_step(), Field::targets(&[2], numbers(50, 6)).each_step()];
    let data = Dataset::new(fields).unwrap().with_lengths(vec![2, 1, 2]).unwrap();
    let loading = Loading { batch: 2, shuffle: false, epochs: Some(1), ..PLAIN };
    let batches: Vec<Batch> = Loader::new(data, loading, vec![]).unwrap().collect();
    let of = |batch: &Batch, name| match batch.field(name) {
        Some(Data::F32(x)) => x.iter().map(|x| if x.is_nan() { -1.0 } else { *x }).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(of(&batches[0], INPUTS), [1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 0.0, 0.0]);
    assert_eq!(of(&batches[0], TARGETS), [50.0, 52.0, 51.0, -1.0]);
    assert_eq!(batches[0].lengths, [2, 1]);
    assert_eq!(of(&batches[1], INPUTS), [9.0, 10.0, 0.0, 0.0, 11.0, 12.0, 0.0, 0.0]);
    assert_eq!(of(&batches[1], TARGETS), [54.0, -1.0, 55.0, -1.0]);
    assert_eq!(batches[1].lengths, [2, 1]);
}

#[test]
fn memory_ahead_is_bounded_and_stated() {
    let loader = loader(Loading { workers: 3, ..PLAIN });
    assert_eq!(loader.batch_bytes(), 4 * (6 + 1) * 4);
    let all = |rows: u64| rows * 28 + 3 * (2 * rows * 28 + 10 * 8);
    assert_eq!([4, 9].map(|rows| loader.bytes_with(rows)), [4, 9].map(all));
    assert_eq!(loader.batches_per_epoch(), 3);
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let refused = |loading, transforms| Loader::new(images(), loading, transforms).unwrap_err().to_string();
    assert!(refused(Loading { batch: 0, ..PLAIN }, vec![]).contains("a batch of 0"));
    assert!(refused(Loading { batch: 11, last: LastBatch::Drop, ..PLAIN }, vec![]).contains("11 and 10 examples"));
    let flip = |name: &str| vec![(name.to_string(), Arc::new(Flip { p: 0.5 }) as Arc<dyn Transform>)];
    assert!(refused(PLAIN, flip("input")).contains("did you mean `inputs`?"));
    assert!(refused(PLAIN, flip(TARGETS)).contains("which holds ids"));
}

#[test]
fn state_starts_anew_with_each_epoch() {
    let data = Dataset::new(vec![Field::inputs(&[1], Values::Numbers(vec![0.0; 5]))]).unwrap();
    let loading = Loading { batch: 2, shuffle: false, seed: 1, workers: 1, last: LastBatch::Pad, epochs: Some(2) };
    let resets: Vec<Vec<bool>> = Loader::new(data, loading, Vec::new()).unwrap().map(|batch| batch.reset).collect();
    let epoch = [vec![true; 2], vec![], vec![]];
    assert_eq!(resets, [epoch.clone(), epoch].concat());
}
