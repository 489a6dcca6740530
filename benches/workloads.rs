//! A training step of each workload, stored in f32 and in f16, and of the default run. An element is a row, or a predicted
//! character.
//!
//! Steps are submitted as in training, without waiting for each, and each measurement ends by waiting
//! for the last.

mod common;
#[path = "workloads/mod.rs"]
mod workloads;

use std::time::Duration;

use criterion::{Criterion, SamplingMode};
use plimsoll::Session;
use plimsoll::config::Config;
use plimsoll::run::Run;

use common::{bench, device};
use workloads::{NAMES, Workload};

fn default_run() -> Workload {
    let run = Run::new(Config::default_run()).expect("the default run has a text");
    let batches = run.batches().expect("the embedded text is long enough");
    Workload { training: run.training().expect("the default run is whole"), batches: batches.take(16).collect() }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(2))
        .measurement_time(Duration::from_secs(8))
        .configure_from_args();
    match device() {
        Err(error) => println!("workloads: skipped, for there is no device: {error}"),
        Ok(device) => {
            println!("workloads: on {}, {}", device.target().name, device.target().driver);
            let mut group = criterion.benchmark_group("training step");
            group.sampling_mode(SamplingMode::Flat);
            let stored = NAMES.iter().flat_map(|name| ["f32", "f16"].map(|storage| (*name, storage)));
            for (name, storage) in stored.chain([("default run", "f32")]) {
                let workload = match name {
                    "default run" => default_run(),
                    name => {
                        Workload::read(name, &format!("storage = \"{storage}\"")).expect("the workload can be read")
                    }
                };
                let rows = workload.training.batch * workload.training.window;
                bench(&mut group, &format!("{name}, {storage}"), (rows.into(), "rows"), || {
                    let mut session = Session::new(&workload.training, &device).expect("the workload fits");
                    let mut batches = workload.batches.iter().cycle();
                    move |steps| {
                        for batch in batches.by_ref().take(usize::try_from(steps).expect("criterion counts less")) {
                            session.step(batch).expect("the device trains");
                        }
                        session.finish().expect("the device answers");
                    }
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
}
