//! What a run came to.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Serialize;

use crate::engine::Drawn;
use crate::plan::reserved::Reserved;
use crate::training::{Session, StepReport};

/// Steps whose mean loss is the loss in training.
const RECENT: usize = 50;

/// What a run came to; `summary.json` is this. Its fields are kept stable; new ones may be added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Of Plimsoll.
    pub version: &'static str,
    /// The device.
    pub adapter: String,
    /// Its graphics API.
    pub backend: String,
    /// Bytes that were planned.
    pub planned_bytes: u64,
    /// Bytes that the device holds for the run, by its own counters; null where it has none.
    pub allocated_bytes: Option<u64>,
    /// What the driver was to reserve for the run, and what it had reserved at its end.
    pub driver: Driver,
    /// Buffers created since the end of the first step; null as above.
    pub allocations_after_first_step: Option<u64>,
    /// Updates made.
    pub steps: u64,
    /// Units predicted in them.
    pub tokens: u64,
    /// Those of them that changed nothing, because the loss or a gradient was not finite.
    pub skipped_steps: u64,
    /// The mean loss of the last 50 steps, in nats per unit; null of nothing or of infinity.
    pub train_loss: Option<f64>,
    /// The mean loss of the validation part; null without one.
    pub validation_loss: Option<f64>,
    /// The share of its classes or bits that are predicted rightly; null of others.
    pub validation_accuracy: Option<f64>,
    /// The mean loss of the test part; null without one.
    pub test_loss: Option<f64>,
    /// The share of its classes or bits that are predicted rightly; null of others.
    pub test_accuracy: Option<f64>,
    /// Nats per unit that bare frequencies need for the validation part of a text; without one, for
    /// the text. Null of other data.
    pub unigram_entropy: Option<f64>,
    /// Nats per unit that a bigram model with add-one smoothing needs for the validation part of a
    /// text; null of other data.
    pub bigram_entropy: Option<f64>,
    /// From the start, before kernels are compiled, to the last step; evaluation is left out.
    pub seconds: f64,
    /// Time on all processors in those seconds; null where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// Units predicted a second, once the first report has come, so without compiling.
    pub tokens_per_second: f64,
}

/// What a driver reserves for a run, wgpu's own buffers included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Driver {
    /// What the plan tells; null where the device does not tell how its driver places buffers.
    pub expected: Option<Reserved>,
    /// What the device's allocator reports; null where it makes no report, so that there is the plan's ledger only.
    pub measured: Option<Drawn>,
}

/// Adds up what steps report.
#[derive(Clone, Debug)]
pub struct Tally {
    started: Instant,
    cpu_at_start: Option<f64>,
    /// When reports first came and when they came last while steps went on, and the tokens there
    /// were by then.
    first: Option<(Instant, u64)>,
    latest: Option<(Instant, u64)>,
    last: Instant,
    cpu_at_last: Option<f64>,
    tokens: u64,
    skipped: u64,
    recent: VecDeque<f32>,
    /// Tokens, time, and time on processors of the run before it was taken up.
    tokens_before: u64,
    seconds_before: f64,
    cpu_before: Option<f64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Starts the clocks.
    pub fn new() -> Self {
        let (now, cpu) = (Instant::now(), cpu_seconds());
        Self {
            started: now,
            cpu_at_start: cpu,
            first: None,
            latest: None,
            last: now,
            cpu_at_last: cpu,
            tokens: 0,
            skipped: 0,
            recent: VecDeque::new(),
            tokens_before: 0,
            seconds_before: 0.0,
            cpu_before: Some(0.0),
        }
    }

    /// Starts the clocks of a run that had taken `seconds`, and `cpu_seconds` on processors, and had
    /// predicted `tokens` with these losses, when it was ended.
    pub fn after(seconds: f64, cpu_seconds: Option<f64>, tokens: u64, losses: Vec<f32>) -> Self {
        let mut recent = VecDeque::from(losses);
        recent.drain(..recent.len().saturating_sub(RECENT));
        let (tokens_before, seconds_before, cpu_before) = (tokens, seconds, cpu_seconds);
        Self { tokens, recent, tokens_before, seconds_before, cpu_before, ..Self::new() }
    }

    /// From the start to the last step, without the time in which the run was not under way.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.last.duration_since(self.started).as_secs_f64()
    }

    /// Time on all processors in those seconds; none where the system does not tell.
    pub fn cpu_seconds(&self) -> Option<f64> {
        Some(self.cpu_before? + self.cpu_at_last? - self.cpu_at_start?)
    }

    /// Counts steps that [`Session::step`] reported just now.
    pub fn add(&mut self, reports: &[StepReport]) {
        if reports.is_empty() {
            return;
        }
        self.add_last(reports);
        self.latest = Some((self.last, self.tokens));
        self.first = self.first.or(self.latest);
    }

    /// Counts the steps that [`Session::finish`] reported just now, and stops the clocks.
    ///
    /// They came all at once, so they tell nothing of the speed.
    pub fn add_last(&mut self, reports: &[StepReport]) {
        self.tokens += reports.iter().map(|r| r.tokens).sum::<u64>();
        self.skipped = reports.last().map_or(self.skipped, |r| r.skipped_so_far);
        // Steps that changed nothing tell nothing of what was learnt.
        self.recent.extend(reports.iter().filter(|r| !r.skipped).map(|r| r.loss));
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        (self.last, self.cpu_at_last) = (Instant::now(), cpu_seconds());
    }

    /// Takes back the count of skipped steps, of a run that was stopped for the first of them.
    pub(super) fn stopped(&mut self, skipped: u64) {
        self.skipped = skipped;
    }

    /// Units predicted so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Units predicted a second, from when reports first came to when they last did; if they came
    /// only once, from the start.
    pub fn tokens_per_second(&self) -> f64 {
        let start = (self.started, self.tokens_before);
        let (from, to) = match self.first.zip(self.latest) {
            Some((first, latest)) if first != latest => (first, latest),
            _ => (start, (self.last, self.tokens)),
        };
        let seconds = to.0.duration_since(from.0).as_secs_f64();
        if seconds > 0.0 { (to.1 - from.1) as f64 / seconds } else { 0.0 }
    }

    /// The mean of the last 50 losses.
    pub fn train_loss(&self) -> Option<f64> {
        let sum: f64 = self.recent.iter().map(|&loss| f64::from(loss)).sum();
        (!self.recent.is_empty()).then(|| sum / self.recent.len() as f64)
    }
}

impl Summary {
    /// What can be told without looking at the parts held out.
    pub(super) fn new(session: &Session, tally: &Tally) -> Self {
        let plan = session.plan();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            adapter: plan.target.name.clone(),
            backend: plan.target.backend.clone(),
            planned_bytes: plan.planned_bytes(),
            allocated_bytes: session.held().map(|held| held.bytes),
            driver: Driver { expected: plan.reserved(), measured: session.reserved() },
            allocations_after_first_step: session.allocations_after_first_step(),
            steps: session.steps(),
            tokens: tally.tokens,
            skipped_steps: tally.skipped,
            train_loss: tally.train_loss(),
            validation_loss: None,
            validation_accuracy: None,
            test_loss: None,
            test_accuracy: None,
            unigram_entropy: None,
            bigram_entropy: None,
            seconds: tally.seconds(),
            cpu_seconds: tally.cpu_seconds(),
            tokens_per_second: tally.tokens_per_second(),
        }
    }
}

/// Seconds that this process has spent on processors, all threads and the system included, as
/// Linux tells: fields 14 and 15 of `/proc/self/stat`, in hundredths.
pub(super) fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64, loss: f32) -> StepReport {
        let (learning_rate, grad_norm, tokens) = (0.1, 1.0, 8);
        let (skipped, skipped_so_far, next_loss_scale) = (false, 0, None);
        StepReport { step, loss, learning_rate, grad_norm, tokens, skipped, skipped_so_far, next_loss_scale }
    }

    #[test]
    fn the_training_loss_is_the_mean_of_the_last_fifty() {
        let mut tally = Tally::new();
        assert_eq!(tally.train_loss(), None);
        let reports: Vec<_> = (1..=70).map(|i| report(i, if i <= 20 { 1e9 } else { 2.5 })).collect();
        reports.chunks(7).for_each(|some| tally.add(some));
        assert_eq!(tally.train_loss(), Some(2.5));
        assert_eq!(tally.tokens(), 560);
    }

    #[test]
    fn speed_leaves_out_what_came_before_the_first_report() {
        let mut tally = Tally::new();
        std::thread::sleep(std::time::Duration::from_millis(50));
        tally.add(&[report(1, 1.0)]);
        let slow = tally.tokens_per_second();
        assert!(slow > 0.0 && slow <= 8.0 / 0.05, "{slow}");
        std::thread::sleep(std::time::Duration::from_millis(1));
        tally.add(&vec![report(2, 1.0); 1000]);
        let fast = tally.tokens_per_second();
        assert!(fast > slow);
        tally.add_last(&vec![report(3, 1.0); 1_000_000]);
        assert_eq!(tally.tokens_per_second(), fast, "what comes all at once is no speed");
        assert_eq!(tally.tokens(), 8 * 1_001_001);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn processor_time_passes_while_there_is_work() {
        let (before, started) = (cpu_seconds().unwrap(), Instant::now());
        let mut x = 0u64;
        while started.elapsed().as_millis() < 60 {
            x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(7));
        }
        assert!(cpu_seconds().unwrap() > before);
    }
}
