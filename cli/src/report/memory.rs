//! Memory: what was planned by role, what the device held, and the load line.

use std::fmt::Write;

use plimsoll::bytes::Bytes;
use plimsoll::graph::Role;

use super::folder::{Allowed, Found, PlanFile};
use super::html::{Cell, escape, note, table};
use super::measure::{Measured, Measurements};
use crate::table::grouped;

/// From this many times the plan on, a load line is not drawn.
const FAR: u64 = 20;

pub(super) fn memory(found: &Found, measured: &Measurements) -> String {
    let Some(plan) = &found.plan else {
        let why = found.planned.as_ref().err().cloned().unwrap_or_default();
        return note(&format!("The plan cannot be told: {why}"));
    };
    let held = held(found, measured.time.as_ref().ok());
    gauge(plan, held.as_ref()) + &by_role(plan, held.as_ref())
}

/// Bytes that a device held, and when.
struct Held {
    bytes: u64,
    when: &'static str,
}

/// What the device held in the run, or else when it was measured for this page.
fn held(found: &Found, measured: Option<&Measured>) -> Option<Held> {
    let in_the_run = found.summary.as_ref().and_then(|summary| summary.allocated_bytes);
    let now = measured.and_then(|measured| measured.held);
    let of = |when| move |bytes| Held { bytes, when };
    in_the_run.map(of("at the end of the run")).or(now.map(of("when this page was made")))
}

/// Planned above measured, both below the load line.
fn gauge(plan: &PlanFile, held: Option<&Held>) -> String {
    let most = held.map_or(0, |held| held.bytes).max(plan.planned_bytes);
    // A line that is far away is told of, and the bars are drawn as if there were none.
    let far = |allowed: &&Allowed| allowed.bytes / FAR >= most;
    let drawn = plan.memory.as_ref().filter(|allowed| !far(allowed));
    let full = drawn.map_or(most, |allowed| allowed.bytes.max(most)).max(1);
    let percent = |bytes: u64| 100.0 * bytes as f64 / full as f64;
    let parts: String = Role::ALL.iter().enumerate().fold(String::new(), |mut out, (i, role)| {
        let bytes = bytes_of(plan, *role);
        let _ = write!(out, "<i class=\"r{i}\" style=\"width:{:.3}%\"></i>", percent(bytes));
        out
    });
    let bar = |name: &str, parts: &str, text: &str| {
        let (name, text) = (escape(name), escape(text));
        format!(
            "<div class=\"gauge\"><span>{name}</span><div class=\"hull\">{parts}</div>\
             <span class=\"n\">{text}</span></div>\n"
        )
    };
    let mut out = bar("planned", &parts, &Bytes(plan.planned_bytes).to_string());
    match held {
        Some(held) => {
            let part = format!("<i class=\"held\" style=\"width:{:.3}%\"></i>", percent(held.bytes));
            out += &bar("measured", &part, &Bytes(held.bytes).to_string());
        }
        None => out += &bar("measured", "", "not known"),
    }
    let line = match &plan.memory {
        None => "No one limits the memory, so there is no load line.".into(),
        Some(Allowed { bytes, by }) if drawn.is_none() => {
            let times = grouped(bytes / most.max(1));
            format!(
                "The load line is far away: {} allows {}, which is {times} times as much.",
                by.words(),
                Bytes(*bytes)
            )
        }
        Some(Allowed { bytes, by }) => {
            let (whole, by) = (Bytes(*bytes), by.words());
            let share = 100.0 * plan.planned_bytes as f64 / (*bytes).max(1) as f64;
            format!("The load line, at the right, is the {whole} that {by} allows; the plan takes {share:.1} % of it.")
        }
    };
    let class = if drawn.is_some() { "gauges lined" } else { "gauges" };
    format!("<div class=\"{class}\">{out}</div>{}", note(&line))
}

fn by_role(plan: &PlanFile, held: Option<&Held>) -> String {
    let largest = plan.roles.values().copied().max().unwrap_or(0).max(1) as f64;
    let row = |(i, role): (usize, &Role)| {
        let bytes = bytes_of(plan, *role);
        let share = 100.0 * bytes as f64 / plan.planned_bytes.max(1) as f64;
        vec![
            Cell::Role(i, role.name()),
            Cell::number(Bytes(bytes).exact()),
            Cell::Bar(bytes as f64 / largest, format!("{share:.1} %")),
        ]
    };
    let shown = |role: Role| !role.is_seldom() || bytes_of(plan, role) > 0;
    let mut rows: Vec<_> = Role::ALL.iter().enumerate().filter(|(_, role)| shown(**role)).map(row).collect();
    let mut sum = |name: &str, bytes: u64, of: &str| {
        rows.push(vec![Cell::text(name), Cell::number(Bytes(bytes).exact()), Cell::Words(of.into())]);
    };
    sum("planned", plan.planned_bytes, "the sum of these");
    if let Some(held) = held {
        let difference = match held.bytes.cmp(&plan.planned_bytes) {
            std::cmp::Ordering::Equal => format!("{}, to the byte", held.when),
            _ => format!("{}, {:+} B", held.when, i128::from(held.bytes) - i128::from(plan.planned_bytes)),
        };
        sum("measured", held.bytes, &difference);
    }
    sum("lower bound", plan.lower_bound_bytes, "no placement could take less");
    let why = match held {
        Some(_) => "The device's counters tell the sum of all buffers and not whose they are.",
        None => "What the device held is not known: the run has not ended, or its backend does not count.",
    };
    table(&["memory by role", ">bytes", ""], rows) + &note(why)
}

/// What the plan has of `role`, which is known by its name in JSON.
fn bytes_of(plan: &PlanFile, role: Role) -> u64 {
    let name = serde_json::to_value(role).unwrap_or_default();
    name.as_str().and_then(|name| plan.roles.get(name)).copied().unwrap_or(0)
}
