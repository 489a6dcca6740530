//! Where the time of a step goes: op by op, as it was measured for this page.

use plimsoll::run::BenchReport;
use plimsoll::training::OpTime;

use super::folder::Found;
use super::html::{Cell, note, pairs, table};
use super::measure::Measured;
use crate::progress::rounded;
use crate::table::grouped;

/// Ops that are shown one by one; the shorter ones are summed up.
const SHOWN: usize = 20;

pub(super) fn kernels(found: &Found, measured: &Result<Measured, String>) -> String {
    let Measured { bench, .. } = match measured {
        Ok(measured) => measured,
        Err(why) => return note(why),
    };
    let own = found.plan.as_ref().filter(|_| found.plan_is_its_own);
    let elsewhere = own.map(|plan| &plan.target.name).filter(|name| **name != bench.adapter);
    let mut out = match elsewhere {
        Some(name) => note(&format!("Measured for this page on {}; the run was planned for {name}.", bench.adapter)),
        None => note(&format!("Measured for this page, on {}.", bench.adapter)),
    };
    out += &pairs(step(bench));
    if bench.ops.is_empty() {
        return out + &note("The device does not time its dispatches, so there is no more to tell.");
    }
    out + &ops(bench)
}

fn step(bench: &BenchReport) -> Vec<(&'static str, String)> {
    let ms = |ms: f64| format!("{ms:.2} ms");
    let mut rows = vec![
        ("a step", format!("{}, the median of {}", ms(bench.wall_ms), bench.steps)),
        (
            "recorded in",
            format!("{}, {} dispatches", ms(bench.recording_ms), grouped(bench.dispatches_per_step as u64)),
        ),
        ("speed", format!("{} predictions a second", rounded(bench.tokens_per_second))),
    ];
    rows.extend((!bench.ops.is_empty()).then(|| ("on the device", ms(bench.device_ms()))));
    rows.extend(bench.cpu_ms.map(|cpu| ("processor time", ms(cpu))));
    rows.extend(bench.peaks.map(|peaks| {
        (
            "reached here",
            format!("{:.1} GFLOP/s by a product, {:.1} GB/s number by number", peaks.gflops, peaks.gigabytes),
        )
    }));
    rows
}

fn ops(bench: &BenchReport) -> String {
    let sum = |ops: &[OpTime]| ops.iter().map(|op| op.nanoseconds).sum::<f64>();
    let all = sum(&bench.ops).max(1.0);
    let longest = bench.ops.iter().map(|op| op.nanoseconds).fold(1.0, f64::max);
    let time = |nanoseconds: f64| {
        let share = 100.0 * nanoseconds / all;
        [Cell::number(format!("{:.3}", nanoseconds / 1e6)), Cell::Bar(nanoseconds / longest, format!("{share:.1} %"))]
    };
    let rate = |amount: u64, op: &OpTime, peak: Option<f64>| {
        let reached = amount as f64 / op.nanoseconds.max(1.0);
        let share = peak.map_or_else(String::new, |peak| format!(", {:.0} %", 100.0 * reached / peak));
        Cell::number(if amount == 0 { "-".into() } else { format!("{reached:.1}{share}") })
    };
    let row = |op: &OpTime| {
        let [ms, share] = time(op.nanoseconds);
        vec![
            Cell::Words(format!("{} {}", op.layer, op.op)),
            ms,
            share,
            Cell::text(op.program),
            Cell::number(grouped(op.dispatches)),
            rate(op.flops, op, bench.peaks.map(|peaks| peaks.gflops)),
            rate(op.bytes, op, bench.peaks.map(|peaks| peaks.gigabytes)),
            // Its constants are for `plimsoll bench`.
            Cell::text(op.kernel.split('[').next().unwrap_or_default()),
        ]
    };
    let (shown, rest) = bench.ops.split_at(bench.ops.len().min(SHOWN));
    let mut rows: Vec<_> = shown.iter().map(row).collect();
    if !rest.is_empty() {
        let [ms, share] = time(sum(rest));
        let dispatches = Cell::number(grouped(rest.iter().map(|op| op.dispatches).sum()));
        let mut cells = vec![Cell::text(format!("{} shorter ones", rest.len())), ms, share, Cell::text(""), dispatches];
        cells.extend((0..3).map(|_| Cell::text("")));
        rows.push(cells);
    }
    let titles = ["op", ">ms", "share", "program", ">dispatches", ">GFLOP/s", ">GB/s", "kernel that takes longest"];
    table(&titles, rows)
}
