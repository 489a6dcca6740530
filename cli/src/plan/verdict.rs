//! What a dry run comes to.

use plimsoll::bytes::Bytes;
use plimsoll::run::PlanReport;

/// FITS with what is left, or the refusal.
pub(crate) fn verdict(report: &PlanReport) -> String {
    if let Some(refusal) = &report.refusal {
        return refusal.to_string();
    }
    let needed = Bytes(report.planned_bytes);
    match report.memory {
        None => format!("FITS: {needed}. No one limits the memory; `--memory` would."),
        Some(allowed) => {
            let by = allowed.by.words();
            let left = Bytes(allowed.bytes - report.planned_bytes);
            format!("FITS: {needed} of the {} that {by} allows; {left} to spare.", Bytes(allowed.bytes))
        }
    }
}
