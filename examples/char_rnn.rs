//! Trains a character RNN on a text, then has it write some of its own.
//!
//! ```text
//! cargo run --release --example char_rnn [TEXT]
//! ```
use plimsoll::{Device, Error, Model, Optimizer, Sampling, Session, Streams, Task, Text, Training, Unit, Writer};

pub(crate) fn training(vocabulary: u32) -> Training {
    let model = Model::new().embedding(32).rnn(64).output();
    Training {
        optimizer: Optimizer::adamw(5e-3),
        clip_norm: Some(1.0),
        report_every: 100,
        ..Training::new(model, Task::next_token(vocabulary), 8).window(32)
    }
}

fn main() -> Result<(), Error> {
    let text = match std::env::args_os().nth(1) {
        Some(path) => Text::read(path.as_ref(), Unit::Char)?,
        None => Text::embedded(Unit::Char)?,
    };
    let training = training(text.vocabulary.size());

    // What the run will take is known before the device is asked for any of it.
    let device = Device::open()?;
    let planned = training.plan(device.target())?;
    let planned_bytes = planned.plan.planned_bytes();
    println!("{}: planned {planned_bytes} bytes", device.target().name);

    let mut session = Session::start(planned, &device)?;
    let mut streams = Streams::new(text.ids.into(), training.batch, training.window)?;
    for _ in 0..1000 {
        // Losses arrive every 100 steps, as plain numbers that keep nothing alive.
        if let Some(last) = session.step(&streams.next_window().into())?.last() {
            println!("step {:4}  loss {:.3}", last.step, last.loss);
        }
    }

    let sample = Writer::new(&mut session, &text.vocabulary, Sampling::default())?.write("let ", 300)?;
    println!("---\nlet {sample}\n---");
    if let (Some(held), Some(late)) = (session.held(), session.allocations_after_first_step()) {
        println!("the device holds {} bytes; allocations after the first step: {late}", held.bytes);
        assert_eq!((held.bytes, late), (planned_bytes, 0));
    }
    Ok(())
}
