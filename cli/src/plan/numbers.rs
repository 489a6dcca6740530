//! A run's plan, and it in numbers: for a device that need not be here, or for the one at hand, where it is what `train`
//! goes by.

use plimsoll::device::Device;
use plimsoll::error::Error;
use plimsoll::memory::{self, Available};
use plimsoll::run::{Allowed, AllowedBy, DiskUse, HostUse, PlanReport, Probed, Run};
use plimsoll::target::Target;
use plimsoll::training::Planned;

/// The plan of `run` for `device` and for what this host has left, once the data are read.
pub(crate) fn planned_here(run: &Run, device: &Device, probed: Option<Probed>) -> Result<(Planned, PlanReport), Error> {
    planned_for(run, device.target(), memory::available().as_ref(), probed)
}

/// The plan of `run` for `target`, with no more memory than that where it is to be run on this `host`.
pub(crate) fn planned_for(
    run: &Run,
    target: &Target,
    host: Option<&Available>,
    probed: Option<Probed>,
) -> Result<(Planned, PlanReport), Error> {
    let planned = run.plan_on(target, host)?;
    let report = report_on(run, &planned, host)?.with_probe(&planned, probed);
    Ok((planned, report))
}

/// A plan in numbers, with what the run will write to disk.
pub(crate) fn report(run: &Run, planned: &Planned) -> Result<PlanReport, Error> {
    report_on(run, planned, None)
}

fn report_on(run: &Run, planned: &Planned, host: Option<&Available>) -> Result<PlanReport, Error> {
    let refusal = run.refusal(planned, host)?;
    let left = host.map(|host| run.left_for_device(planned, host)).transpose()?.flatten();
    let left = left.map(|bytes| Allowed { bytes, by: AllowedBy::HostBeside });
    let (disk, host) = (Some(DiskUse::of(run, planned)?), Some(HostUse::of(run, planned)?));
    let report = PlanReport::with_refusal(planned, refusal);
    let memory = report.memory.into_iter().chain(left).min_by_key(|allowed| allowed.bytes);
    Ok(PlanReport { disk, host, memory, ..report })
}
