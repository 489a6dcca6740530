//! Learns to tell the clothes of Fashion-MNIST apart, as a run file says: by a perceptron, or by an
//! LSTM that reads each image row by row.
//!
//! ```text
//! apt-get install dataset-fashion-mnist
//! cargo run --release --example fashion_mnist
//! cargo run --release --example fashion_mnist examples/fashion_mnist_lstm.toml [--data DIR]
//! ```
use std::path::PathBuf;

use plimsoll::config::{Config, Source};
use plimsoll::run::{Part, Run, Score, Tally};
use plimsoll::{Bytes, Device, Error, Session};

/// The run that the arguments ask for: a run file, and a folder if that is not where it usually is.
fn config() -> Result<Config, Error> {
    let mut file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fashion_mnist_mlp.toml"));
    let mut data = None;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--data") => data = arguments.next().map(PathBuf::from),
            _ => file = argument.into(),
        }
    }
    let mut config = Config::read(&file)?;
    if let (Source::Idx { folder, .. }, Some(data)) = (&mut config.data.source, data) {
        *folder = Some(data);
    }
    Ok(config)
}

fn main() -> Result<(), Error> {
    let run = Run::new(config()?)?;
    let device = Device::open()?;
    let planned = run.plan(device.target())?;
    println!("{}: planned {}", device.target().name, Bytes(planned.plan.planned_bytes()).exact());

    let mut session = Session::start(planned, &device)?;
    let (batches, mut tally) = (run.batches()?, Tally::new());
    let (steps, per_epoch) = (run.steps()?, batches.per_epoch());
    for (step, batch) in (1..=steps).zip(batches) {
        tally.add(&session.step(&batch)?);
        if run.evaluates_after(step)
            && let Some(Score { loss, accuracy: Some(accuracy) }) = run.score(&mut session, Part::Validation)?
        {
            let (epoch, train) = (step / per_epoch, tally.train_loss().unwrap_or(f64::NAN));
            println!(
                "epoch {epoch:2}  train loss {train:.3}  validation loss {loss:.3}, {:.2} % right",
                100.0 * accuracy
            );
        }
    }
    tally.add_last(&session.finish()?);

    let summary = run.summary(&mut session, &tally)?;
    let (wall, cpu) = (summary.seconds, summary.cpu_seconds.unwrap_or(f64::NAN));
    println!("{steps} steps in {wall:.0} s, {cpu:.0} s of processor time");
    println!("test accuracy {:.2} %", 100.0 * summary.test_accuracy.unwrap_or(f64::NAN));
    if let (Some(held), Some(late)) = (summary.allocated_bytes, summary.allocations_after_first_step) {
        println!("the device holds {}; buffers made after the first step: {late}", Bytes(held).exact());
        assert_eq!((held, late), (summary.planned_bytes, 0));
    }
    Ok(())
}
