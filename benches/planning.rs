//! Planning, with no device: placement alone, and everything from a model to a checked plan.
//!
//! An element is a value: an interval to place, or a tensor of the graph.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use plimsoll::config::Config;
use plimsoll::data::buffers;
use plimsoll::plan::place::{Interval, Packer, place};
use plimsoll::random::{Purpose, Stream};
use plimsoll::run::Run;
use plimsoll::{Model, Optimizer, Target, Task, Training};

const VALUES: [u32; 3] = [10, 1_000, 15_000];

/// Values without any order to make use of: most are small and short-lived, some are neither.
fn intervals(count: u32) -> Vec<Interval> {
    let mut stream = Stream::new(1, Purpose::Data, 0);
    let mut below_some_power = |most: u32| {
        let power = stream.next_u32() % (most + 1);
        stream.next_u32() % (1 << power)
    };
    let interval = |i: u32| {
        let start = i * 7919 % count;
        let (steps, bytes) = (1 + below_some_power(count.ilog2() - 1), 1024 + below_some_power(20));
        Interval { start, end: start + steps, bytes: bytes.into() }
    };
    (0..count).map(interval).collect()
}

/// Hard cases, and the effort to spend on them.
const HARD: [(&str, &str, u64); 3] = [
    ("A", include_str!("../tests/data/minimalloc/A.1048576.csv"), 20_000),
    ("C", include_str!("../tests/data/minimalloc/C.1048576.csv"), 20_000),
    ("D", include_str!("../tests/data/minimalloc/D.1048576.csv"), 500_000),
];

/// A perceptron of so many layers that its graph has about `values` values.
fn perceptron(values: u32) -> Training {
    const PER_LAYER: u32 = 7;
    let hidden = (values / PER_LAYER).saturating_sub(1);
    let model = (0..hidden).fold(Model::new(), |model, _| model.linear(16).tanh());
    let task = Task::regression(16, 16);
    Training { optimizer: Optimizer::sgd(0.1, 0.0), evaluate: false, ..Training::new(model.output(), task, 8) }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let target = Target::profile("webgpu-default").expect("it ships with the crate");

    let mut group = criterion.benchmark_group("placement");
    for count in VALUES {
        let intervals = intervals(count);
        let packing = place(&intervals, target.align());
        let times = packing.arena_bytes as f64 / packing.lower_bound_bytes as f64;
        println!("placement of {count} values: {times:.4} times the lower bound");
        group.throughput(Throughput::Elements(count.into()));
        group.bench_with_input(BenchmarkId::from_parameter(count), &intervals, |bencher, intervals| {
            bencher.iter(|| place(black_box(intervals), target.align()));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("packing");
    for (name, text, effort) in HARD {
        let intervals = buffers::parse(text.as_bytes(), Path::new(name)).expect("it is as published").intervals;
        let packed = |intervals: &[Interval]| {
            let mut packer = Packer::new(intervals, 1);
            packer.improve(effort);
            packer.packing()
        };
        let packing = packed(&intervals);
        let times = packing.arena_bytes as f64 / packing.lower_bound_bytes as f64;
        println!("packing {name}, {} values: {times:.4} times the lower bound", intervals.len());
        group.throughput(Throughput::Elements(intervals.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &intervals, |bencher, intervals| {
            bencher.iter(|| packed(black_box(intervals)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("plan and replay");
    let default = Run::new(Config::default_run()).and_then(|run| run.training()).expect("the default run is whole");
    let perceptrons = VALUES.map(|values| ("perceptron", perceptron(values)));
    for (name, training) in perceptrons.into_iter().chain([("default run", default)]) {
        let values = training.plan(&target).expect("the layers fit").plan.graph.value_ids().count();
        group.throughput(Throughput::Elements(values as u64));
        group.bench_with_input(BenchmarkId::new(name, values), &training, |bencher, training| {
            bencher.iter(|| {
                let planned = training.plan(black_box(&target)).expect("the layers fit");
                planned.plan.replay().expect("the plan holds");
                planned
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
