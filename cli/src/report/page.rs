//! The page: one file, whose style and script are in it, and which asks nothing of any network.

use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll::bytes::Bytes;
use plimsoll::config::{Length, StorageConfig};
use plimsoll::run::{History, Look};

use super::axis::number_text;
use super::chart::Chart;
use super::date::{date, date_of};
use super::folder::{Found, PlanFile, Saved, State, SummaryFile};
use super::html::{Cell, details, document, escape, note, pairs, section, table, tiles as tiles_of, warned};
use super::kernels::kernels;
use super::measure::Measurements;
use super::memory::memory;
use super::series::Series;
use super::timeline::timeline;
use crate::plan::{data, model, optimizer, unit};
use crate::progress::{duration, rounded};
use crate::table::grouped;

pub(super) const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Losses whose mean is the training loss while there is no summary, as many as a summary takes.
const RECENT: usize = 50;

/// The page of a run.
pub(super) fn page(found: &Found, measured: &Measurements) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let version = env!("CARGO_PKG_VERSION");
    let parts = [
        header(found),
        tiles(found),
        warnings(found),
        section("about", "What it is", &about(found)),
        section("learning", "How it learnt", &charts(found)),
        section("memory", "Memory", &memory(found, measured)),
        section("plan", "The plan", &plan(found)),
        section("time", "Where the time goes", &kernels(found, &measured.time)),
        writing(found, measured),
        section("checkpoints", "Checkpoints", &checkpoints(&found.saved)),
        section("file", "The run file", &details("config.toml", &run_file(found))),
    ];
    document(&found.name, STYLE, SCRIPT, &parts.concat(), &format!("Made by plimsoll {version}, {}.", date(now)))
}

fn header(found: &Found) -> String {
    let (class, state) = match found.state {
        State::Done => ("good", "ended"),
        State::Ended => ("fair", "ended early"),
        State::UnderWay => ("live", "under way"),
        State::CutOff => ("bad", "cut off"),
    };
    let network = escape(&network(found));
    let name = escape(&found.name);
    format!(
        "<header><p class=\"mark\">Plimsoll</p><h1>{name} <span class=\"state {class}\">{state}</span></h1>\
         <p>{network}</p></header>\n"
    )
}

fn network(found: &Found) -> String {
    model(&found.config, found.plan.as_ref().map_or(0, |plan| plan.outputs))
}

/// The numbers that are looked for first.
fn tiles(found: &Found) -> String {
    let (history, summary) = (&found.history, found.summary.as_ref().filter(|_| found.state != State::UnderWay));
    let made = history.steps.last().copied().unwrap_or(0);
    let all = steps(found).map_or_else(String::new, |all| format!("of {}", grouped(all)));
    let per = unit(&found.config);
    let each = if per == "target" { String::new() } else { format!("nats a {per}") };
    let mut tiles = vec![("steps", grouped(made), all)];
    let train = summary.and_then(|summary| summary.train_loss).or_else(|| recent(history));
    tiles.extend(train.map(|loss| ("training loss", number_text(loss), each.clone())));
    let look = history.looks.last();
    let (loss, accuracy) = match summary {
        Some(SummaryFile { validation_loss, validation_accuracy, .. }) => (*validation_loss, *validation_accuracy),
        None => (look.map(|look| look.loss), look.and_then(|look| look.accuracy)),
    };
    let mut score = |name, loss: Option<f64>, accuracy: Option<f64>| {
        let Some(loss) = loss else { return };
        let right = accuracy.map(|share| format!("{:.2} % right", 100.0 * share));
        let words = (per == "word").then(|| format!("perplexity {:.1}", loss.exp()));
        tiles.push((name, number_text(loss), words.or(right).unwrap_or_else(|| each.clone())));
    };
    score("validation loss", loss, accuracy);
    if let Some(summary) = summary {
        score("test loss", summary.test_loss, summary.test_accuracy);
        let entropy = summary.unigram_entropy.map(number_text);
        tiles.extend(entropy.map(|entropy| ("bare frequencies", entropy, "what counting alone reaches".into())));
        tiles.push(("speed", rounded(summary.tokens_per_second), format!("{per}s a second")));
        tiles.push(("trained for", duration(summary.seconds), String::new()));
    } else if let Some((first, last)) = found.when {
        tiles.push(("trained for", duration(last - first), "from its first report to its last".into()));
    }
    if let Some(plan) = &found.plan {
        let held = summary.and_then(|summary| summary.allocated_bytes).is_some_and(|held| held == plan.planned_bytes);
        tiles.push((
            "memory",
            Bytes(plan.planned_bytes).to_string(),
            if held { "planned, and held" } else { "planned" }.into(),
        ));
    }
    tiles_of(tiles)
}

/// Updates of the whole run; not known where its length is in epochs of data that are not here.
fn steps(found: &Found) -> Option<u64> {
    match (&found.run, found.config.train.length) {
        (Ok(run), _) => run.steps().ok(),
        (Err(_), Length::Steps(steps)) => Some(steps),
        _ => None,
    }
}

/// The mean loss of the last steps.
fn recent(history: &History) -> Option<f64> {
    let (_, losses) = history.losses.split_at(history.losses.len().saturating_sub(RECENT));
    (!losses.is_empty()).then(|| losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / losses.len() as f64)
}

fn warnings(found: &Found) -> String {
    warned(found.warnings.iter().map(String::as_str))
}

fn about(found: &Found) -> String {
    let config = &found.config;
    let train = &config.train;
    let parameters = found.plan.as_ref().map(|plan| format!("; {} parameters", grouped(plan.parameters)));
    let mut rows = vec![("network", network(found) + &parameters.unwrap_or_default())];
    match &found.run {
        Ok(run) => rows.push(data(run, found.plan.as_ref().map_or(0, |plan| plan.vocabulary))),
        Err(why) => rows.push(("data", format!("cannot be read here: {why}"))),
    }
    let micro = if train.accumulate == 1 { String::new() } else { format!(" in {} micro-steps", train.accumulate) };
    let window = found.plan.as_ref().map(|plan| plan.window).filter(|window| *window > 1);
    let window = window.map_or_else(String::new, |window| format!(" x window {window}"));
    rows.push(("step", format!("batch {}{window}{micro}", train.batch)));
    rows.push(("optimizer", optimizer(config)));
    if train.storage == StorageConfig::F16 {
        let parameters =
            if train.parameter_storage == StorageConfig::F16 { ", and of parameters in products" } else { "" };
        rows.push(("storage", format!("f16 between dispatches{parameters}")));
    }
    rows.push(("seed", config.seed.to_string()));
    rows.extend(device(found));
    if let Some((first, last)) = found.when {
        rows.push(("first report", date_of(first)));
        rows.push(("last report", date_of(last)));
    }
    let planned_by = found.plan.as_ref().filter(|_| found.plan_is_its_own).map(|plan| &plan.version);
    let by = found.summary.as_ref().map(|summary| &summary.version).or(planned_by);
    rows.extend(by.map(|version| ("run by", format!("plimsoll {version}"))));
    pairs(rows)
}

/// What it ran on, or was planned for.
fn device(found: &Found) -> Option<(&'static str, String)> {
    let of_plan = found.plan.as_ref().filter(|_| found.plan_is_its_own).map(|PlanFile { target, .. }| {
        let more: Vec<&str> = [&*target.backend, &target.driver].into_iter().filter(|s| !s.is_empty()).collect();
        (&target.name, more.join(", "))
    });
    let of_run = found.summary.as_ref().map(|summary| (&summary.adapter, summary.backend.clone()));
    let (name, more) = match (of_plan, of_run) {
        // The plan knows the driver, too, if it is of the device that the run ended on.
        (Some(plan), Some(run)) if plan.0 == run.0 => plan,
        (plan, run) => run.or(plan)?,
    };
    Some(("adapter", if more.is_empty() { name.clone() } else { format!("{name} ({more})") }))
}

fn charts(found: &Found) -> String {
    let History { steps, losses, learning_rates, grad_norms, loss_scales, looks, .. } = &found.history;
    let column = |name, numbers: &[f32]| {
        Series::new(name, steps.iter().zip(numbers).map(|(step, number)| (*step, f64::from(*number))))
    };
    let of_looks = |name, number: fn(&Look) -> Option<f64>| {
        let points: Vec<_> = looks.iter().filter_map(|look| Some((look.step, number(look)?))).collect();
        (!points.is_empty()).then(|| Series::new(name, points))
    };
    let per = unit(&found.config);
    let loss_unit = if per == "target" { String::new() } else { format!("nats a {per}") };
    let chart = |id, title, main, other, may_be_log| Chart { id, title, unit: String::new(), main, other, may_be_log };
    let loss = Chart {
        unit: loss_unit,
        ..chart("loss", "Loss", column("training", losses).smoothed(), of_looks("validation", |l| Some(l.loss)), true)
    };
    let mut small = vec![
        chart("rate", "Learning rate", column("learning rate", learning_rates), None, false),
        chart("norm", "Gradient norm", column("norm", grad_norms).smoothed(), None, true),
    ];
    if !loss_scales.is_empty() {
        small.push(chart("scale", "Loss scale", column("scale", loss_scales), None, true));
    }
    if let Some(accuracy) = of_looks("accuracy", |look| look.accuracy) {
        small.push(chart("accuracy", "Validation accuracy", accuracy, None, false));
    }
    let small: String = small.iter().map(Chart::html).collect();
    format!("{}<div class=\"charts\">{small}</div>\n", loss.html())
}

fn plan(found: &Found) -> String {
    match &found.planned {
        Ok(planned) => {
            let then = found.plan.as_ref().filter(|plan| plan.planned_bytes != planned.plan.planned_bytes());
            let other = then.map(|plan| {
                let (now, then) = (Bytes(planned.plan.planned_bytes()), Bytes(plan.planned_bytes));
                note(&format!("This version plans {now}, where the run had {then}; what it plans is shown."))
            });
            let dispatches = found.plan.as_ref().map_or(0, |plan| plan.dispatches_per_step);
            let step = note(&format!("A step of training is {} dispatches.", grouped(dispatches)));
            other.unwrap_or_default() + &timeline(&planned.plan) + &step
        }
        Err(why) => note(&format!("The plan cannot be drawn: {why}")),
    }
}

/// What it writes, of a run that learns a text.
fn writing(found: &Found, measured: &Measurements) -> String {
    let is_text = matches!(found.config.data.source, plimsoll::config::Source::Text { .. });
    let content = match &measured.sample {
        _ if !is_text => return String::new(),
        Ok(text) => format!("<pre>{}</pre>\n", escape(text)),
        Err(why) => note(why),
    };
    section("writes", "It writes", &content)
}

fn checkpoints(saved: &[Saved]) -> String {
    if saved.is_empty() {
        return note("There are none.");
    }
    let row = |Saved { step, bytes, written }: &Saved| {
        let when = written.map_or_else(|| "not told".into(), date);
        vec![Cell::number(grouped(*step)), Cell::number(Bytes(*bytes).exact()), Cell::text(when)]
    };
    table(&[">step", ">bytes", "written"], saved.iter().map(row))
}

fn run_file(found: &Found) -> String {
    format!("<pre>{}</pre>", escape(&found.config.to_toml()))
}
