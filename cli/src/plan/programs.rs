//! Programs and phases of a run, and what is in memory in each.

use plimsoll::bytes::Bytes;
use plimsoll::run::{PhaseReport, PlanReport};

use crate::table::{draw, grouped};

/// The programs, and how what is made on the way comes and goes in them.
pub(super) fn programs(report: &PlanReport) -> String {
    let most = report.peak.as_ref().map_or(0, |p| p.activation_bytes);
    let rows = report.programs.iter().map(|program| {
        let runs = match program.runs_per_step {
            0 => "-".to_string(),
            runs => format!("{runs} x"),
        };
        let alive = [Bytes(program.peak_bytes).to_string(), skyline(&program.alive_bytes, most)];
        [program.name.to_string(), program.dispatches.to_string(), runs].into_iter().chain(alive).collect()
    });
    let alive = "activations alive, from its first dispatch to its last";
    let table = draw(&["program", ">dispatches", ">a step", ">at most", alive], rows);
    let all = grouped(report.dispatches_per_step);
    format!(
        "{table}\nA step of training is {all} dispatches. Weights and checkpoints travel through the staging alone."
    )
}

/// What is in use in each phase. None is given more or less memory than another.
pub(super) fn phases(report: &PlanReport) -> String {
    let most = report.phases.iter().map(PhaseReport::bytes).max();
    let row = |phase: &PhaseReport| {
        let by = if phase.programs.is_empty() { "-".to_string() } else { phase.programs.join(", ") };
        let bytes = [phase.kept_bytes, phase.activation_bytes, phase.bytes()].map(|bytes| Bytes(bytes).to_string());
        let mark = if Some(phase.bytes()) == most { "the peak" } else { "" };
        [phase.name.to_string(), by].into_iter().chain(bytes).chain([mark.to_string()]).collect()
    };
    let table = draw(&["phase", "programs", ">kept", ">made on the way", ">in use", ""], report.phases.iter().map(row));
    format!("{table}\nThe device holds {} in every phase.", Bytes(report.planned_bytes))
}

/// Heights as a line of blocks, 50 at most, each the highest of what it stands for.
fn skyline(heights: &[u64], most: u64) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 50;
    let width = heights.len().min(WIDTH);
    let column = |i: usize| {
        let (from, to) = (i * heights.len() / width, (i + 1) * heights.len() / width);
        let height = heights.get(from..to).unwrap_or_default().iter().copied().max().unwrap_or(0);
        let eighths = (u128::from(height) * 8).div_ceil(u128::from(most.max(1)));
        let eighths = usize::try_from(eighths).unwrap_or(usize::MAX);
        BLOCKS.get(eighths).copied().unwrap_or('█')
    };
    (0..width).map(column).collect()
}
