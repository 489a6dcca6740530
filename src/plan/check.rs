//! Holds a plan against a device's limits and reports everything that exceeds them.
//!
//! wgpu checks some of these when it is too late, and some, such as shared memory, not at all.

use std::collections::HashSet;

use super::Plan;
use crate::bytes::Bytes;
use crate::graph::Role;
use crate::ids::ValueId;
use crate::schedule::Step;

/// One limit exceeded, with both numbers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{layer}: {what} {limit} is {allowed}, and {needed} is needed")]
pub struct Violation {
    /// The limit's name, as WebGPU or `run.toml` writes it.
    pub limit: &'static str,
    /// What is needed.
    pub needed: u64,
    /// What is allowed.
    pub allowed: u64,
    /// The layer or tensor that needs the most.
    pub layer: String,
    /// The words that lead to the limit: "the budget", "the device's", "DXGI's".
    #[serde(skip)]
    pub what: &'static str,
    /// Whose word the limit is, where that is not the one whose limit it is: "the system", of a host's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether the numbers are bytes.
    #[serde(skip)]
    pub in_bytes: bool,
}

impl Violation {
    /// The violation as a sentence, sizes in words.
    pub fn sentence(&self) -> String {
        let number = |n: u64| if self.in_bytes { Bytes(n).to_string() } else { n.to_string() };
        let (needed, allowed) = (number(self.needed), number(self.allowed));
        let by = self.by.as_ref().map_or_else(String::new, |by| format!(", by {by}"));
        format!("{} {} allows {allowed}{by}, and {} needs {needed}", self.what, self.limit, self.layer)
    }

    /// The layer or tensor alone.
    fn of(&self) -> &str {
        self.layer.split(" (").next().unwrap_or(&self.layer)
    }
}

/// Every limit exceeded: each limit once a layer, by whatever of it needs the most.
pub(super) fn check(plan: &Plan, memory: Option<u64>) -> Vec<Violation> {
    let mut found = Vec::new();
    memory_budget(plan, memory, &mut found);
    buffers(plan, &mut found);
    let mut seen = HashSet::new();
    let mut last: Option<&Step> = None;
    for step in &plan.schedule.steps {
        bindings(plan, step, &mut found);
        grid(plan, step, &mut found);
        // Threads and shared memory are the shader's, so each is looked at once in a layer; timesteps mostly have the same.
        let again = last.is_some_and(|last| last.node == step.node && last.dispatch.shader == step.dispatch.shader);
        if !again && seen.insert((&plan.graph[step.node].label, step.dispatch.shader.label())) {
            workgroup(plan, step, &mut found);
        }
        last = Some(step);
    }
    // All of one limit stand together, in the order in which the limits were met.
    let mut limits: Vec<&str> = Vec::new();
    for violation in &found {
        if !limits.contains(&violation.limit) {
            limits.push(violation.limit);
        }
    }
    found.sort_by_key(|v| limits.iter().position(|l| *l == v.limit));
    found
}

/// Notes a violation, or that one already noted is worse here. Plans have hundreds of thousands of dispatches, most of
/// which exceed nothing: who they belong to is put in words only where it is told.
fn hold(found: &mut Vec<Violation>, needed: u64, allowed: u64, new: impl FnOnce() -> Violation) {
    if needed <= allowed {
        return;
    }
    let new = new();
    match found.iter_mut().find(|v| v.limit == new.limit && v.of() == new.of()) {
        Some(known) if known.needed >= new.needed => {}
        Some(known) => *known = new,
        None => found.push(new),
    }
}

/// A limit of the device.
#[derive(Clone, Copy)]
struct Limit {
    name: &'static str,
    allowed: u64,
    in_bytes: bool,
}

impl Limit {
    fn of(name: &'static str, allowed: impl Into<u64>) -> Self {
        Self { name, allowed: allowed.into(), in_bytes: false }
    }

    fn of_bytes(name: &'static str, allowed: impl Into<u64>) -> Self {
        Self { in_bytes: true, ..Self::of(name, allowed) }
    }

    /// Notes it where `who` needs more.
    fn hold(self, found: &mut Vec<Violation>, needed: u64, who: impl FnOnce() -> String) {
        let Self { name: limit, allowed, in_bytes } = self;
        let what = "the device's";
        hold(found, needed, allowed, || Violation { limit, needed, allowed, layer: who(), what, by: None, in_bytes });
    }
}

fn memory_budget(plan: &Plan, memory: Option<u64>, found: &mut Vec<Violation>) {
    let needed = plan.planned_bytes();
    let budget = memory.map(|allowed| ("memory", "the budget", allowed));
    let told = plan.target.memory_limits().map(|(limit, by, allowed)| (limit, by.possessive(), allowed));
    for (limit, what, allowed) in budget.into_iter().chain(told) {
        let layer = || "the whole plan".to_string();
        let new = || Violation { limit, needed, allowed, layer: layer(), what, by: None, in_bytes: true };
        hold(found, needed, allowed, new);
    }
}

fn buffers(plan: &Plan, found: &mut Vec<Violation>) {
    let limit = plan.target.limits.max_buffer_size;
    for (index, arena) in plan.arenas.iter().enumerate() {
        if arena.role == Role::Texture {
            let limit = Limit::of("max_texture_dimension_2d", plan.target.limits.max_texture_dimension_2d);
            limit.hold(found, plan.texture.rows, || arena.role.name().to_string());
            continue;
        }
        // Where in them a range begins is told in 32 bits.
        let limit = if arena.role == Role::Uniforms { limit.min(u32::MAX.into()) } else { limit };
        Limit::of_bytes("max_buffer_size", limit).hold(found, arena.bytes, || plan.largest_of(index));
    }
    for (bytes, what) in
        [(plan.staging.upload_bytes, "the upload ring"), (plan.staging.readback_bytes, "the readback ring")]
    {
        Limit::of_bytes("max_buffer_size", limit).hold(found, bytes, || what.to_string());
    }
}

fn bindings(plan: &Plan, step: &Step, found: &mut Vec<Violation>) {
    let limits = &plan.target.limits;
    let layer = || plan.graph[step.node].label.clone();
    let count = Limit::of("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage);
    let buffers = step.accesses.iter().filter(|access| access.texture_row.is_none());
    count.hold(found, buffers.count() as u64, layer);
    if plan.target.wants_uniforms(step.dispatch.params.len()) {
        let limit = Limit::of_bytes("max_uniform_buffer_binding_size", limits.max_uniform_buffer_binding_size);
        limit.hold(found, plan.uniforms.stride, layer);
    }
    let limit = Limit::of_bytes("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size);
    for access in &step.accesses {
        let value = || access.writes.or(access.reads).expect("a binding touches a value");
        limit.hold(found, access.bound_bytes(), || plan.name_of(value()));
    }
}

fn grid(plan: &Plan, step: &Step, found: &mut Vec<Violation>) {
    let allowed = plan.target.limits.max_compute_workgroups_per_dimension;
    let most = step.dispatch.groups.iter().copied().max().unwrap_or(0);
    let limit = Limit::of("max_compute_workgroups_per_dimension", allowed);
    limit.hold(found, most.into(), || plan.graph[step.node].label.clone());
}

fn workgroup(plan: &Plan, step: &Step, found: &mut Vec<Violation>) {
    let limits = &plan.target.limits;
    let group = step.dispatch.shader.workgroup();
    let who = || format!("{} ({})", plan.graph[step.node].label, step.dispatch.shader.name);
    let threads = [
        ("max_compute_invocations_per_workgroup", group.invocations(), limits.max_compute_invocations_per_workgroup),
        ("max_compute_workgroup_size_x", group.size[0], limits.max_compute_workgroup_size_x),
        ("max_compute_workgroup_size_y", group.size[1], limits.max_compute_workgroup_size_y),
    ];
    for (limit, needed, allowed) in threads {
        Limit::of(limit, allowed).hold(found, needed.into(), who);
    }
    let shared = Limit::of_bytes("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size);
    shared.hold(found, group.storage_bytes.into(), who);
}

impl Plan {
    /// What messages call `value`: its layer, its type, its role.
    pub fn name_of(&self, value: ValueId) -> String {
        let value = &self.graph[value];
        match value.role {
            Role::Activation => format!("{} ({} activation)", value.label, value.ty),
            _ => format!("{} ({})", value.label, value.ty),
        }
    }

    /// The largest thing in the arena at `index`.
    fn largest_of(&self, index: usize) -> String {
        let arena = crate::ids::ArenaId::at(index);
        let values = self.graph.value_ids().filter_map(|v| Some((self.values[v.index()]?, v)));
        let largest = values.filter(|(p, _)| p.arena == arena).max_by_key(|(p, v)| (p.bytes, std::cmp::Reverse(*v)));
        largest.map_or_else(|| self.arenas[index].role.name().to_string(), |(_, v)| self.name_of(v))
    }
}
