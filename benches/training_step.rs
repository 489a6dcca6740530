//! One step of the default run. An element is a predicted character.
//!
//! Steps are submitted as in training, without waiting for each: losses come back every ten steps,
//! and each measurement ends by waiting for the last.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use plimsoll::config::Config;
use plimsoll::run::Run;
use plimsoll::{Device, Session};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(3))
        .measurement_time(Duration::from_secs(15))
        .configure_from_args();
    match Device::open() {
        Err(error) => println!("training_step: skipped, for there is no device: {error}"),
        Ok(device) => {
            println!("training_step: on {}, {}", device.target().name, device.target().driver);
            let run = Run::new(Config::default_run()).expect("the default run has a text");
            let planned = run.plan(device.target()).expect("the default run can be planned");
            let mut session = Session::start(planned, &device).expect("the default run fits");
            let mut batches = run.batches().expect("the embedded text is long enough");
            let mut group = criterion.benchmark_group("training step");
            let units = run.config.train.batch * run.config.train.window;
            group.throughput(Throughput::Elements(units.into()));
            group.bench_function("default run", |bencher| {
                bencher.iter_custom(|steps| {
                    let started = Instant::now();
                    for _ in 0..steps {
                        session.step(&batches.next().expect("a stream has no end")).expect("the device trains");
                    }
                    session.finish().expect("the device answers");
                    started.elapsed()
                });
            });
            group.finish();
        }
    }
    criterion.final_summary();
}
