//! What a step will take, told before it runs: from what the device was found to reach, if it was ever probed.

use clap::Args;
use plimsoll::device::Device;
use plimsoll::run::{Cache, PlanReport, Probed};
use plimsoll::training::Planned;

use crate::progress::duration;
use crate::table::grouped;

/// Whether a device may be measured.
#[derive(Args)]
pub(crate) struct ProbeArgs {
    /// Do not measure beforehand what the device reaches, nor read or keep what was measured of it: no time is told
    /// before it has passed
    #[arg(long)]
    pub(crate) no_probe: bool,
}

impl ProbeArgs {
    /// The numbers of `planned`, with its time as what `device` reaches makes it; that is measured now if it never
    /// was. The device cuts its submissions by it.
    pub(crate) fn time(&self, report: PlanReport, planned: &Planned, device: &mut Device) -> PlanReport {
        let probed = if self.no_probe { None } else { Cache::of_user().find_or_measure(device) };
        if let Some(probed) = &probed {
            device.set_rates(probed.rates);
        }
        report.with_probe(planned, probed)
    }
}

/// The numbers of `planned`, with its time where this machine has probed the device that it is planned for.
pub(crate) fn time_if_known(report: PlanReport, planned: &Planned) -> PlanReport {
    let probed = Cache::of_user().find(&report.target);
    report.with_probe(planned, probed)
}

/// What a step will take, or how to come to know it.
pub(crate) fn step(report: &PlanReport) -> String {
    match told(report) {
        Some((seconds, Probed { adapter, date, .. })) => {
            format!("about {} a step on {adapter} (probed {date})", rounded(seconds))
        }
        None => "not known: this device was not probed here (see `plimsoll adapters --probe`)".into(),
    }
}

/// A sentence, if it is known, about each of `steps` steps and all of them.
pub(crate) fn run(report: &PlanReport, steps: u64) -> Option<String> {
    let (seconds, Probed { date, .. }) = told(report)?;
    let all = duration(seconds * steps as f64);
    let each = rounded(seconds);
    Some(format!("A step will take about {each}, and {} of them {all} (probed {date}).", grouped(steps)))
}

fn told(report: &PlanReport) -> Option<(f64, &Probed)> {
    report.seconds_per_step.zip(report.probed.as_ref())
}

/// What a device was found to reach, in short.
pub(crate) fn reached(probed: &Probed) -> String {
    let rates = &probed.rates;
    format!(
        "{:.1} GB/s, {} a dispatch, {:.0} workgroups at once (probed {})",
        rates.bytes_per_second / 1e9,
        rounded(rates.dispatch_seconds),
        rates.workgroups,
        probed.date
    )
}

/// Seconds with two digits, in the unit that suits them.
pub(crate) fn rounded(seconds: f64) -> String {
    let (number, unit) = match seconds {
        s if s >= 0.0995 => (s, "s"),
        s if s >= 0.995e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let digits = if number < 0.995 {
        2
    } else if number < 9.95 {
        1
    } else {
        0
    };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn times_have_two_digits_and_a_unit_that_suits_them() {
        let cases = [
            (0.352, "0.35 s"),
            (1.26, "1.3 s"),
            (12.6, "13 s"),
            (0.0079, "7.9 ms"),
            (0.0279, "28 ms"),
            (48e-6, "48 us"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rounded(seconds), text);
        }
    }
}
