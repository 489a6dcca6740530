//! Data that are made up: the same for everyone, and with something to learn in them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use plimsoll::config::{Config, LayerKind, Source, TargetKind};
use plimsoll::random::{Purpose, Stream};
use plimsoll::storage::{create_folder, save_tensors};

/// Updates' worth of examples, after which they come again.
const BATCHES: usize = 4;

/// Inputs and targets with their shapes, outermost dimension first.
struct Arrays {
    inputs: (Vec<usize>, Vec<f32>),
    targets: (Vec<usize>, Vec<f32>),
}

/// Writes the file that `config` reads its examples from, unless it is there.
pub(crate) fn write(config: &Config, file: &Path, features: usize) -> Result<(), Box<dyn Error>> {
    if file.exists() {
        return Ok(());
    }
    let outputs = outputs(config).ok_or("the last layer of a workload says how many outputs it has")?;
    let [rows, window] = [config.train.batch, config.train.timesteps()].map(|n| n as usize);
    let mut stream = Stream::new(config.seed, Purpose::Data, 0);
    let made = match &config.data.source {
        Source::Arrays { vocabulary: Some(_), .. } => ids(&mut stream, rows, window, outputs),
        Source::Arrays { target: TargetKind::Class, .. } => classes(&mut stream, rows * BATCHES, features, outputs),
        _ => numbers(&mut stream, rows * BATCHES, features, outputs),
    };
    let shape = |shape: &[usize]| shape.iter().map(|&n| n as u64).collect();
    let tensors = [("inputs", &made.inputs), ("targets", &made.targets)]
        .map(|(name, (extents, elements))| (name.to_owned(), shape(extents), &elements[..]));
    create_folder(file.parent().unwrap_or(Path::new("")))?;
    Ok(save_tensors(file, &tensors, &BTreeMap::new())?)
}

fn outputs(config: &Config) -> Option<usize> {
    match config.layers.last()?.kind {
        LayerKind::Linear { out_features, .. } => out_features.map(|n| n as usize),
        _ => None,
    }
}

/// Noise, to which 1 is added in every `outputs`-th place, from the class's on. Each row is there twice,
/// of one class and of the next: what cannot be learnt keeps gradients from fading into subnormal numbers.
fn classes(stream: &mut Stream, rows: usize, features: usize, outputs: usize) -> Arrays {
    let (mut inputs, mut targets) = (Vec::with_capacity(rows * features), Vec::with_capacity(rows));
    for row in 0..rows {
        let class = row / 2 * 7 % outputs;
        if row % 2 == 0 {
            inputs.extend((0..features).map(|i| stream.uniform(-1.0, 1.0) + f32::from(i % outputs == class)));
        } else {
            inputs.extend_from_within(inputs.len() - features..);
        }
        targets.push(((class + row % 2) % outputs) as f32);
    }
    Arrays { inputs: (vec![rows, features], inputs), targets: (vec![rows], targets) }
}

/// Noise, and of each two neighbours a mixture.
fn numbers(stream: &mut Stream, rows: usize, features: usize, outputs: usize) -> Arrays {
    let inputs: Vec<f32> = (0..rows * features).map(|_| stream.uniform(-1.0, 1.0)).collect();
    let mixed = |x: &[f32], i: usize| 0.5 * x[i % features] - 0.25 * x[(i + 1) % features];
    let targets = inputs.chunks(features).flat_map(|x| (0..outputs).map(move |i| mixed(x, i))).collect();
    Arrays { inputs: (vec![rows, features], inputs), targets: (vec![rows, outputs], targets) }
}

/// Streams in which three of four ids follow from the one before. Row `r` of an update goes on where
/// row `r` of the last one ended.
fn ids(stream: &mut Stream, rows: usize, window: usize, vocabulary: usize) -> Arrays {
    let next = |stream: &mut Stream, id: usize| match stream.next_u32() % 4 {
        0 => stream.next_u32() as usize % vocabulary,
        _ => (5 * id + 1) % vocabulary,
    };
    let streams: Vec<Vec<usize>> = (0..rows)
        .map(|row| {
            let mut id = row % vocabulary;
            let mut one = vec![id];
            one.extend((0..BATCHES * window).map(|_| {
                id = next(stream, id);
                id
            }));
            one
        })
        .collect();
    let cut = |offset: usize| -> Vec<f32> {
        let windows = (0..BATCHES).flat_map(|update| streams.iter().map(move |one| (update, one)));
        windows.flat_map(|(update, one)| &one[offset + update * window..][..window]).map(|&id| id as f32).collect()
    };
    let shape = vec![BATCHES * rows, window];
    Arrays { inputs: (shape.clone(), cut(0)), targets: (shape, cut(1)) }
}
