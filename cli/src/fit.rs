//! `plimsoll fit`: memory against time, in every way a run's updates can be made.

mod picture;

use std::path::Path;

use plimsoll::bytes::Bytes;
use plimsoll::config::Config;
use plimsoll::error::Error;
use plimsoll::plan::Rates;
use plimsoll::run::{Probed, Run};
use plimsoll::storage::write_atomically;
use plimsoll::target::Target;
use plimsoll::training::{Offer, Planned, Storage, Training, Way};
use serde::Serialize;

use crate::args::FitArgs;
use crate::estimate::known;
use crate::output::{Failure, json, say};
use crate::plan::{config, model, optimizer, profile};
use crate::table::draw;
use picture::picture;

/// What is known of the ways to make a run's updates.
#[derive(Serialize)]
struct Fit {
    /// Of the JSON; fields may be added without a new one.
    format: u32,
    version: &'static str,
    /// What it was planned for.
    target: String,
    /// The budget, or what the device has.
    memory: Option<u64>,
    /// What the times rest on.
    rates: Rates,
    /// The adapter that was measured for them; none where they are assumed.
    probed: Option<String>,
    /// Of all ways those of which none is both faster and smaller than another, the fastest first.
    front: Vec<Offer>,
    /// The same with what lies between dispatches in halves, which is another run.
    front_in_halves: Vec<Offer>,
    /// The fastest of `front` that fits.
    chosen: Option<Offer>,
    /// What that takes as it is planned: staging is cut where it has to be, and `bytes` is with the least of it.
    planned_bytes: Option<u64>,
    /// What sets that apart from the run as described, as lines of a run file.
    lines: Vec<String>,
    /// The run as described.
    described: Option<Offer>,
    /// Where nothing fits, what the smallest of `front` exceeds.
    exceeded: Vec<String>,
}

impl Fit {
    /// What is spoken of and is not on the front, as something else is both faster and smaller.
    fn beside_the_front(&self) -> Vec<Offer> {
        let mut beside: Vec<Offer> = [self.described, self.chosen].into_iter().flatten().collect();
        beside.retain(|offer| !self.front.contains(offer));
        beside.dedup();
        beside
    }
}

pub(crate) fn fit(args: &FitArgs) -> Result<(), Failure> {
    let (target, probed) = known(profile(&args.profile)?);
    let mut config = config(args.run.as_deref())?;
    config.budget.memory = args.memory.or(config.budget.memory);
    let run = Run::new(config)?;
    run.batches()?;
    let fit = find(&run, &target, probed)?;
    if let Some(file) = &args.svg {
        write_atomically(file, picture(&run, &fit).as_bytes()).map_err(Error::from)?;
    }
    if let (Some(file), Some(chosen)) = (&args.out, &fit.chosen) {
        save(&run.config, chosen.way, file)?;
    }
    say(&if args.json { json(&fit) } else { text(&run, &fit, args.out.as_deref()) })?;
    if fit.chosen.is_some() { Ok(()) } else { Err(Failure::Refused) }
}

fn find(run: &Run, target: &Target, probed: Option<Probed>) -> Result<Fit, Error> {
    let rates = target.rates.unwrap_or(Rates::assumed());
    let training = run.training()?;
    let offers = training.offers(target, &rates)?;
    let described = offers.iter().find(|offer| offer.way == training.way()).copied();
    let fits = |offer: &Offer| {
        let allowed = training.allowed(target).is_none_or(|allowed| offer.bytes <= allowed);
        let planned = if allowed { training.offered(offer, target).ok() } else { None };
        planned.filter(Planned::fits).map(|planned| (*offer, planned.plan.planned_bytes()))
    };
    let found = described.as_ref().and_then(fits).or_else(|| offers.iter().find_map(fits));
    let (chosen, planned_bytes) = found.unzip();
    let lines = chosen.map_or_else(Vec::new, |chosen| training.in_way(chosen.way).lines_beside(&training));
    let front = |training: &Training, offers: Vec<Offer>| {
        let mut offers = training.beside_unsaved(offers, target, &rates);
        Training::keep_front(&mut offers);
        offers
    };
    let offers = front(&training, offers);
    let smallest = offers.last().filter(|_| chosen.is_none()).map(|offer| training.offered(offer, target));
    let smallest = smallest.transpose()?.map(|planned| planned.plan.violations(planned.memory()));
    let exceeded = smallest.into_iter().flatten().map(|violation| violation.sentence()).collect();
    let halves = (training.storage == Storage::F32 && training.learn).then(|| training.clone().storage(Storage::F16));
    Ok(Fit {
        format: 1,
        version: env!("CARGO_PKG_VERSION"),
        target: target.name.clone(),
        memory: training.allowed(target),
        rates,
        probed: probed.map(|probed| probed.adapter),
        front: offers,
        front_in_halves: match halves {
            Some(halves) => front(&halves, halves.offers(target, &rates)?),
            None => Vec::new(),
        },
        chosen,
        planned_bytes,
        lines,
        described,
        exceeded,
    })
}

/// Writes the run in another way.
fn save(config: &Config, way: Way, file: &Path) -> Result<(), Error> {
    let mut config = config.clone();
    config.train.accumulate = way.accumulate;
    config.budget.segment = way.segments.map(|s| s.timesteps);
    config.budget.segment_states = way.segments.and_then(|s| s.states);
    config.budget.recompute = way.recompute;
    config.budget.release_gradients = way.release_gradients;
    config.budget.keep_copies = way.keep_copies;
    write_atomically(file, config.to_toml().as_bytes())?;
    Ok(())
}

fn text(run: &Run, fit: &Fit, out: Option<&Path>) -> String {
    let about = format!(
        "{}; batch {}, {}, on {}",
        model(&run.config, outputs(run)),
        run.config.train.batch,
        optimizer(&run.config),
        fit.target
    );
    let mut shown = fit.front.clone();
    for beside in fit.beside_the_front() {
        let at = shown.partition_point(|offer| offer.seconds <= beside.seconds);
        shown.insert(at, beside);
    }
    let mut parts = vec![about, table("memory", fit, &shown)];
    if !fit.front_in_halves.is_empty() {
        parts.push(table("storage = \"f16\"", fit, &fit.front_in_halves));
    }
    let times = match &fit.probed {
        Some(adapter) => format!("what {adapter} was found to reach"),
        None => "the figures of a software adapter on two cores: trust their ratios".into(),
    };
    parts.push(format!(
        "Every row makes the updates of the run as described, up to the order of sums; with `storage = \"f16\"` numbers \
         are rounded\notherwise. What saves less than 2 % is left out. Memory is the least that a row can be given; where \
         there is more,\nuploads travel in larger pieces. Times are estimates by {times}."
    ));
    if fit.described.is_some_and(|described| described.way != Way::PLAIN) {
        parts.push("The run file saves memory itself: ways that do without that are among the rows.".into());
    }
    parts.push(verdict(fit, out));
    parts.join("\n\n")
}

fn outputs(run: &Run) -> u32 {
    run.training().ok().and_then(|t| t.network.task().map(plimsoll::nn::Task::outputs)).unwrap_or(0)
}

fn table(title: &str, fit: &Fit, offers: &[Offer]) -> String {
    let base = fit.described.or_else(|| fit.front.first().copied()).map_or(1.0, |offer| offer.seconds);
    let rows = worthwhile(offers, fit);
    let some_keep_none = rows.iter().any(|offer| !offer.way.keep_copies);
    let some_have_textures = offers.iter().any(|offer| offer.texture);
    let row = |offer: &Offer| {
        let Way { accumulate, segments, recompute, release_gradients, keep_copies } = offer.way;
        let dash = || "-".to_string();
        let mark = match (fit.chosen == Some(*offer), fit.described == Some(*offer)) {
            (true, true) => "as described; fits",
            (true, false) => "the fastest that fits",
            (false, true) => "as described",
            (false, false) => "",
        };
        let mut cells = vec![
            Bytes(offer.bytes).to_string(),
            seconds(offer.seconds),
            format!("{:.2} x", offer.seconds / base),
            accumulate.to_string(),
            segments.map_or_else(dash, |s| s.timesteps.to_string()),
            segments.map_or_else(dash, |s| s.states.map_or_else(|| "all".into(), |n| n.to_string())),
            recompute.map_or_else(dash, |n| n.to_string()),
            if release_gradients { "true".into() } else { dash() },
        ];
        // Hardly any run has copies to keep.
        cells.extend(some_keep_none.then(|| if keep_copies { dash() } else { "false".into() }));
        // And on few devices kernels read from a texture.
        cells.extend(some_have_textures.then(|| if offer.texture { "yes".into() } else { dash() }));
        cells.push(mark.to_string());
        cells
    };
    let title = format!(">{title}");
    let mut titles = vec![
        &title[..],
        ">a step",
        ">",
        ">accumulate",
        ">segment",
        ">segment_states",
        ">recompute",
        ">release_gradients",
    ];
    titles.extend(some_keep_none.then_some(">keep_copies"));
    titles.extend(some_have_textures.then_some(">texture"));
    titles.push("");
    draw(&titles, rows.iter().map(row))
}

/// What is worth a row: what saves a part of the row before, the last, and what is spoken of.
fn worthwhile(offers: &[Offer], fit: &Fit) -> Vec<Offer> {
    const PART: f64 = 0.98;
    let mut rows: Vec<Offer> = Vec::new();
    for (i, offer) in offers.iter().enumerate() {
        let spoken_of = [fit.chosen, fit.described].contains(&Some(*offer));
        let least = rows.iter().map(|row| row.bytes).min();
        let saves = least.is_none_or(|least| offer.bytes as f64 <= PART * least as f64);
        if spoken_of || saves || i + 1 == offers.len() {
            rows.push(*offer);
        }
    }
    rows
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s => format!("{:.2} ms", s * 1e3),
    }
}

fn verdict(fit: &Fit, out: Option<&Path>) -> String {
    let allowed = fit.memory.map_or_else(|| "any memory".to_string(), |bytes| Bytes(bytes).to_string());
    let Some(Offer { bytes, .. }) = fit.chosen else {
        let least = fit.front.last().map_or(0, |offer| offer.bytes);
        let exceeded: String = fit.exceeded.iter().map(|sentence| format!("\n  {sentence}")).collect();
        let unwritten = out.map_or_else(String::new, |file| format!("\n{} was not written.", file.display()));
        return format!(
            "REFUSED: nothing fits {allowed}; the smallest of these ways needs {}.{exceeded}\n`plimsoll plan` says what holds it up, and what other batches and windows would fit.{unwritten}",
            Bytes(least)
        );
    };
    let how = if fit.lines.is_empty() { "as described".into() } else { format!("by\n  {}", fit.lines.join("\n  ")) };
    let saved = out.map_or_else(String::new, |file| format!("\nThat run file is {}.", file.display()));
    let planned = fit.planned_bytes.filter(|planned| *planned != bytes);
    let planned = planned.map_or_else(String::new, |planned| format!(" at least, {} as it is planned", Bytes(planned)));
    format!("FITS {allowed}: {}{planned}, {how}{saved}", Bytes(bytes))
}
