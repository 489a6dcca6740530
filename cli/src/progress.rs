//! How far a training is: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plimsoll::bytes::Bytes;
use plimsoll::run::Tally;
use plimsoll::training::StepReport;

use crate::log;
use crate::table::grouped;

/// Plain lines of a whole run.
const LINES: u64 = 20;
/// After this a line is printed before its turn.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Draws how far a training is.
pub(crate) struct Progress {
    bar: ProgressBar,
    steps: u64,
    planned: Bytes,
    /// The step from which on the next plain line is due, and when the last was printed.
    due: u64,
    printed: Instant,
}

impl Progress {
    /// For a run of so many steps and planned bytes.
    pub(crate) fn new(steps: u64, planned: Bytes) -> Self {
        // Hidden by indicatif where standard output is no terminal.
        let target = if log::is_on_terminal() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stdout() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style = ProgressStyle::with_template("{bar:20} {msg}").expect("the template is well formed");
        bar.set_style(style.progress_chars("=> "));
        bar.set_message("compiling kernels; the first losses will follow");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, steps, planned, due: 0, printed: Instant::now() }
    }

    /// Shows the last of `reports`; gives the line to print if there is no terminal and one is due.
    pub(crate) fn show(&mut self, reports: &[StepReport], tally: &Tally, used: Option<u64>) -> Option<String> {
        let last = reports.last()?;
        let text = self.text(last, tally, used);
        self.bar.set_position(last.step);
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            return None;
        }
        if last.step < self.due && self.printed.elapsed() < LONGEST_SILENCE {
            return None;
        }
        self.printed = Instant::now();
        let apart = self.steps.div_ceil(LINES);
        self.due = (last.step / apart + 1) * apart;
        Some(text)
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn text(&self, last: &StepReport, tally: &Tally, used: Option<u64>) -> String {
        let StepReport { step, loss, .. } = last;
        let rate = tally.tokens_per_second();
        let tokens_a_step = tally.tokens() as f64 / (*step).max(1) as f64;
        let seconds = (self.steps - step.min(&self.steps)) as f64 * tokens_a_step / rate;
        let left = if seconds.is_finite() { format!("{} left", duration(seconds)) } else { String::new() };
        let digits = self.steps.to_string().len();
        let used = used.map_or_else(String::new, |bytes| format!("{} used of ", Bytes(bytes)));
        let planned = self.planned;
        format!(
            "{step:>digits$}/{}  loss {loss:.4}  {} tokens/s  {used}{planned} planned  {left}",
            self.steps,
            rounded(rate)
        )
        .trim_end()
        .to_string()
    }
}

/// A rate without decimals.
pub(crate) fn rounded(rate: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no rate comes near the limits")]
    let whole = rate.round().max(0.0) as u64;
    grouped(whole)
}

/// A time as people say it.
pub(crate) fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no run lasts that long")]
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}
