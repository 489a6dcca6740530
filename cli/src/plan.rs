//! `plimsoll plan`: what a run would take, in tables or as JSON.

mod numbers;
mod programs;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

use plimsoll::bytes::Bytes;
use plimsoll::config::{CheckpointConfig, Config, Every, LayerKind, Source, Unit};
use plimsoll::device::Device;
use plimsoll::error::Error;
use plimsoll::graph::Role;
use plimsoll::run::{self, DiskUse, HostUse, PlanReport, Run};
use plimsoll::storage::{read_stream, write_atomically};
use plimsoll::target::{ProfileError, Target};
use plimsoll::training::Bargain;

use crate::args::{DiffArgs, PlanArgs, PlanCommand};
use crate::diff::{PlanFile, differences};
use crate::driver::foretold;
use crate::estimate::{known, measured_before, step};
use crate::explain::{explained, warnings};
use crate::output::{Failure, json, say};
use crate::report::{planned::page as planned_page, write_page};
use crate::table::{draw, grouped};

pub(crate) use numbers::{planned_for, planned_here, report};
use programs::{phases, programs};
pub(crate) use verdict::verdict;

/// Characters of a model's layers that are shown, about.
const MOST_OF_A_MODEL: usize = 400;
/// Tenants of the peak that are shown; the smaller ones are summed up.
const SHOWN_TENANTS: usize = 8;

pub(crate) fn plan(args: &PlanArgs) -> Result<(), Failure> {
    if let Some(PlanCommand::Diff(args)) = &args.command {
        return diff(args);
    }
    let profile = if args.here { None } else { Some(known(profile(&args.profile)?)) };
    let mut config = config(args.run.as_deref())?;
    config.budget.memory = args.memory.or(config.budget.memory);
    let run = Run::new(config)?;
    let (planned, mut report) = match profile {
        Some((target, probed)) => planned_for(&run, &target, None, probed)?,
        None => {
            let mut device = Device::open()?;
            let probed = measured_before(&mut device);
            planned_here(&run, &device, probed)?
        }
    };
    planned.plan.replay()?;
    if args.explain || args.json || args.html.is_some() {
        report = report.with_savings(&planned)?;
    }
    if let Some(file) = &args.svg {
        let PlanReport { batch, window, outputs, .. } = &report;
        let title = format!("{}, batch {batch}, window {window}", shortened(&model(&run.config, *outputs), 80));
        write_atomically(file, planned.plan.svg(&title, report.memory.map(|m| m.bytes)).as_bytes())
            .map_err(Error::from)?;
    }
    if let Some(file) = &args.html {
        write_page(file, &planned_page(&run, &planned, &report))?;
    }
    if args.json {
        report = report.with_timeline(&planned);
        say(&json(&report))?;
    } else {
        let mut parts = vec![
            header(&run, &report, Some(step(&report))),
            roles(&report) + &saved_by_halves(&report),
            layers(&report),
            peak(&report),
            programs(&report),
            phases(&report),
        ];
        if args.explain {
            parts.extend(explained(&report));
        }
        parts.extend(warnings(&report));
        parts.push(verdict(&report));
        say(&parts.join("\n\n"))?;
    }
    if report.fits { Ok(()) } else { Err(Failure::Refused) }
}

fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let read = |path: &Path| {
        PlanFile::parse(&read_stream(path, MOST_BYTES).map_err(Error::from)?, &path.display().to_string())
    };
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    say(&differences(&before, &after))
}

/// More than any profile or plan has.
const MOST_BYTES: u64 = 256 << 20;

/// The run that `file` describes, or the built-in one.
pub(crate) fn config(file: Option<&Path>) -> Result<Config, Error> {
    file.map_or_else(|| Ok(Config::default_run()), |file| Ok(Config::read(file)?))
}

/// A profile that ships with the library, or one in a file.
pub(crate) fn profile(name: &str) -> Result<Target, Error> {
    match Target::profile(name) {
        Err(ProfileError::Unknown { .. }) if Path::new(name).exists() => {
            let text = read_stream(Path::new(name), MOST_BYTES)?;
            Ok(Target::from_json(&String::from_utf8_lossy(&text), name)?)
        }
        shipped => Ok(shipped?),
    }
}

/// What is planned, and for what.
pub(crate) fn header(run: &Run, report: &PlanReport, takes: Option<String>) -> String {
    let rows = about(run, report).into_iter().chain(takes.map(|takes| ("time", takes)));
    draw(&["", ""], rows.map(|(what, is)| vec![what.to_string(), is]))
}

/// The same as names and what they stand for.
pub(crate) fn about(run: &Run, report: &PlanReport) -> Vec<(&'static str, String)> {
    let Target { name, backend, .. } = &report.target;
    let PlanReport { batch, window, accumulate, .. } = report;
    let micro = if *accumulate == 1 { String::new() } else { format!(" in {accumulate} micro-steps") };
    let time = if *window == 1 { String::new() } else { format!(" x window {window}") };
    let again = report.recompute.map_or_else(String::new, |n| format!(", activations recomputed in {n} blocks"));
    let released = if report.release_gradients { ", each gradient released once it is used" } else { "" };
    let (kind, data) = data(run, report.vocabulary);
    let layers = shortened(&model(&run.config, report.outputs), MOST_OF_A_MODEL);
    let rows = [
        Some(("model", format!("{layers}; {} parameters", grouped(report.parameters)))),
        Some((kind, data)),
        Some((
            "step",
            format!("batch {batch}{time}{}{micro}{again}{released}, {}", segments(report), optimizer(&run.config)),
        )),
        bargain(report).map(|is| ("bargain", is)),
        Some(("disk", disk(run, report.disk.as_ref()))),
        Some(("host", report.host.as_ref().map_or_else(|| "not told".into(), host))),
        Some(("driver", foretold(report.reserved.as_ref()))),
        Some(("device", if backend.is_empty() { name.clone() } else { format!("{name} ({backend})") })),
    ];
    rows.into_iter().flatten().collect()
}

/// How a window is worked out in segments.
fn segments(report: &PlanReport) -> String {
    let Some(timesteps) = report.segment.filter(|&n| n < report.window) else { return String::new() };
    let states = report.segment_states.map_or_else(String::new, |n| format!(", {n} states between them kept"));
    format!(" in segments of {timesteps}{states}")
}

/// What a run that did not fit as described was turned into.
fn bargain(report: &PlanReport) -> Option<String> {
    let Bargain { asked_bytes, times_longer, .. } = report.bargain?;
    // Or it is another limit than that of memory, such as that of a binding.
    let than = report.memory.filter(|allowed| asked_bytes > allowed.bytes);
    let than =
        than.map_or("in pieces larger than the device takes".into(), |a| format!("more than {}", Bytes(a.bytes)));
    Some(format!(
        "as described it takes {}, {than}; this makes the same updates, up to the order of sums, in about \
         {times_longer:.2} times the time",
        Bytes(asked_bytes)
    ))
}

/// What is held in the host's memory.
fn host(host: &HostUse) -> String {
    let HostUse { data_bytes, batches_bytes, state_bytes, device_bytes } = *host;
    let device = if device_bytes == 0 { String::new() } else { format!(", the device's {}", Bytes(device_bytes)) };
    format!(
        "{} of memory: data {}, batches {}, a copy of the state {}{device}; beside what the driver takes",
        Bytes(host.bytes()),
        Bytes(data_bytes),
        Bytes(batches_bytes),
        Bytes(state_bytes)
    )
}

/// What is written to disk: how often, and how much of it there is at most.
fn disk(run: &Run, disk: Option<&DiskUse>) -> String {
    let Some(disk) = disk else { return "not told".into() };
    let all = Bytes(disk.bytes());
    let CheckpointConfig { every, keep } = run.config.checkpoint;
    if every == Every::Never {
        return format!("no checkpoints; {all} at the end");
    }
    let apart = match every {
        Every::Steps(1) => "each step".into(),
        _ => format!("every {every}"),
    };
    format!("a checkpoint of {} {apart}, {keep} kept; up to {all} in all", Bytes(disk.checkpoint_bytes))
}

/// What is learnt from: its kind, and how much of it there is.
pub(crate) fn data(run: &Run, vocabulary: u32) -> (&'static str, String) {
    let config = &run.config.data;
    let share = |part: f64| (part * 1e6).round() / 1e4;
    let test = if config.test > 0.0 { format!(", {} % for the test", share(config.test)) } else { String::new() };
    let held_out = format!("{} % held out{test}", share(config.validation));
    match &run.source {
        run::Source::Text(text) => {
            let name = match &config.source {
                Source::Text { text: Some(path), .. } => path.display().to_string(),
                _ => "embedded".into(),
            };
            let units = grouped(text.ids.len() as u64);
            ("text", format!("{name}: {units} {}s, {vocabulary} different; {held_out}", unit(&run.config)))
        }
        run::Source::Examples(examples) => {
            let parts = &examples.parts;
            let [train, validation, test] =
                [&parts.train, &parts.validation, &parts.test].map(|part| grouped(part.len() as u64));
            let kind = config.source.type_name();
            let name = &examples.name;
            (kind, format!("{name}: {train} examples to learn from, {validation} for validation, {test} for the test"))
        }
    }
}

/// What a text is cut into, in full; or what else is predicted.
pub(crate) fn unit(config: &Config) -> &'static str {
    match config.data.source {
        Source::Text { unit: Unit::Char, .. } => "character",
        Source::Text { unit: Unit::Byte, .. } => "byte",
        Source::Text { unit: Unit::Word, .. } => "word",
        _ => "target",
    }
}

/// The layers in one line.
pub(crate) fn model(config: &Config, outputs: u32) -> String {
    config.layers.iter().map(|l| layer(&l.kind, outputs)).collect::<Vec<_>>().join(" > ")
}

/// A model in at most so many characters, and some more: one of a thousand layers has no room in a title.
pub(crate) fn shortened(model: &str, most: usize) -> String {
    if model.chars().count() <= most {
        return model.to_string();
    }
    let begins: String = model.chars().take(most).collect();
    let whole = begins.rsplit_once(" > ").map_or(&begins[..], |(whole, _)| whole);
    format!("{whole} > ... ({} layers)", grouped(model.matches(" > ").count() as u64 + 1))
}

fn layer(kind: &LayerKind, outputs: u32) -> String {
    let name = kind.type_name();
    match kind {
        LayerKind::Embedding { size, .. } => format!("{name} {size}"),
        LayerKind::Rnn { hidden_size, layers, .. }
        | LayerKind::Gru { hidden_size, layers, .. }
        | LayerKind::Lstm { hidden_size, layers, .. } => {
            let stack = if *layers == 1 { String::new() } else { format!("{layers} x ") };
            let both = if kind.is_bidirectional() { " both ways" } else { "" };
            format!("{name} {stack}{hidden_size}{both}")
        }
        LayerKind::Linear { out_features, .. } => format!("{name} {}", out_features.unwrap_or(outputs)),
        LayerKind::Dropout { p } => format!("{name} {p}"),
        _ => name.to_string(),
    }
}

pub(crate) fn optimizer(config: &Config) -> String {
    let train = &config.train;
    let clip = train.clip_norm.map_or_else(String::new, |norm| format!(", gradients clipped at {norm}"));
    let schedule = match train.schedule.type_name() {
        "constant" => String::new(),
        other => format!(", {} schedule", other.replace('_', "-")),
    };
    format!("{}{schedule}{clip}", train.optimizer.type_name())
}

/// Bytes by role, and their sum beside the least it could be.
pub(crate) fn roles(report: &PlanReport) -> String {
    let row = |name: &str, bytes: u64| {
        let share = 100.0 * bytes as f64 / report.planned_bytes.max(1) as f64;
        vec![name.to_string(), Bytes(bytes).exact(), Bytes(bytes).to_string(), format!("{share:.1} %")]
    };
    let mut rows: Vec<_> = report.roles.iter().map(|(role, bytes)| row(role.name(), *bytes)).collect();
    rows.push(row("planned", report.planned_bytes));
    rows.push(row("lower bound", report.lower_bound_bytes));
    rows.push(row("gap", report.gap_bytes()));
    draw(&["memory by role", ">bytes", ">", ">share"], rows)
}

/// What halves save, role by role, and what they leave as it is.
fn saved_by_halves(report: &PlanReport) -> String {
    let Some(full) = &report.roles_in_full else { return String::new() };
    let all: u64 = full.values().sum();
    let row = |name: &str, full: u64, halves: u64| {
        let saved = if halves > full { format!("-{}", Bytes(halves - full)) } else { Bytes(full - halves).to_string() };
        vec![name.to_string(), Bytes(full).to_string(), Bytes(halves).to_string(), saved]
    };
    let of = |roles: &BTreeMap<Role, u64>, role: Role| roles.get(&role).copied().unwrap_or(0);
    let each = Role::ALL.into_iter().map(|role| (role, of(full, role), of(&report.roles, role)));
    let changed = each.filter(|(_, full, halves)| full != halves);
    let mut rows: Vec<_> = changed.map(|(role, full, halves)| row(role.name(), full, halves)).collect();
    rows.push(row("planned", all, report.planned_bytes));
    let kept = [Role::Parameter, Role::Gradient, Role::OptimizerState];
    let kept: u64 = kept.iter().filter_map(|role| report.roles.get(role)).sum();
    format!(
        "\n\n{}\nParameters, their gradients and the optimizer's state stay in full: {}.",
        draw(&["storage", ">in full", ">in halves", ">saved"], rows),
        Bytes(kept)
    )
}

fn layers(report: &PlanReport) -> String {
    let row = |l: &plimsoll::plan::report::LayerBytes| {
        let bytes = [l.parameters, l.gradients, l.optimizer_state, l.carried_state, l.activations, l.kept];
        let shown = bytes.map(|b| if b == 0 { "-".to_string() } else { Bytes(b).to_string() });
        // A segment's output is no window's.
        let slots = if l.kept == 0 || report.segment.is_some() {
            "-".to_string()
        } else {
            format!("{:.1}", l.kept as f64 / l.output as f64)
        };
        std::iter::once(l.layer.clone()).chain(shown).chain([slots]).collect()
    };
    let titles = [
        "memory by layer",
        ">parameters",
        ">gradients",
        ">optimizer",
        ">carried",
        ">alive at peak",
        ">kept for backward",
        ">slots",
    ];
    draw(&titles, report.layers.iter().map(row))
}

/// What is alive when the most is; its sum is the lower bound.
fn peak(report: &PlanReport) -> String {
    let all = &report.peak_tenants;
    let (shown, rest) = all.split_at(all.len().min(SHOWN_TENANTS));
    let mut rows: Vec<(u64, String)> = shown.iter().map(|t| (t.bytes, t.name.clone())).collect();
    let rest_bytes: u64 = rest.iter().map(|t| t.bytes).sum();
    if !rest.is_empty() {
        rows.push((rest_bytes, format!("{} smaller ones", rest.len())));
    }
    let named: u64 = rows.iter().map(|(bytes, _)| bytes).sum();
    rows.push((report.lower_bound_bytes.saturating_sub(named), "padding between them".to_string()));
    let title = match &report.peak {
        Some(peak) => format!("alive at the peak, dispatch {} of `{}`", peak.dispatch, peak.program),
        None => "alive throughout".to_string(),
    };
    draw(&[">bytes", &title], rows.into_iter().map(|(bytes, name)| vec![Bytes(bytes).exact(), name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_has_room_for_some_layers_and_tells_how_many_there_are() {
        let short = "embedding 64 > rnn 256 > linear 112";
        assert_eq!(shortened(short, 90), short);
        let long = vec!["linear 100"; 500].join(" > ");
        let title = shortened(&long, 90);
        assert!(title.ends_with("linear 100 > ... (500 layers)") && title.chars().count() < 120, "{title}");
    }
}
