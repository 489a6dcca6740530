//! Teaches a small network to tell two spirals apart; each batch of 64 runs as 4 micro-steps of 16.
//!
//! ```text
//! cargo run --release --example mlp
//! ```
use plimsoll::random::{Purpose, Stream};
use plimsoll::{Batch, Device, Error, Model, Optimizer, Session, Task, Training};

/// Points of two spirals that wind into each other, (B, 2), and which of the two each lies on, (B).
pub(crate) fn spirals(stream: &mut Stream, rows: u32) -> Batch {
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let class = row % 2;
        let radius = stream.uniform(0.1, 1.0);
        let angle = 9.0 * radius + std::f32::consts::PI * class as f32;
        points.extend([radius * angle.cos(), radius * angle.sin()]);
        classes.push(class);
    }
    Batch::classes(points, classes)
}

pub(crate) fn training() -> Training {
    let model = Model::new().linear(32).tanh().linear(32).tanh().output();
    Training {
        optimizer: Optimizer::adamw(1e-2),
        report_every: 100,
        ..Training::new(model, Task::classification(2, 2), 64).accumulate(4)
    }
}

fn main() -> Result<(), Error> {
    let training = training();
    let mut session = Session::new(&training, &Device::open()?)?;
    let mut stream = Stream::new(1, Purpose::Data, 0);
    for _ in 0..1000 {
        for report in session.step(&spirals(&mut stream, training.batch))?.iter().filter(|r| r.step % 100 == 0) {
            println!("step {:4}  loss {:.4}", report.step, report.loss);
        }
    }
    let unseen = session.evaluate((0..16).map(|_| spirals(&mut stream, training.micro_batch())))?;
    println!("loss on unseen points {:.4}, of guessing {:.4}", unseen.total / unseen.tokens as f64, 2f64.ln());

    let (planned, held) = (session.plan().planned_bytes(), session.held());
    println!("planned {planned} bytes; the device counts {held:?}");
    assert_eq!(held.map_or(planned, |h| h.bytes), planned);
    assert_eq!(session.allocations_after_first_step().unwrap_or(0), 0);
    Ok(())
}
