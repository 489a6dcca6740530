//! What a step will take, told before it runs: from what the device was found to reach, if it was ever probed.

use clap::Args;
use plimsoll::device::Device;
use plimsoll::run::{Cache, PlanReport, Probed};
use plimsoll::target::Target;

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
    /// What `device` reaches; that is measured now if it never was. The device cuts its submissions by it, and what is
    /// planned for it from now on chooses kernels by it. A run that goes on chooses them by what it was `begun` with.
    pub(crate) fn look(&self, device: &mut Device, begun: Option<Target>) -> Option<Probed> {
        let probed = if self.no_probe { None } else { Cache::of_user().find_or_measure(device) };
        if let Some(probed) = &probed {
            device.set_rates(probed.rates);
        }
        if let Some(begun) = begun.filter(|begun| begun.is_of_one_device_with(device.target())) {
            device.choose_kernels_by(begun.rates);
        }
        probed
    }
}

/// `target` with what this machine found it to reach, if it ever was probed here, and that.
pub(crate) fn known(target: Target) -> (Target, Option<Probed>) {
    let probed = Cache::of_user().find(&target);
    let rates = probed.as_ref().map(|probed| probed.rates).or(target.rates);
    (Target { rates, ..target }, probed)
}

/// What `device` was found to reach, if it ever was probed here; what is planned for it from now on chooses kernels by it.
pub(crate) fn measured_before(device: &mut Device) -> Option<Probed> {
    let probed = Cache::of_user().find(device.target());
    if let Some(probed) = &probed {
        device.set_rates(probed.rates);
    }
    probed
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
