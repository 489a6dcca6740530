//! `plimsoll plan diff`: what sets two plans apart.

use std::collections::BTreeMap;

use plimsoll::bytes::Bytes;
use plimsoll::error::Error;
use plimsoll::graph::Role;
use plimsoll::run::PlanReport;
use serde::Deserialize;

use crate::table::{draw, grouped};

/// Of what is alive at only one of the peaks, so many are shown.
const SHOWN: usize = 12;

/// What matters here of what `plimsoll plan --json` prints.
#[derive(Deserialize)]
pub(crate) struct PlanFile {
    format: u32,
    planned_bytes: u64,
    lower_bound_bytes: u64,
    batch: u64,
    window: u64,
    accumulate: u64,
    parameters: u64,
    dispatches_per_step: u64,
    roles: BTreeMap<String, u64>,
    layers: Vec<Layer>,
    peak_tenants: Vec<Tenant>,
}

#[derive(Deserialize)]
struct Layer {
    layer: String,
    parameters: u64,
    gradients: u64,
    optimizer_state: u64,
    carried_state: u64,
    activations: u64,
}

#[derive(Deserialize)]
struct Tenant {
    name: String,
    bytes: u64,
}

/// All that sets two plans apart, in tables.
pub(crate) fn differences(before: &PlanFile, after: &PlanFile) -> String {
    let parts = [settings(before, after), roles(before, after), layers(before, after), peaks(before, after)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "The plans take the same memory, in the same way.".into() } else { parts.join("\n\n") }
}

impl PlanFile {
    /// The plan that `text` is; errors call it `name`.
    pub(crate) fn parse(text: &[u8], name: &str) -> Result<PlanFile, Error> {
        let plan: Self = serde_json::from_slice(text)
            .map_err(|error| Error::Input(format!("{name}: {error}; wanted what `plimsoll plan --json` prints")))?;
        if plan.format != PlanReport::FORMAT {
            let (found, known) = (plan.format, PlanReport::FORMAT);
            return Err(Error::Input(format!(
                "{name}: it is of format {found}, and this version of Plimsoll reads format {known}; print it again with \
                 this version"
            )));
        }
        Ok(plan)
    }
}

/// Numbers that are not the same in both.
fn settings(before: &PlanFile, after: &PlanFile) -> Option<String> {
    let of = |plan: &PlanFile| [plan.batch, plan.window, plan.accumulate, plan.parameters, plan.dispatches_per_step];
    let names = ["batch", "window", "accumulate", "parameters", "dispatches a step"];
    let rows = names.iter().zip(of(before).into_iter().zip(of(after)));
    let rows = rows.filter(|(_, (a, b))| a != b).map(|(name, (a, b))| vec![name.to_string(), grouped(a), grouped(b)]);
    table(&["", ">before", ">after"], rows.collect())
}

fn roles(before: &PlanFile, after: &PlanFile) -> Option<String> {
    let of = |plan: &PlanFile, role: Role| {
        let key = serde_json::to_value(role).expect("a role is a word");
        key.as_str().and_then(|key| plan.roles.get(key)).copied().unwrap_or(0)
    };
    let change = |role: Role| (role.name().to_string(), of(before, role), of(after, role));
    let mut changes: Vec<(String, u64, u64)> = Role::ALL.into_iter().map(change).collect();
    changes.push(("planned".into(), before.planned_bytes, after.planned_bytes));
    changes.push(("lower bound".into(), before.lower_bound_bytes, after.lower_bound_bytes));
    changed("memory by role", changes)
}

/// Layers by name, with all they have and what of them is alive at the peak.
fn layers(before: &PlanFile, after: &PlanFile) -> Option<String> {
    let mut sizes: Vec<(String, u64, u64)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let layers = before.layers.iter().map(|layer| (layer, true)).chain(after.layers.iter().map(|layer| (layer, false)));
    for (l, is_before) in layers {
        let bytes = [l.parameters, l.gradients, l.optimizer_state, l.carried_state, l.activations];
        let bytes = bytes.into_iter().fold(0, u64::saturating_add);
        let place = *places.entry(&l.layer).or_insert(sizes.len());
        if place == sizes.len() {
            sizes.push((l.layer.clone(), 0, 0));
        }
        if let Some((_, before, after)) = sizes.get_mut(place) {
            let size = if is_before { before } else { after };
            *size = size.saturating_add(bytes);
        }
    }
    changed("memory by layer", sizes)
}

/// What is alive at one of the peaks and not at the other, the largest first.
fn peaks(before: &PlanFile, after: &PlanFile) -> Option<String> {
    let mut left: BTreeMap<(u64, &str), i64> = BTreeMap::new();
    for (plan, sign) in [(before, -1), (after, 1)] {
        for tenant in &plan.peak_tenants {
            *left.entry((tenant.bytes, &tenant.name)).or_default() += sign;
        }
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let apart: Vec<_> = left.into_iter().rev().filter(|(_, count)| *count != 0).collect();
    for ((bytes, name), count) in apart.iter().take(SHOWN) {
        let sign = if *count < 0 { "only before" } else { "only after" };
        let times = if count.abs() == 1 { String::new() } else { format!("{} x ", count.abs()) };
        rows.push(vec![sign.into(), Bytes(*bytes).exact(), format!("{times}{name}")]);
    }
    if apart.len() > SHOWN {
        rows.push(vec![String::new(), String::new(), format!("and {} smaller ones", apart.len() - SHOWN)]);
    }
    table(&["at the peak", ">bytes", ""], rows)
}

/// What has another size in the one than in the other.
fn changed(title: &str, sizes: Vec<(String, u64, u64)>) -> Option<String> {
    let row = |(name, before, after): (String, u64, u64)| {
        let sign = if after < before { "-" } else { "+" };
        let by = format!("{sign}{}", Bytes(after.abs_diff(before)));
        let share = 100.0 * (after as f64 - before as f64) / before.max(1) as f64;
        let share = if before == 0 { "new".into() } else { format!("{share:+.1} %") };
        vec![name, Bytes(before).exact(), Bytes(after).exact(), by, share]
    };
    let rows = sizes.into_iter().filter(|(_, before, after)| before != after).map(row);
    table(&[title, ">before", ">after", ">change", ">"], rows.collect())
}

fn table(titles: &[&str], rows: Vec<Vec<String>>) -> Option<String> {
    (!rows.is_empty()).then(|| draw(titles, rows))
}
