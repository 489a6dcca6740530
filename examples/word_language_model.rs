//! A language model of words, in the manner of PyTorch's `word_language_model`: learns *Pride and
//! Prejudice* from its first nine tenths, is measured on the last, and writes some of its own.
//!
//! ```text
//! cargo run --release --example word_language_model [RUN.toml]
//! ```
use std::path::PathBuf;

use plimsoll::config::Config;
use plimsoll::run::{Part, Run, Tally};
use plimsoll::{Bytes, Device, Error, Sampling, Session, Writer};

fn main() -> Result<(), Error> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/word_language_model.toml");
    let file = std::env::args_os().nth(1).map_or(usual.into(), PathBuf::from);
    let run = Run::new(Config::read(&file)?)?;
    let perplexity = |nats: Option<f64>| nats.map_or(f64::NAN, f64::exp);
    // What any model must beat: words by their frequency, and pairs of words by theirs.
    let (unigram, bigram) = (perplexity(run.unigram_entropy()?), perplexity(run.bigram_entropy()?));
    println!("validation perplexity of word frequencies {unigram:.1}, of pairs {bigram:.1} (both add one)");

    let device = Device::open()?;
    let planned = run.plan(device.target())?;
    println!("{}: planned {}", device.target().name, Bytes(planned.plan.planned_bytes()).exact());
    let mut session = Session::start(planned, &device)?;
    let (mut tally, mut rate) = (Tally::new(), f32::NAN);
    for (step, batch) in (1..=run.steps()?).zip(run.batches()?) {
        let reports = session.step(&batch)?;
        tally.add(&reports);
        rate = reports.last().map_or(rate, |report| report.learning_rate);
        if run.evaluates_after(step)
            && let Some(score) = run.score(&mut session, Part::Validation)?
        {
            // The learning rate falls when this gains too little.
            session.observe(score.loss);
            let (train, validation) = (perplexity(tally.train_loss()), score.loss.exp());
            println!("step {step:5}  rate {rate:.5}  perplexity: train {train:6.1}  validation {validation:6.1}");
        }
    }
    tally.add_last(&session.finish()?);

    let summary = run.summary(&mut session, &tally)?;
    let (wall, cpu) = (summary.seconds, summary.cpu_seconds.unwrap_or(f64::NAN));
    println!("{} words in {wall:.0} s, {cpu:.0} s of processor time", summary.tokens);
    println!(
        "validation perplexity {:.1}, of word frequencies {unigram:.1}, of pairs {bigram:.1}",
        perplexity(summary.validation_loss)
    );
    if let Some(text) = run.text() {
        let sampling = Sampling { temperature: 0.8, seed: 1 };
        let sample = Writer::new(&mut session, &text.vocabulary, sampling)?.write("it is a truth", 120)?;
        println!("---\nit is a truth {sample}\n---");
    }
    Ok(())
}
