//! What a plan will take, before any place is looked for: the many that a search goes through need no more.

use super::layout::{alignment, kept_bytes};
use super::lifetime::tenants;
use super::place::{Interval, lower_bound};
use super::{Staging, Texture, Uniforms};
use crate::graph::Graph;
use crate::schedule::{Schedule, schedule};
use crate::target::Target;

/// A plan without places.
#[derive(Clone, Debug)]
pub struct Outline {
    /// What would run.
    pub schedule: Schedule,
    /// Bytes of all slots, of parameters that dispatches do not carry, and of the texture.
    pub kept_bytes: u64,
    /// Those of the texture among them.
    pub texture_bytes: u64,
    /// The greatest sum of tenants alive at once: no placement takes less.
    pub tenants_bytes: u64,
    /// The host's buffers.
    pub staging: Staging,
}

impl Outline {
    /// Outlines the plan that [`Plan::new`](super::Plan::new) would make.
    pub fn new(graph: &Graph, target: &Target, staging: Staging) -> Self {
        let schedule = schedule(graph, target);
        let intervals: Vec<Interval> = tenants(graph, &schedule).iter().map(|t| t.interval).collect();
        let tenants_bytes = lower_bound(&intervals, alignment(target)).0;
        let texture_bytes = Texture::new(&schedule).bytes();
        let beside = Uniforms::new(&schedule, target).bytes().saturating_add(texture_bytes);
        let kept_bytes = kept_bytes(graph, target).saturating_add(beside);
        Self { schedule, kept_bytes, texture_bytes, tenants_bytes, staging }
    }

    /// The fewest bytes that [`Plan::with_staging_within`](super::Plan::with_staging_within) could bring the plan to.
    pub fn least_bytes(&self) -> u64 {
        least_bytes(self.kept_bytes, self.tenants_bytes, self.staging)
    }
}

/// The fewest bytes of a plan that keeps so many, whose tenants take so many, and whose staging may be smaller.
pub(super) fn least_bytes(kept_bytes: u64, tenants_bytes: u64, staging: Staging) -> u64 {
    kept_bytes.saturating_add(tenants_bytes).saturating_add(staging.within(0).bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Model, Task};
    use crate::plan::Plan;
    use crate::training::Training;

    #[test]
    fn an_outline_knows_what_its_plan_takes() {
        for max_immediate_size in [128, 0] {
            let mut target = Target::profile("webgpu-default").unwrap();
            target.limits.max_immediate_size = max_immediate_size;
            let model = Model::new().embedding(16).lstm(24).output();
            let planned = Training::new(model, Task::next_token(30), 60).window(40).plan(&target).unwrap();
            let Plan { graph, staging, .. } = planned.plan.clone();
            let outline = Outline::new(&graph, &target, staging);
            let all = outline.kept_bytes + outline.tenants_bytes + outline.staging.bytes();
            assert_eq!(all, planned.plan.lower_bound_bytes());
            assert!(outline.least_bytes() < all);
            let least = planned.plan.with_staging_within(outline.least_bytes());
            assert_eq!(least.planned_bytes(), outline.least_bytes());
        }
    }
}
