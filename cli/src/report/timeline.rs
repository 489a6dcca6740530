//! The plan over its dispatches: every value a rectangle where it lies and as long as it lives.

use std::fmt::Write;

use plimsoll::bytes::Bytes;
use plimsoll::graph::Role;
use plimsoll::plan::{Plan, Rectangle};

use super::html::{escape, note};
use crate::table::grouped;

/// Rectangles that are drawn; the smallest of more are left out.
const MOST: usize = 3000;
/// Width and height of the picture in its own units.
const SIZE: f64 = 1000.0;
/// Lines on which the names of programs stand in turn, as a short one is narrower than its name.
const LINES: usize = 3;

pub(super) fn timeline(plan: &Plan) -> String {
    let total = plan.planned_bytes().max(1);
    let steps = plan.schedule.steps.len().max(1);
    let x = |step: usize| SIZE * step as f64 / steps as f64;
    let y = |bytes: u64| SIZE * (1.0 - bytes as f64 / total as f64);
    let mut all = plan.timeline();
    let count = all.len();
    // The largest by area first, which keeps the order of those that stay of no account: none overlap.
    let area = |r: &Rectangle| (r.steps.len() as u128) * u128::from(r.bytes.end - r.bytes.start);
    all.sort_by_key(|r| std::cmp::Reverse(area(r)));
    all.truncate(MOST);
    let (mut rectangles, mut names) = (String::new(), String::new());
    for Rectangle { steps, bytes, role, name } in &all {
        let at = Role::ALL.iter().position(|r| r == role).unwrap_or(0);
        let (left, top) = (x(steps.start), y(bytes.end));
        let (width, height) = (x(steps.end) - left, y(bytes.start) - top);
        let _ = writeln!(
            rectangles,
            "<rect class=\"r{at}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             data-n=\"{}\"/>",
            escape(name)
        );
        // The name stands in the rectangle where it is large enough to be read.
        if height > 40.0 && width > 200.0 {
            let (left, top, width) = (left / 10.0, (top + height / 2.0) / 10.0, width / 10.0);
            let _ = write!(
                names,
                "<span class=\"t{at}\" style=\"left:{left:.2}%;top:{top:.2}%;width:{width:.2}%\">{}</span>",
                escape(name)
            );
        }
    }
    let mut labels = String::new();
    for quarter in 0..=4u64 {
        let bytes = total / 4 * quarter;
        let _ = write!(labels, "<span style=\"top:{:.2}%\">{}</span>", y(bytes) / 10.0, Bytes(bytes));
    }
    let (mut programs, mut borders) = (String::new(), String::new());
    for (i, program) in plan.schedule.programs.iter().enumerate() {
        let left = x(program.steps.start) / 10.0;
        let side = if left > 76.0 { format!("right:{:.2}%", 100.0 - left) } else { format!("left:{left:.2}%") };
        let (line, name) = (i % LINES, escape(program.name));
        let dispatches = grouped(program.steps.len() as u64);
        let _ = write!(programs, "<span class=\"l{line}\" style=\"{side}\">{name} <small>{dispatches}</small></span>");
        if i > 0 {
            let _ = writeln!(borders, "<path class=\"border\" d=\"M{:.1} 0V{SIZE}\"/>", x(program.steps.start));
        }
    }
    let bound = y(plan.lower_bound_bytes());
    let label = format!(
        "Memory over {} dispatches of {} programs; {} at most",
        grouped(steps as u64),
        plan.schedule.programs.len(),
        Bytes(total)
    );
    let mut out = format!(
        "<figure class=\"chart\"><div class=\"plot tall\" tabindex=\"0\" role=\"img\" aria-label=\"{}\">\
         <div class=\"ys\">{labels}</div><div class=\"xs programs\">{programs}</div>\n\
         <svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\n{rectangles}{borders}\
         <path class=\"line load\" d=\"M0 {bound:.1}H{SIZE}\"/></svg>\n\
         <div class=\"names\">{names}</div><div class=\"tip\"></div></div></figure>\n",
        escape(&label)
    );
    out += &legend(plan);
    out += &note(
        "Memory upwards, dispatches to the right, each program with how many it has. The red line is the lower bound, \
         below which no placement can lie. A rectangle tells its name when it is pointed at or tapped.",
    );
    if count > MOST {
        out += &note(&format!(
            "The smallest {} of {} values are not drawn.",
            grouped((count - MOST) as u64),
            grouped(count as u64)
        ));
    }
    out
}

fn legend(plan: &Plan) -> String {
    let roles = plan.roles();
    let key = |(at, role): (usize, &Role)| {
        let bytes = roles.iter().find(|(r, _)| r == role).map_or(0, |(_, bytes)| *bytes);
        (bytes > 0).then(|| format!("<span><i class=\"swatch r{at}\"></i>{}</span>", escape(role.name())))
    };
    format!("<p class=\"legend\">{}</p>\n", Role::ALL.iter().enumerate().filter_map(key).collect::<String>())
}
