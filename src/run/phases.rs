//! What a run uses of the device's memory, phase by phase. All buffers are there from its first phase to its last; what
//! is made on the way lies in one that all phases share.
//!
//! ```text
//!            |           [ training ]                 the peak
//!   made on  |           [          ] [ evaluation ]
//!   the way  |           [          ] [            ]              [ sampling ]
//!   kept     | [ upload ] [ ====== ]  [ ========== ] [ checkpoint ] [ ====== ]
//! ```

use serde::Serialize;

use super::ProgramReport;
use crate::plan::Plan;

/// A phase of a run, and what is in use of the device's memory in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhaseReport {
    /// Its name.
    pub name: &'static str,
    /// The programs that it runs; none where bytes only travel.
    pub programs: Vec<&'static str>,
    /// All that is kept, staging and padding included: the same in all phases.
    pub kept_bytes: u64,
    /// The most that is alive of what is made on the way.
    pub activation_bytes: u64,
}

/// Phases in the order in which a run first comes to them, and the programs of each.
const PHASES: [(&str, &[&str]); 6] = [
    ("upload", &[]),
    ("training", &["first", "next", "update"]),
    ("evaluation", &["evaluate"]),
    ("prediction", &["predict"]),
    ("checkpoint", &[]),
    ("sampling", &["sample"]),
];

impl PhaseReport {
    /// What is in use at the phase's peak.
    pub fn bytes(&self) -> u64 {
        self.kept_bytes.saturating_add(self.activation_bytes)
    }
}

/// The phases that a run has, of which those without a program read or write what is kept.
pub(super) fn phases(plan: &Plan, programs: &[ProgramReport]) -> Vec<PhaseReport> {
    let kept_bytes = plan.lower_bound_bytes().saturating_sub(plan.tenants_bound.0);
    let phase = |(name, of): (&'static str, &[&str])| {
        let own: Vec<&ProgramReport> =
            programs.iter().filter(|program| of.contains(&program.name) && program.dispatches > 0).collect();
        let activation_bytes = own.iter().map(|program| program.peak_bytes).max().unwrap_or(0);
        let programs = own.iter().map(|program| program.name).collect();
        (of.is_empty() || !own.is_empty()).then_some(PhaseReport { name, programs, kept_bytes, activation_bytes })
    };
    PHASES.into_iter().filter_map(phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::graph::Role;
    use crate::run::{PlanReport, Run};
    use crate::target::Target;

    #[test]
    fn the_most_of_any_phase_is_the_plans_lower_bound_and_what_only_travels_needs_what_is_kept() {
        let target = Target::profile("lavapipe").unwrap();
        let mut run = Run::new(Config::default_run()).unwrap();
        let report = PlanReport::new(&run.plan(&target).unwrap());
        let of = |report: &PlanReport| report.phases.iter().map(|phase| phase.name).collect::<Vec<_>>();
        assert_eq!(of(&report), ["upload", "training", "evaluation", "checkpoint", "sampling"]);
        let most = |report: &PlanReport| report.phases.iter().map(PhaseReport::bytes).max();
        assert_eq!(most(&report), Some(report.lower_bound_bytes));
        let kept: u64 =
            report.roles.iter().filter(|(role, _)| **role != Role::Activation).map(|(_, bytes)| bytes).sum();
        for phase in &report.phases {
            assert_eq!(phase.kept_bytes, kept, "{phase:?}");
            let travels = ["upload", "checkpoint"].contains(&phase.name);
            assert_eq!((phase.activation_bytes == 0, phase.programs.is_empty()), (travels, travels), "{phase:?}");
        }
        assert_eq!(report.phases[1].programs, ["first", "update"]);
        // What is not held out or written is no phase.
        run.config.data.validation = 0.0;
        run.config.train.accumulate = 2;
        let report = PlanReport::new(&run.plan(&target).unwrap());
        assert_eq!(of(&report), ["upload", "training", "checkpoint", "sampling"]);
        assert_eq!(report.phases[1].programs, ["first", "next", "update"]);
        assert_eq!(most(&report), Some(report.lower_bound_bytes));
    }
}
