//! `plimsoll pack`: places buffers of a CSV file in as little memory as it finds.

use std::time::{Duration, Instant};

use plimsoll::bytes::Bytes;
use plimsoll::data::buffers::{Buffers, read};
use plimsoll::error::Error;
use plimsoll::plan::place::{Packer, Packing, judge};
use plimsoll::storage::write_atomically;
use serde::Serialize;

use crate::args::PackArgs;
use crate::output::{Failure, json, say};
use crate::table::{draw, grouped};

/// What came of it.
#[derive(Serialize)]
struct PackReport {
    buffers: usize,
    lower_bound_bytes: u64,
    proved_bytes: u64,
    height_bytes: u64,
    gap_bytes: u64,
    optimal: bool,
    capacity_bytes: Option<u64>,
    fits: bool,
    /// How the places were found.
    found: String,
    effort: u64,
    seconds: f64,
    /// What the file's own offsets come to, if it has any and no two buffers clash.
    given_bytes: Option<u64>,
    /// Why the file's own offsets are wrong.
    given_clash: Option<String>,
}

pub(crate) fn pack(args: &PackArgs) -> Result<(), Failure> {
    let buffers = read(&args.file).map_err(Error::from)?;
    let started = Instant::now();
    let packer = packed(&buffers, args, started);
    let seconds = started.elapsed().as_secs_f64();
    let packing = packer.packing();
    // Nothing is shown that has not been doubted.
    judge(&buffers.intervals, &buffers.aligns, &packing.placements, packing.arena_bytes).map_err(Error::from)?;
    let report = report(&buffers, &packer, &packing, args, seconds);
    if let Some(file) = &args.out {
        write_atomically(file, &buffers.with_offsets(&packing.placements)).map_err(Error::from)?;
    }
    if args.json {
        say(&json(&report))?;
    } else {
        say(&format!("{}\n\n{}", table(&report), verdict(&report)))?;
    }
    if report.fits { Ok(()) } else { Err(Failure::Refused) }
}

/// Packs until there is no more to gain, or the effort or the time is spent.
fn packed(buffers: &Buffers, args: &PackArgs, started: Instant) -> Packer {
    let capacity = args.capacity.map(|bytes| bytes.0);
    let packer = Packer::aligned(&buffers.intervals, &buffers.aligns);
    let mut packer = packer.content_with(capacity.unwrap_or(0));
    if let Some(effort) = args.effort {
        packer.improve(effort);
        return packer;
    }
    let searching = Instant::now();
    loop {
        // A round is not begun that would end too late, as far as the rounds before it tell.
        let (effort, next) = (packer.effort(), packer.next_effort());
        let pace = if effort == 0 { 1e-6 } else { searching.elapsed().as_secs_f64() / effort as f64 };
        let round = Duration::try_from_secs_f64((next - effort) as f64 * pace).unwrap_or(Duration::MAX);
        let hopeless = capacity.is_some_and(|capacity| packer.proved_bytes() > capacity);
        if hopeless || started.elapsed().saturating_add(round) > args.time.0 || !packer.improve(next) {
            return packer;
        }
    }
}

fn report(buffers: &Buffers, packer: &Packer, packing: &Packing, args: &PackArgs, seconds: f64) -> PackReport {
    let height = packing.arena_bytes;
    let proved = packer.proved_bytes();
    let given = buffers.given.as_ref().map(|given| {
        let end = given.iter().map(|at| at.offset.saturating_add(at.bytes)).max().unwrap_or(0);
        judge(&buffers.intervals, &buffers.aligns, given, end).map(|()| end)
    });
    PackReport {
        buffers: buffers.ids.len(),
        lower_bound_bytes: packing.lower_bound_bytes,
        proved_bytes: proved,
        height_bytes: height,
        gap_bytes: height - proved,
        optimal: height == proved,
        capacity_bytes: args.capacity.map(|bytes| bytes.0),
        fits: args.capacity.is_none_or(|capacity| height <= capacity.0),
        found: packer.found().to_string(),
        effort: packer.effort(),
        seconds,
        given_bytes: given.as_ref().and_then(|given| given.as_ref().ok().copied()),
        given_clash: given.and_then(|given| given.err().map(|clash| buffers.describe(&clash))),
    }
}

fn table(report: &PackReport) -> String {
    let row = |what: &str, bytes: u64, about: String| {
        let share = 100.0 * bytes as f64 / report.lower_bound_bytes.max(1) as f64;
        vec![what.into(), Bytes(bytes).exact(), Bytes(bytes).to_string(), format!("{share:.2} %"), about]
    };
    let of_the_found = match report.seconds {
        seconds if seconds < 0.1 => format!("by {}, in {:.1} ms", report.found, seconds * 1e3),
        seconds => format!("by {}, in {seconds:.1} s", report.found),
    };
    let mut rows = vec![row("lower bound", report.lower_bound_bytes, "alive at once".into())];
    if report.proved_bytes > report.lower_bound_bytes {
        rows.push(row("proved", report.proved_bytes, "by searches that found nothing smaller".into()));
    }
    rows.push(row("height", report.height_bytes, of_the_found));
    rows.push(row("gap", report.gap_bytes, format!("effort {}", grouped(report.effort))));
    rows.extend(report.capacity_bytes.map(|bytes| row("capacity", bytes, String::new())));
    match (&report.given_clash, report.given_bytes) {
        (Some(clash), _) => rows.push(vec!["given".into(), "-".into(), "-".into(), "-".into(), clash.clone()]),
        (None, Some(bytes)) => rows.push(row("given", bytes, "as the file has it; no two clash".into())),
        (None, None) => {}
    }
    let title = format!("memory for {} buffers", grouped(report.buffers as u64));
    draw(&[&title, ">bytes", ">", ">share", ""], rows)
}

/// Whether they fit, and what is known beyond that.
fn verdict(report: &PackReport) -> String {
    let PackReport { height_bytes, proved_bytes, gap_bytes, .. } = *report;
    let exact = |bytes| Bytes(bytes).exact();
    match report.capacity_bytes {
        Some(capacity) if report.fits => {
            format!(
                "FITS: {} of {}; {} to spare.",
                exact(height_bytes),
                exact(capacity),
                exact(capacity - height_bytes)
            )
        }
        Some(capacity) if proved_bytes > capacity => format!(
            "REFUSED: no packing fits. The capacity is {}, and {} are needed whatever the offsets.",
            exact(capacity),
            exact(proved_bytes)
        ),
        Some(capacity) => format!(
            "REFUSED: {} were found to be enough, and the capacity is {}. Whether a packing fits is open: nothing \
             shows that more than {} are needed. A longer --time, or more --effort, may find one.",
            exact(height_bytes),
            exact(capacity),
            exact(proved_bytes)
        ),
        None if report.optimal => "OPTIMAL: no packing is smaller.".into(),
        None => format!(
            "FOUND: a smaller one may exist, by {} at most. A longer --time, or more --effort, may find it.",
            exact(gap_bytes)
        ),
    }
}
