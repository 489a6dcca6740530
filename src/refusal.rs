//! A run that cannot fit: which limits it exceeds, what takes the room, what would fit.

use std::fmt;

use serde::Serialize;

use crate::bytes::Bytes;
use crate::plan::check::Violation;
use crate::plan::report::PeakTenant;

/// What the host has left, as a limit that a run may exceed.
pub(crate) const HOST_MEMORY: &str = "available_memory";

/// A setting under which the same model would fit, found by planning it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// Rows of one update.
    pub batch: u32,
    /// Timesteps of one window.
    pub window: u32,
    /// Micro-steps an update is split into.
    pub accumulate: u32,
    /// Timesteps of the segments that a window is worked out in; none where it is worked out as a whole.
    pub segment: Option<u32>,
    /// States between segments that are kept; none where all are.
    pub segment_states: Option<u32>,
    /// Blocks in which activations are recomputed, at most; none where all are kept.
    pub recompute: Option<u32>,
    /// Whether gradients are released as soon as the optimizer has used them.
    pub release_gradients: bool,
    /// Whether copies of parameters in halves, if there are any, are kept from one micro-step to the next.
    pub keep_copies: bool,
    /// Whether what lies between dispatches is in halves.
    pub halves: bool,
    /// Threads that have batches ready, where fewer of them are what it changes.
    pub workers: Option<u32>,
    /// What it would take.
    pub planned_bytes: u64,
    /// What an update is estimated to take, beside what the run as described would. How long it waits for a batch is not
    /// in it, which with fewer workers may be longer.
    pub times_longer: f64,
    /// The same for the same amount of data: by rows and timesteps, so that nothing is faster because an update has
    /// fewer of them.
    pub data_times_longer: f64,
    /// Whether it makes the same updates, up to the order of sums; else the run comes to another result.
    pub same_updates: bool,
    /// What it changes, in a few words.
    pub change: String,
    /// What it changes, as lines of a run file: tables, and the keys below each.
    pub lines: Vec<String>,
}

/// Why a plan was turned down before anything was allocated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// What the plan needs.
    pub planned_bytes: u64,
    /// Every limit exceeded.
    pub violations: Vec<Violation>,
    /// The largest five of what is alive when the most is.
    pub tenants: Vec<PeakTenant>,
    /// What would fit, the fastest for the same data first; empty if not even one row of the shortest window does.
    pub alternatives: Vec<Alternative>,
    /// The least that the model could take, where nothing fits.
    pub least: Option<Least>,
}

/// The smallest plan of a model, one row in the shortest window there may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Least {
    /// What it takes.
    pub planned_bytes: u64,
    /// The largest five of what is alive in it when the most is.
    pub tenants: Vec<PeakTenant>,
    /// The layer that holds the most of it, with its parameters, their gradients and what the optimizer remembers.
    pub layer: String,
    /// Bytes of those.
    pub layer_bytes: u64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = Bytes(self.planned_bytes);
        match self.violations.iter().all(|violation| violation.limit == HOST_MEMORY) {
            true => {
                writeln!(f, "REFUSED: the host cannot hold the run, whose plan needs {needed}. Nothing was allocated.")?
            }
            false => writeln!(f, "REFUSED: the plan needs {needed} and does not fit. Nothing was allocated.")?,
        }
        for violation in &self.violations {
            writeln!(f, "  {}", violation.sentence())?;
        }
        writeln!(f, "What takes the room at the peak:")?;
        for tenant in &self.tenants {
            writeln!(f, "  {:>9}  {}", Bytes(tenant.bytes).to_string(), tenant.name)?;
        }
        if self.alternatives.is_empty() {
            write!(
                f,
                "Not even one row would fit, in the shortest window there may be: only a smaller model or a larger \
                 limit will do."
            )?;
            let Some(Least { planned_bytes, tenants, layer, layer_bytes }) = &self.least else { return Ok(()) };
            let (all, most) = (Bytes(*planned_bytes), Bytes(*layer_bytes));
            write!(f, "\nThe least this model takes is {all}, of which the layer `{layer}` holds {most}:")?;
            for tenant in tenants {
                write!(f, "\n  {:>9}  {}", Bytes(tenant.bytes).to_string(), tenant.name)?;
            }
            return Ok(());
        }
        write!(
            f,
            "What would fit, each planned, the fastest for the same data first, with the lines of the run file to change:"
        )?;
        for a in &self.alternatives {
            let (needs, change) = (Bytes(a.planned_bytes).to_string(), &a.change);
            let other = if a.same_updates { "" } else { "another result, with " };
            let time = match a.data_times_longer {
                times if (times - 1.0).abs() > 0.005 => format!("; about {times:.2} times the time"),
                _ => String::new(),
            };
            // How long a batch takes to load nobody has measured.
            let waits = if a.workers.is_some() { "; steps may then wait longer for their batches" } else { "" };
            write!(f, "\n  {needs}: {other}{change}{time}{waits}")?;
            for line in &a.lines {
                write!(f, "\n      {line}")?;
            }
        }
        Ok(())
    }
}
