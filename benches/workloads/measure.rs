//! How a training step is measured, for every library alike: the programs of `benches/peers` include
//! this file as well.
//!
//! A few steps are begun before any is waited for, as in training, and each measurement ends by
//! asking for the last loss, which waits for all of them.

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{Clock, Spent, ms};

/// A model that is trained a step at a time.
pub(crate) trait Trainee {
    /// Begins an update.
    fn step(&mut self) -> Result<(), Box<dyn Error>>;

    /// Waits for all updates begun, and tells the last one's loss.
    fn loss(&mut self) -> Result<f32, Box<dyn Error>>;
}

/// Steps that are begun before one is waited for take about so long together.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Measurements, at least.
const FEWEST: usize = 3;

/// Trains for about `seconds` seconds once it is warm, and tells what a step took.
pub(crate) fn measure(trainee: &mut dyn Trainee, seconds: f64) -> Result<Value, Box<dyn Error>> {
    let (first, first_loss) = steps(trainee, 1)?;
    let warm = Clock::start();
    let (mut one, mut warmed) = (steps(trainee, 1)?.0.wall, 1);
    while warmed < 3 || warm.spent().wall.as_secs_f64() < seconds / 4.0 {
        one = one.min(steps(trainee, 1)?.0.wall);
        warmed += 1;
    }
    let together = (AT_ONCE.as_secs_f64() / one.as_secs_f64().max(1e-6)).clamp(1.0, 1000.0).floor();
    // At most a thousand.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let together = together as u64;
    let (mut samples, mut last_loss) = (Vec::new(), first_loss);
    let clock = Clock::start();
    while samples.len() < FEWEST || clock.spent().wall.as_secs_f64() < seconds {
        let (spent, loss) = steps(trainee, together)?;
        samples.push(spent);
        last_loss = loss;
    }
    let of = |pick: fn(&Spent) -> Duration| sorted(samples.iter().map(|s| ms(pick(s), together)).collect());
    let (wall, cpu) = (of(|s| s.wall), of(|s| s.cpu));
    Ok(json!({
        "steps": 1 + warmed + together * samples.len() as u64,
        "wall_ms": wall[wall.len() / 2],
        "wall_ms_best": wall[0],
        "cpu_ms": cpu[cpu.len() / 2],
        "cpu_ms_best": cpu[0],
        "first_step_ms": ms(first.wall, 1),
        "first_loss": first_loss,
        "last_loss": last_loss,
        "peak_resident_bytes": peak_resident_bytes(),
    }))
}

fn steps(trainee: &mut dyn Trainee, count: u64) -> Result<(Spent, f32), Box<dyn Error>> {
    let clock = Clock::start();
    for _ in 0..count {
        trainee.step()?;
    }
    let loss = trainee.loss()?;
    Ok((clock.spent(), loss))
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The most memory that the process has had, as Linux tells.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}
