//! A plan as numbers to be read: by people in tables, by programs as JSON. The JSON's fields are
//! kept stable; new ones may be added.

use std::collections::BTreeMap;

use serde::Serialize;

use super::phases::phases;
use super::{DiskUse, HostUse, PhaseReport, Probed};
use crate::error::Error;
use crate::graph::Role;
use crate::plan::check::Violation;
use crate::plan::kept::Kept;
use crate::plan::report::{LayerBytes, Peak, PeakTenant};
use crate::plan::reserved::Reserved;
use crate::plan::{Placed, Plan, Rectangle};
use crate::refusal::{Alternative, Least, Refusal};
use crate::schedule::Span;
use crate::target::{AllowedBy, Target};
use crate::training::{Bargain, KeptByPytorch, Planned, Saved, Storage, Task, Warning};

/// A plan in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// Of the JSON: [`PlanReport::FORMAT`].
    pub format: u32,
    /// Of Plimsoll.
    pub version: &'static str,
    /// The plan's fingerprint: two plans of one fingerprint make the same dispatches on the same places.
    pub digest: String,
    /// Whether it exceeds no limit.
    pub fits: bool,
    /// Bytes of every device buffer together.
    pub planned_bytes: u64,
    /// What the driver will reserve for these; none where the target does not tell how its driver places buffers.
    pub reserved: Option<Reserved>,
    /// The fewest that any placement of the same values could take.
    pub lower_bound_bytes: u64,
    /// What the plan may take; none where neither run nor device say.
    pub memory: Option<Allowed>,
    /// Rows of one update.
    pub batch: u32,
    /// Timesteps of one window.
    pub window: u32,
    /// Micro-steps of one update.
    pub accumulate: u32,
    /// Timesteps of the segments that a window is worked out in; none where it is worked out as a whole.
    pub segment: Option<u32>,
    /// States between segments that are kept; none where all are.
    pub segment_states: Option<u32>,
    /// Blocks in which activations are recomputed, at most; none where all are kept.
    pub recompute: Option<u32>,
    /// Whether gradients are released as soon as the optimizer has used them.
    pub release_gradients: bool,
    /// What the run was turned into, where it did not fit as described.
    pub bargain: Option<Bargain>,
    /// Ids there are; 0 where the input is no text.
    pub vocabulary: u32,
    /// Features of the model's output.
    pub outputs: u32,
    /// Numbers that are learnt.
    pub parameters: u64,
    /// Bytes by role; all roles are there.
    pub roles: BTreeMap<Role, u64>,
    /// Bytes by layer, in the order of the model.
    pub layers: Vec<LayerBytes>,
    /// What the forward pass leaves for the way back, and who reads it there.
    pub kept_for_backward: Vec<Kept>,
    /// What PyTorch's autograd would keep of the same layers, in f32: a model, see
    /// [`Training::kept_by_pytorch`](crate::training::Training::kept_by_pytorch).
    pub kept_by_pytorch: Option<Vec<KeptByPytorch>>,
    /// What each saving brings, where it was asked for by [`PlanReport::with_savings`].
    pub savings: Option<Vec<Saved>>,
    /// What takes a large share for a reason that is easily overlooked.
    pub warnings: Vec<Warning>,
    /// Where the most is alive; none if nothing is made on the way.
    pub peak: Option<Peak>,
    /// All that is alive there, the largest first, without staging and padding.
    pub peak_tenants: Vec<PeakTenant>,
    /// Every value's place and the dispatches during which it is there, where asked for by
    /// [`PlanReport::with_timeline`].
    pub timeline: Option<Vec<Rectangle>>,
    /// The programs and their dispatches.
    pub programs: Vec<ProgramReport>,
    /// What is in use in each phase of the run; the most in any is [`PlanReport::lower_bound_bytes`].
    pub phases: Vec<PhaseReport>,
    /// Dispatches of one whole update.
    pub dispatches_per_step: u64,
    /// Every limit exceeded.
    pub violations: Vec<Violation>,
    /// What would fit, if this does not.
    pub alternatives: Vec<Alternative>,
    /// The least that the model could take, where nothing fits.
    pub least: Option<Least>,
    /// Whether what lies between dispatches is in halves.
    pub halves: bool,
    /// If so, what it would take in full, by role.
    pub roles_in_full: Option<BTreeMap<Role, u64>>,
    /// What the run will write to disk, where it is known how it is saved.
    pub disk: Option<DiskUse>,
    /// What the run will hold in the host's memory, where its data are known.
    pub host: Option<HostUse>,
    /// What one update will take on the wall, where a probe of the device says; see [`PlanReport::with_probe`].
    pub seconds_per_step: Option<f64>,
    /// The probe that this rests on.
    pub probed: Option<Probed>,
    /// What it was planned for.
    pub target: Target,
    /// Why it cannot run, if it cannot.
    #[serde(skip)]
    pub refusal: Option<Refusal>,
}

/// The memory that a plan may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// How much.
    pub bytes: u64,
    /// Who says so.
    pub by: AllowedBy,
}

/// A program of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: &'static str,
    /// How many dispatches it has.
    pub dispatches: usize,
    /// How often a step of training runs it.
    pub runs_per_step: u32,
    /// The most that is alive of what is made on the way.
    pub peak_bytes: u64,
    /// At each of its dispatches, bytes of what is made on the way and alive.
    #[serde(skip)]
    pub alive_bytes: Vec<u64>,
}

impl PlanReport {
    /// The version of the JSON. Fields may be added without a new one; none is taken away or given another meaning.
    pub const FORMAT: u32 = 1;

    /// The numbers of `planned`. If it does not fit, what would is found by planning.
    pub fn new(planned: &Planned) -> Self {
        Self::with_refusal(planned, planned.refusal())
    }

    /// The numbers of `planned`, of which it is known already why it cannot run, if it cannot.
    pub fn with_refusal(planned: &Planned, refusal: Option<Refusal>) -> Self {
        let (training, plan) = (&planned.training, &planned.plan);
        let programs = programs(planned);
        Self {
            format: Self::FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            digest: plan.digest(),
            fits: refusal.is_none(),
            planned_bytes: plan.planned_bytes(),
            reserved: plan.reserved(),
            lower_bound_bytes: plan.lower_bound_bytes(),
            memory: allowed(planned),
            batch: training.batch,
            window: training.window,
            accumulate: training.accumulate,
            segment: training.segments.map(|s| s.timesteps),
            segment_states: training.segments.and_then(|s| s.states),
            recompute: training.recompute,
            release_gradients: training.release_gradients,
            bargain: planned.bargain,
            vocabulary: training.network.task().map_or(0, Task::vocabulary),
            outputs: training.network.task().map_or(0, Task::outputs),
            parameters: planned.handles.parameters.iter().map(|p| p.ty.len()).fold(0, u64::saturating_add),
            roles: plan.roles().into_iter().collect(),
            layers: plan.layers(),
            kept_for_backward: plan.kept_for_backward(),
            kept_by_pytorch: training.kept_by_pytorch(),
            savings: None,
            warnings: planned.warnings(),
            peak: plan.peak(),
            peak_tenants: plan.peak_tenants(),
            timeline: None,
            dispatches_per_step: programs.iter().map(|p| p.dispatches as u64 * u64::from(p.runs_per_step)).sum(),
            phases: phases(plan, &programs),
            programs,
            violations: refusal.as_ref().map_or_else(Vec::new, |r| r.violations.clone()),
            alternatives: refusal.as_ref().map_or_else(Vec::new, |r| r.alternatives.clone()),
            least: refusal.as_ref().and_then(|r| r.least.clone()),
            halves: training.storage == Storage::F16,
            roles_in_full: in_full(planned),
            disk: None,
            host: None,
            seconds_per_step: None,
            probed: None,
            target: plan.target.clone(),
            refusal,
        }
    }

    /// The same with what each saving brings, for which `planned` is planned some five times more.
    ///
    /// # Errors
    /// Those of [`Planned::savings`].
    pub fn with_savings(self, planned: &Planned) -> Result<Self, Error> {
        Ok(Self { savings: Some(planned.savings()?), ..self })
    }

    /// The same with every value's place, which of large plans is megabytes.
    pub fn with_timeline(self, planned: &Planned) -> Self {
        Self { timeline: Some(planned.plan.timeline()), ..self }
    }

    /// The same with the time of an update of `planned`, as far as `probed` tells.
    pub fn with_probe(self, planned: &Planned, probed: Option<Probed>) -> Self {
        Self { seconds_per_step: probed.as_ref().map(|probed| planned.seconds(&probed.rates)), probed, ..self }
    }

    /// Bytes that a perfect placement would save.
    pub fn gap_bytes(&self) -> u64 {
        self.planned_bytes - self.lower_bound_bytes
    }
}

/// Bytes by role of a run in halves, had it been planned in full.
fn in_full(planned: &Planned) -> Option<BTreeMap<Role, u64>> {
    let training = Some(&planned.training).filter(|t| t.storage == Storage::F16)?;
    // As the plan is, whether it would fit or not.
    let has_texture = planned.plan.texture.arena.is_some();
    let full = training.clone().storage(Storage::F32).plan_with(&planned.plan.target, has_texture).ok()?;
    Some(full.plan.roles().into_iter().collect())
}

fn allowed(planned: &Planned) -> Option<Allowed> {
    let budget = planned.memory().map(|bytes| Allowed { bytes, by: AllowedBy::Budget });
    let told = planned.plan.target.memory_limits().map(|(_, by, bytes)| Allowed { bytes, by });
    budget.into_iter().chain(told).min_by_key(|a| a.bytes)
}

fn programs(planned: &Planned) -> Vec<ProgramReport> {
    let runs = |name| match name {
        "first" | "update" => 1,
        "next" => planned.training.accumulate - 1,
        _ => 0,
    };
    let alive = alive_bytes(&planned.plan);
    let report = |p: &Span| ProgramReport {
        name: p.name,
        dispatches: p.steps.len(),
        runs_per_step: runs(p.name),
        peak_bytes: alive[p.steps.clone()].iter().copied().max().unwrap_or(0),
        alive_bytes: alive[p.steps.clone()].to_vec(),
    };
    planned.plan.schedule.programs.iter().map(report).collect()
}

/// Bytes of the tenants alive at each step.
fn alive_bytes(plan: &Plan) -> Vec<u64> {
    let mut alive = vec![0u64; plan.schedule.steps.len()];
    for Placed { tenant, place } in &plan.tenants {
        let steps = tenant.interval.start as usize..tenant.interval.end as usize;
        alive[steps].iter_mut().for_each(|bytes| *bytes = bytes.saturating_add(place.bytes));
    }
    alive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;
    use crate::config::{Config, StorageConfig};
    use crate::run::Run;

    fn report(memory: Option<Bytes>) -> PlanReport {
        let mut config = Config::default_run();
        config.budget.memory = memory;
        let mut target = Target::profile("lavapipe").unwrap();
        target.memory_bytes = Some(32 << 20);
        PlanReport::new(&Run::new(config).unwrap().plan(&target).unwrap())
    }

    #[test]
    fn the_scarcer_memory_is_the_one_allowed() {
        let host = Some(Allowed { bytes: 32 << 20, by: AllowedBy::Host });
        assert_eq!(report(None).memory, host);
        assert_eq!(report(Some(Bytes(33 << 20))).memory, host);
        assert_eq!(report(Some(Bytes(7))).memory, Some(Allowed { bytes: 7, by: AllowedBy::Budget }));
    }

    #[test]
    fn what_other_processes_have_of_the_device_is_not_planned_with() {
        let run = Run::new(Config::default_run()).unwrap();
        let of = |left| {
            let card = Target::profile("radv-rx6700xt").unwrap();
            let target = Target { memory_bytes: Some(32 << 20), memory_left_bytes: Some(left), ..card };
            PlanReport::new(&run.plan(&target).unwrap())
        };
        let enough = of(8 << 20);
        assert_eq!(enough.memory, Some(Allowed { bytes: 8 << 20, by: AllowedBy::Driver }));
        assert!(enough.fits && enough.bargain.is_none());
        // What the device has would do as described, what is left of it in another way.
        let less = of(4 << 20);
        assert!(less.fits && less.bargain.is_some() && less.planned_bytes <= 4 << 20);
        let nothing = of(1000);
        assert_eq!(nothing.violations.iter().map(|v| v.limit).collect::<Vec<_>>(), ["memory_left_bytes"]);
    }

    #[test]
    fn who_allows_the_memory_is_named_after_the_interface_that_said_so() {
        let run = Run::new(Config::default_run()).unwrap();
        let of = |profile: &str, left: Option<u64>| {
            let told = Target::profile(profile).unwrap();
            let target = Target { memory_bytes: Some(32 << 20), memory_left_bytes: left, ..told };
            let report = PlanReport::new(&run.plan(&target).unwrap());
            (report.memory.unwrap().by, report.refusal.map(|refusal| refusal.to_string()).unwrap_or_default())
        };
        for (profile, all, left, words) in [
            ("dx12-tier3", AllowedBy::Device, AllowedBy::DxgiBudget, "DXGI's memory_left_bytes allows 1000 B"),
            ("metal-m1-max", AllowedBy::WorkingSet, AllowedBy::WorkingSet, "Metal's memory_left_bytes allows 1000 B"),
            ("radv-rx6700xt", AllowedBy::Device, AllowedBy::Driver, "the device's memory_left_bytes allows 1000 B"),
            ("lavapipe", AllowedBy::Host, AllowedBy::ProcessLimit, "the process's memory_left_bytes allows 1000 B"),
        ] {
            assert_eq!(of(profile, None).0, all, "{profile}");
            assert_eq!(of(profile, Some(8 << 20)).0, left, "{profile}");
            let (by, refused) = of(profile, Some(1000));
            assert_eq!(by, left, "{profile}");
            assert!(refused.contains(words), "{profile}: {refused}");
        }
    }

    #[test]
    fn json_has_what_is_promised_and_the_roles_add_up() {
        for memory in [None, Some(Bytes(1000))] {
            let json = serde_json::to_value(report(memory)).unwrap();
            let roles = json["roles"].as_object().unwrap();
            let usual = Role::ALL.iter().filter(|role| !role.is_seldom()).count();
            assert_eq!(roles.len(), usual, "all but uniforms and a texture, of which there are none");
            let sum: u64 = roles.values().map(|bytes| bytes.as_u64().unwrap()).sum();
            assert_eq!(json["planned_bytes"], sum);
            assert_eq!(json["fits"], memory.is_none());
            // In 1000 B there is room for no model at all.
            assert_eq!(json["least"]["planned_bytes"].as_u64().is_some_and(|bytes| bytes > 1000), memory.is_some());
            assert_eq!(json["least"]["layer"].is_string(), memory.is_some());
            let violations = json["violations"].as_array().unwrap();
            assert_eq!(violations.is_empty(), memory.is_none());
            for violation in violations {
                let keys: Vec<_> = violation.as_object().unwrap().keys().collect();
                assert_eq!(keys, ["allowed", "layer", "limit", "needed"]);
            }
        }
    }

    #[test]
    fn the_most_alive_at_any_dispatch_is_the_peak() {
        let report = report(None);
        let peak = report.peak.clone().unwrap();
        let most = |p: &ProgramReport| p.alive_bytes.iter().copied().max();
        assert_eq!(report.programs.iter().filter_map(most).max(), Some(peak.activation_bytes));
        let program = report.programs.iter().find(|p| p.name == peak.program).unwrap();
        assert_eq!(program.alive_bytes[peak.dispatch - 1], peak.activation_bytes);
    }

    #[test]
    fn a_run_in_halves_says_what_it_would_take_in_full() {
        let mut config = Config::default_run();
        let target = Target::profile("lavapipe").unwrap();
        let plan = |config: &Config| PlanReport::new(&Run::new(config.clone()).unwrap().plan(&target).unwrap());
        let full = plan(&config);
        assert_eq!((full.halves, &full.roles_in_full), (false, &None));
        config.train.storage = StorageConfig::F16;
        let halves = plan(&config);
        assert_eq!((halves.halves, halves.roles_in_full.as_ref()), (true, Some(&full.roles)));
        assert!(halves.roles[&Role::Activation] < full.roles[&Role::Activation] * 6 / 10);
    }

    #[test]
    fn the_peak_is_the_sum_of_what_is_alive_at_it() {
        let report = report(None);
        let of = |role| report.peak_tenants.iter().filter(|t| t.role == role).map(|t| t.bytes).sum::<u64>();
        assert_eq!(of(Role::Activation), report.peak.as_ref().unwrap().activation_bytes);
        assert_eq!(of(Role::Parameter), 4 * report.parameters);
        assert!(report.gap_bytes() < report.planned_bytes);
    }
}
