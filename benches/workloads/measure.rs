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
const FEWEST: usize = 2;

/// Warms `trainee` up and measures it for about `seconds` seconds: once, or, if it `waits`, once for each
/// line that comes in, so that others can have their turns between. Each measurement is a line of JSON
/// with what is known `about` it.
pub(crate) fn measure(
    trainee: &mut dyn Trainee,
    mut about: Value,
    seconds: f64,
    waits: bool,
) -> Result<(), Box<dyn Error>> {
    let (first, first_loss) = steps(trainee, 1)?;
    let warm = Clock::start();
    let (mut one, mut warmed) = (steps(trainee, 1)?.0.wall, 1);
    while warmed < 3 || warm.spent().wall.as_secs_f64() < seconds / 4.0 {
        one = one.min(steps(trainee, 1)?.0.wall);
        warmed += 1;
    }
    about["first_step_ms"] = json!(ms(first.wall, 1));
    about["first_loss"] = json!(first_loss);
    about["warm_step_ms"] = json!(ms(one, 1));
    about["peak_resident_bytes"] = json!(peak_resident_bytes());
    if !waits {
        println!("{}", sample(trainee, about, one, seconds)?);
        return Ok(());
    }
    println!("{about}");
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", sample(trainee, about.clone(), one, seconds)?);
    }
    Ok(())
}

/// One measurement of steps that take about `one` each.
fn sample(trainee: &mut dyn Trainee, about: Value, one: Duration, seconds: f64) -> Result<Value, Box<dyn Error>> {
    let together = (AT_ONCE.as_secs_f64() / one.as_secs_f64().max(1e-6)).clamp(1.0, 1000.0).floor();
    // At most a thousand.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let together = together as u64;
    let (mut samples, mut last_loss) = (Vec::new(), f32::NAN);
    let clock = Clock::start();
    while samples.len() < FEWEST || clock.spent().wall.as_secs_f64() < seconds {
        let (spent, loss) = steps(trainee, together)?;
        samples.push(spent);
        last_loss = loss;
    }
    let of = |pick: fn(&Spent) -> Duration| sorted(samples.iter().map(|s| ms(pick(s), together)).collect());
    let (wall, cpu) = (of(|s| s.wall), of(|s| s.cpu));
    let mut line = about;
    line["steps"] = json!(together * samples.len() as u64);
    line["wall_ms"] = json!(wall[wall.len() / 2]);
    line["wall_ms_best"] = json!(wall[0]);
    line["cpu_ms"] = json!(cpu[cpu.len() / 2]);
    line["cpu_ms_best"] = json!(cpu[0]);
    line["last_loss"] = json!(last_loss);
    line["peak_resident_bytes"] = json!(peak_resident_bytes());
    Ok(line)
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
