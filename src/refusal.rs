//! A run that cannot fit: which limits it exceeds, what takes the room, what would fit.

use std::fmt;

use serde::Serialize;

use crate::bytes::Bytes;
use crate::plan::check::Violation;
use crate::plan::report::PeakTenant;

/// A setting under which the same model would fit, found by planning it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alternative {
    /// Rows of one update.
    pub batch: u32,
    /// Timesteps of one window.
    pub window: u32,
    /// Micro-steps an update is split into.
    pub accumulate: u32,
    /// Whether what lies between dispatches is in halves.
    pub halves: bool,
    /// What it would take.
    pub planned_bytes: u64,
    /// What it changes, in a few words.
    pub change: String,
}

/// Why a plan was turned down before anything was allocated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What the plan needs.
    pub planned_bytes: u64,
    /// Every limit exceeded.
    pub violations: Vec<Violation>,
    /// The largest five of what is alive when the most is.
    pub tenants: Vec<PeakTenant>,
    /// What would fit; empty if not even one row of the shortest window does.
    pub alternatives: Vec<Alternative>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "REFUSED: the plan needs {} and does not fit. Nothing was allocated.", Bytes(self.planned_bytes))?;
        for violation in &self.violations {
            writeln!(f, "  {}", violation.sentence())?;
        }
        writeln!(f, "What takes the room at the peak:")?;
        for tenant in &self.tenants {
            writeln!(f, "  {:>9}  {}", Bytes(tenant.bytes).to_string(), tenant.name)?;
        }
        if self.alternatives.is_empty() {
            return write!(
                f,
                "Not even one row would fit, in the shortest window there may be: only a smaller model or a larger \
                 limit will do."
            );
        }
        write!(f, "What would fit, each planned:")?;
        for a in &self.alternatives {
            let (needs, change) = (Bytes(a.planned_bytes).to_string(), &a.change);
            let storage = if a.halves { ", storage = \"f16\"" } else { "" };
            write!(
                f,
                "\n  batch = {}, window = {}, accumulate = {}{storage}  ({needs}; {change})",
                a.batch, a.window, a.accumulate
            )?;
        }
        Ok(())
    }
}
