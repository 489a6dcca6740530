//! Parts of a training step by themselves: recurrent windows forward and back, the optimizer, the loss,
//! the gradient of an embedding.
//!
//! An element is a floating-point operation of the products with `weight_hh` (a window forward has
//! `2 T B H` for each gate and unit, and twice that again backward), else four bytes read or written.

mod common;
#[path = "common/program.rs"]
mod program;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use plimsoll::Device;
use plimsoll::autodiff::differentiate;
use plimsoll::graph::Role;
use plimsoll::nn::Cell;
use plimsoll::ops::{Adam, CrossEntropy, Elman, Embedding, Fill, Function, Gru, Lstm, Op, Sum, Update};
use plimsoll::target::{Target, Windows};
use plimsoll::tensor::TensorType;
use plimsoll::{Data, ValueId};

use common::{bench, device};
use program::{Program, Running};

/// Timesteps of a window.
const WINDOW: u32 = 64;
const CELLS: [Cell; 3] = [Cell::Rnn(Function::Tanh), Cell::Gru, Cell::Lstm];

fn op(cell: Cell) -> Op {
    let (bias, lengths, reverse) = (true, false, false);
    match cell {
        Cell::Rnn(function) => Elman { function, bias, lengths, reverse }.into(),
        Cell::Gru => Gru { bias, lengths, reverse }.into(),
        Cell::Lstm => Lstm { bias, lengths, reverse }.into(),
        Cell::GruResetBefore => unreachable!("no bench asks for it"),
    }
}

/// A layer's loop over a window, without the products that are hoisted out of it but for the weight's
/// gradient; back as well, if `learn`.
fn window(device: &Device, windows: Windows, cell: Cell, [hidden, batch]: [u32; 2], learn: bool) -> Running {
    let mut program = Program::new();
    let rows = cell.gates() * hidden;
    let (weight, _) = program.numbers("weight", Role::Parameter, &[rows, hidden]);
    let (bias, _) = program.numbers("bias", Role::Parameter, &[rows]);
    let (before, _) = program.numbers("state", Role::CarriedState, &[cell.states(), batch, hidden]);
    let projected = Fill { value: 0.1, shape: vec![WINDOW, batch, rows] };
    let graph = &mut program.graph;
    let projected = graph.apply_one(projected, &[]).expect("a fill fits");
    let made = graph.apply(op(cell), &[projected, before, weight, bias]).expect("the cell's inputs fit");
    let mut kept = vec![made[0]];
    if learn {
        let loss = graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[made[0]]).expect("anything can be summed");
        let gradients = differentiate(graph, loss, &[projected, weight, bias]);
        kept = gradients.into_iter().map(|gradient| gradient.expect("the loss depends on it")).collect();
    }
    kept.into_iter().for_each(|value| program.keep(value));
    program.start_as(device, &Target { windows, ..device.target().clone() })
}

fn windows(group: &mut BenchmarkGroup<'_, WallTime>, device: &Device) {
    for (cell, hidden, batch) in CELLS.iter().flat_map(|&cell| {
        let sizes = [64, 128, 256, 512].into_iter().flat_map(|hidden| [16, 32].map(|batch| (hidden, batch)));
        sizes.map(move |(hidden, batch)| (cell, hidden, batch))
    }) {
        let forward = 2 * u64::from(WINDOW * batch * cell.gates() * hidden) * u64::from(hidden);
        for (way, learn, work) in [("forward", false, forward), ("forward and back", true, 3 * forward)] {
            for (windows, how) in [(Windows::Stepwise, "step by step"), (Windows::Whole, "as a whole")] {
                let name = format!("{} {hidden}, {batch} rows, {way}, {how}", cell.name());
                bench(group, &name, (work, "FLOP"), || {
                    let mut window = window(device, windows, cell, [hidden, batch], learn);
                    move |passes| window.run(passes)
                });
            }
        }
    }
}

/// AdamW over `elements` parameters that lie in one slot.
fn adamw(device: &Device, elements: u32) -> Running {
    let mut program = Program::new();
    let [(w, home), (g, _), (m, m_home), (v, v_home)] =
        ["w", "g", "m", "v"].map(|name| program.numbers(name, Role::Parameter, &[elements]));
    // Rate, corrections and beta1 as in the thousandth step. What stands for `v` may be negative, and
    // its root not a number, which takes no other time.
    let scalars = Data::F32(vec![1e-3, 1.0, 1.58, 0.9, 0.0, 0.0, 0.0, 0.0]);
    let (scalars, _) = program.input("scalars", Role::Input, TensorType::f32(&[8]), scalars);
    let (norm, _) = program.input("norm", Role::Input, TensorType::f32(&[2]), Data::F32(vec![1.0, 1.0]));
    let op = Adam { beta2: 0.999, eps: 1e-8, decoupled: true, update: Update::with_decay(0.01) };
    let made = program.graph.apply(op, &[w, g, scalars, norm, m, v]).expect("all are equally long");
    for (value, slot) in made.into_iter().zip([home, m_home, v_home]) {
        program.graph.store(value, slot, 0);
    }
    program.start(device)
}

/// So many ids below `below`, in no order.
fn ids(program: &mut Program, count: u32, below: u32) -> ValueId {
    let ids = (0..count).map(|i| i.wrapping_mul(2_654_435_761) >> 8).map(|id| id % below).collect();
    program.input("ids", Role::Input, TensorType::u32(&[count]), Data::U32(ids)).0
}

/// The loss of rows of logits, and its gradient.
fn cross_entropy(device: &Device, rows: u32, classes: u32) -> Running {
    let mut program = Program::new();
    let (logits, _) = program.numbers("logits", Role::Input, &[rows, classes]);
    let targets = ids(&mut program, rows, classes);
    let (scale, _) = program.numbers("scale", Role::Input, &[1]);
    let made = program.graph.apply(CrossEntropy::default(), &[logits, targets, scale]).expect("they fit");
    made[..2].iter().for_each(|&value| program.keep(value));
    program.start(device)
}

/// The gradient of a table of `classes` rows that `tokens` ids were looked up in.
fn embedding_gradient(device: &Device, tokens: u32, columns: u32, classes: u32) -> Running {
    let mut program = Program::new();
    let (table, _) = program.numbers("table", Role::Parameter, &[classes, columns]);
    let ids = ids(&mut program, tokens, classes);
    let graph = &mut program.graph;
    let rows = graph.apply_one(Embedding { padding_idx: None }, &[table, ids]).expect("ids are looked up");
    let loss = graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[rows]).expect("anything can be summed");
    let gradient: Vec<Option<ValueId>> = differentiate(graph, loss, &[table]);
    program.keep(gradient[0].expect("the loss depends on it"));
    program.start(device)
}

fn others(group: &mut BenchmarkGroup<'_, WallTime>, device: &Device) {
    const PARAMETERS: u32 = 2 << 20;
    // Reads w, g, m and v, writes w, m and v.
    bench(group, "adamw, 2 Mi parameters", (7 * u64::from(PARAMETERS), "words"), || {
        let mut update = adamw(device, PARAMETERS);
        move |passes| update.run(passes)
    });
    for (rows, classes) in [(2048, 96), (2048, 1024)] {
        let name = format!("cross entropy and gradient, {rows} x {classes}");
        bench(group, &name, (2 * u64::from(rows * classes), "words"), || {
            let mut loss = cross_entropy(device, rows, classes);
            move |passes| loss.run(passes)
        });
    }
    let name = "embedding, its sum and its gradient, 2048 ids of 96, 256 columns";
    bench(group, name, (4 * 2048 * 256, "words"), || {
        let mut gradient = embedding_gradient(device, 2048, 256, 96);
        move |passes| gradient.run(passes)
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    match device() {
        Err(error) => println!("kernels: skipped, for there is no device: {error}"),
        Ok(device) => {
            println!("kernels: on {}, {}", device.target().name, device.target().driver);
            let mut group = criterion.benchmark_group("window of 64");
            group.sampling_mode(SamplingMode::Flat);
            windows(&mut group, &device);
            group.finish();
            let mut group = criterion.benchmark_group("kernels");
            others(&mut group, &device);
            group.finish();
        }
    }
    criterion.final_summary();
}
