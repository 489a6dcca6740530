//! A network that no list of layers can say: two inputs, read by one encoder with a residual
//! connection, learn whether two points lie on the same arm of two spirals.
//!
//! ```text
//! cargo run --release --example custom
//! ```
use plimsoll::nn::{Answer, Builder, Field, LayerError};
use plimsoll::ops::Function;
use plimsoll::random::{Purpose, Stream};
use plimsoll::{Batch, Custom, Data, Device, Error, Optimizer, Session, Training, ValueId};

/// (B, 2) to (B, 32). Called twice, it names the same parameters: both calls share them.
fn encode(b: &mut Builder, point: ValueId) -> Result<ValueId, LayerError> {
    let h = b.enter("encoder").linear(point, 32, true, Function::Tanh)?;
    let deeper = b.enter("deeper").linear(h, 32, true, Function::Tanh)?;
    let sum = b.add(&[h, deeper])?;
    b.enter("turn").linear(sum, 32, true, Function::Tanh)
}

pub(crate) fn training() -> Training {
    let fields = [Field::numbers("left", &[2]), Field::numbers("right", &[2]), Field::numbers("targets", &[1])];
    let network = Custom::new(fields, |b, batch| {
        let (left, right) = (encode(b, batch.field("left")?)?, encode(b, batch.field("right")?)?);
        let alike = b.enter("alike").multiply(left, right)?;
        let prediction = b.enter("output").linear(alike, 1, true, Function::Identity)?;
        let loss = b.enter("loss").bce_with_logits(prediction, batch.field("targets")?)?;
        Ok(Answer { prediction, loss })
    });
    Training { optimizer: Optimizer::adamw(5e-3), ..Training::custom(network, 64) }
}

/// A point of the given arm.
fn point(stream: &mut Stream, arm: u64) -> [f32; 2] {
    let radius = stream.uniform(0.1, 1.0);
    let angle = 6.0 * radius + std::f32::consts::PI * arm as f32;
    [radius * angle.cos(), radius * angle.sin()]
}

pub(crate) fn pairs(stream: &mut Stream, rows: u32) -> Batch {
    let arms: Vec<[u64; 2]> = (0..rows).map(|_| [stream.below(2), stream.below(2)]).collect();
    let mut side = |i: usize| Data::F32(arms.iter().flat_map(|pair| point(stream, pair[i])).collect());
    let (left, right) = (side(0), side(1));
    let same = Data::F32(arms.iter().map(|[a, b]| f32::from(u8::from(a == b))).collect());
    Batch::named([("left", left), ("right", right), ("targets", same)])
}

fn main() -> Result<(), Error> {
    let mut session = Session::new(&training(), &Device::open()?)?;
    let mut stream = Stream::new(1, Purpose::Data, 0);
    for _ in 0..1500 {
        for report in session.step(&pairs(&mut stream, 64))?.iter().filter(|r| r.step % 300 == 0) {
            println!("step {:4}  loss {:.4}", report.step, report.loss);
        }
    }
    let unseen = session.evaluate((0..16).map(|_| pairs(&mut stream, 64)))?.mean().unwrap_or(f64::NAN);
    println!("loss on unseen pairs {unseen:.4}, of guessing {:.4}", 2f64.ln());
    Ok(())
}
