//! `plimsoll fit`: memory against time, in every way a run's updates can be made.

use std::fmt::Write as _;
use std::path::Path;

use plimsoll::bytes::Bytes;
use plimsoll::config::Config;
use plimsoll::error::Error;
use plimsoll::plan::Rates;
use plimsoll::run::{Cache, Run};
use plimsoll::storage::write_atomically;
use plimsoll::target::Target;
use plimsoll::training::{Offer, Storage, Training, Way};
use serde::Serialize;

use crate::args::FitArgs;
use crate::output::{Failure, json, say};
use crate::plan::{config, model, optimizer, profile};
use crate::report::axis::Axis;
use crate::report::html::escape;
use crate::table::draw;

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
    /// The run as described.
    described: Option<Offer>,
}

pub(crate) fn fit(args: &FitArgs) -> Result<(), Failure> {
    let target = profile(&args.profile)?;
    let mut config = config(args.run.as_deref())?;
    config.budget.memory = args.memory.or(config.budget.memory);
    let run = Run::new(config)?;
    run.batches()?;
    let fit = find(&run, &target)?;
    if let Some(file) = &args.svg {
        write_atomically(file, picture(&run, &fit).as_bytes()).map_err(Error::from)?;
    }
    if let (Some(file), Some(chosen)) = (&args.out, &fit.chosen) {
        save(&run.config, chosen.way, file)?;
    }
    say(&if args.json { json(&fit) } else { text(&run, &fit, args.out.as_deref()) })?;
    if fit.chosen.is_some() { Ok(()) } else { Err(Failure::Refused) }
}

fn find(run: &Run, target: &Target) -> Result<Fit, Error> {
    let probed = Cache::of_user().find(target);
    let rates = probed.as_ref().map_or_else(Rates::assumed, |probed| probed.rates);
    let training = run.training()?;
    let mut offers = training.offers(target, &rates)?;
    let described = offers.iter().find(|offer| offer.way == training.way()).copied();
    let fits = |offer: &Offer| {
        let allowed = training.allowed(target).is_none_or(|allowed| offer.bytes <= allowed);
        allowed && training.in_way(offer.way).plan(target).is_ok_and(|planned| planned.fits())
    };
    let chosen = described.filter(fits).or_else(|| offers.iter().copied().find(fits));
    Training::keep_front(&mut offers);
    let halves = (training.storage == Storage::F32 && training.learn)
        .then(|| Training { release_gradients: false, ..training.clone() }.storage(Storage::F16));
    Ok(Fit {
        format: 1,
        version: env!("CARGO_PKG_VERSION"),
        target: target.name.clone(),
        memory: training.allowed(target),
        rates,
        probed: probed.map(|probed| probed.adapter),
        front: offers,
        front_in_halves: halves.map_or_else(|| Ok(Vec::new()), |halves| halves.front(target, &rates))?,
        chosen,
        described,
    })
}

/// Writes the run in another way.
fn save(config: &Config, way: Way, file: &Path) -> Result<(), Error> {
    let mut config = config.clone();
    config.train.accumulate = way.accumulate;
    config.budget.segment = way.segments.map(|s| s.timesteps);
    config.budget.segment_states = way.segments.and_then(|s| s.states);
    config.budget.release_gradients = way.release_gradients;
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
    let mut parts = vec![about, table("memory", fit, &fit.front)];
    if !fit.front_in_halves.is_empty() {
        parts.push(table("storage = \"f16\"", fit, &fit.front_in_halves));
    }
    let times = match &fit.probed {
        Some(adapter) => format!("what {adapter} was found to reach"),
        None => "the figures of a software adapter on two cores: trust their ratios".into(),
    };
    parts.push(format!(
        "Every row makes the updates of the run as described, up to the order of sums; with `storage = \"f16\"` numbers \
         are rounded\notherwise. What saves less than 2 % is left out. Times are estimates by {times}."
    ));
    parts.push(verdict(fit, out));
    parts.join("\n\n")
}

fn outputs(run: &Run) -> u32 {
    run.training().ok().and_then(|t| t.network.task().map(plimsoll::nn::Task::outputs)).unwrap_or(0)
}

fn table(title: &str, fit: &Fit, offers: &[Offer]) -> String {
    let base = fit.described.or_else(|| fit.front.first().copied()).map_or(1.0, |offer| offer.seconds);
    let row = |offer: &Offer| {
        let Way { accumulate, segments, release_gradients } = offer.way;
        let dash = || "-".to_string();
        let mark = match (fit.chosen == Some(*offer), fit.described == Some(*offer)) {
            (true, true) => "as described; fits",
            (true, false) => "the fastest that fits",
            (false, true) => "as described",
            (false, false) => "",
        };
        vec![
            Bytes(offer.bytes).to_string(),
            seconds(offer.seconds),
            format!("{:.2} x", offer.seconds / base),
            accumulate.to_string(),
            segments.map_or_else(dash, |s| s.timesteps.to_string()),
            segments.map_or_else(dash, |s| s.states.map_or_else(|| "all".into(), |n| n.to_string())),
            if release_gradients { "true".into() } else { dash() },
            mark.to_string(),
        ]
    };
    let title = format!(">{title}");
    let titles = [&title, ">a step", ">", ">accumulate", ">segment", ">segment_states", ">release_gradients", ""];
    draw(&titles, worthwhile(offers, fit).iter().map(row))
}

/// What is worth a row: what saves a part of the row before, the last, and what is spoken of.
fn worthwhile(offers: &[Offer], fit: &Fit) -> Vec<Offer> {
    const PART: f64 = 0.98;
    let mut rows: Vec<Offer> = Vec::new();
    for (i, offer) in offers.iter().enumerate() {
        let spoken_of = [fit.chosen, fit.described].contains(&Some(*offer));
        let saves = rows.last().is_none_or(|last| offer.bytes as f64 <= PART * last.bytes as f64);
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
    let Some(Offer { bytes, way, .. }) = fit.chosen else {
        let least = fit.front.last().map_or(0, |offer| offer.bytes);
        return format!(
            "REFUSED: nothing fits {allowed}; the least is {}. `plimsoll plan` says what holds it up.",
            Bytes(least)
        );
    };
    let mut lines = format!("FITS {allowed}: {}, by\n  [train] accumulate = {}", Bytes(bytes), way.accumulate);
    let mut budget: Vec<String> = Vec::new();
    if let Some(segments) = way.segments {
        budget.push(format!("segment = {}", segments.timesteps));
        budget.extend(segments.states.map(|states| format!("segment_states = {states}")));
    }
    budget.extend(way.release_gradients.then(|| "release_gradients = true".to_string()));
    if !budget.is_empty() {
        let _ = write!(lines, " [budget] {}", budget.join(", "));
    }
    match out {
        Some(file) => lines + &format!("\nThat run file is {}.", file.display()),
        None => lines,
    }
}

const SIZE: [f64; 2] = [960.0, 540.0];
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 70.0;

/// Where a point of the picture is: seconds to the right, bytes upwards.
struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    fn at(&self, seconds: f64, bytes: f64) -> [f64; 2] {
        let [width, height] = SIZE;
        [
            LEFT + (width - LEFT - RIGHT) * self.x.place(seconds),
            height - BOTTOM - (height - TOP - BOTTOM) * self.y.place(bytes),
        ]
    }
}

/// Memory against time: a step for each way that is worth taking, the budget as a line.
fn picture(run: &Run, fit: &Fit) -> String {
    const MIB: f64 = 1_048_576.0;
    let [width, height] = SIZE;
    let all = || fit.front.iter().chain(&fit.front_in_halves).chain(&fit.described);
    let mib = |bytes: u64| bytes as f64 / MIB;
    let budget = fit.memory.map(mib).filter(|memory| all().any(|o| mib(o.bytes) * 4.0 > *memory));
    let x = Axis::around(all().map(|o| o.seconds), true);
    let y = Axis::around(all().map(|o| mib(o.bytes)).chain(budget), true);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"16\" fill=\"#222\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"46\" fill=\"#555\">the memory that each way to make the same updates needs, and what a \
         step takes in it, as estimated</text>\n",
        escape(&format!("{}, batch {}", model(&run.config, outputs(run)), run.config.train.batch)),
    );
    let (Some(x), Some(y)) = (x, y) else { return svg + "</svg>\n" };
    let frame = Frame { x, y };
    let [right, floor] = [width - RIGHT, height - BOTTOM];
    for (number, text) in x.marks() {
        let [at, _] = frame.at(number, 1.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{floor}\" stroke=\"#eee\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
             fill=\"#555\">{text}</text>",
            floor + 18.0
        );
    }
    for (number, text) in y.marks() {
        let [_, at] = frame.at(x.marks().first().map_or(1.0, |(n, _)| *n), number);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#eee\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" \
             fill=\"#555\">{text}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222\">seconds a step</text>\n\
         <text x=\"20\" y=\"{:.1}\" transform=\"rotate(-90 20 {:.1})\" text-anchor=\"middle\" fill=\"#222\">MiB</text>",
        f64::midpoint(LEFT, right),
        height - 22.0,
        f64::midpoint(TOP, floor),
        f64::midpoint(TOP, floor),
    );
    if let Some(memory) = budget {
        let [_, at] = frame.at(1.0, memory);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#222\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\"/>\
             <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222\">the load line: {}</text>",
            at - 6.0,
            Bytes(fit.memory.unwrap_or(0))
        );
    }
    svg += &series(&frame, &fit.front_in_halves, "#d55e00", fit);
    svg += &series(&frame, &fit.front, "#0072b2", fit);
    let mut legend = vec![("#0072b2", "storage f32")];
    legend.extend((!fit.front_in_halves.is_empty()).then_some(("#d55e00", "storage f16, another rounding")));
    for (i, (colour, name)) in (0u32..).zip(legend) {
        let at = TOP + 18.0 + 20.0 * f64::from(i);
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{at:.1}\" \
             text-anchor=\"end\" fill=\"#222\">{name}</text>",
            right - 6.0,
            at - 4.0,
            right - 18.0
        );
    }
    svg + "</svg>\n"
}

/// The front as a staircase: from each way on, nothing faster fits what is below the one before.
fn series(frame: &Frame, offers: &[Offer], colour: &str, fit: &Fit) -> String {
    let at = |offer: &Offer| frame.at(offer.seconds, offer.bytes as f64 / 1_048_576.0);
    let mut path = String::new();
    for offer in offers {
        let [x, y] = at(offer);
        let _ = if path.is_empty() { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
    }
    let mut svg = format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n");
    for offer in offers {
        let [x, y] = at(offer);
        let (radius, stroke) = if fit.chosen == Some(*offer) { (8.0, "#222") } else { (5.0, "#fff") };
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\" stroke=\"{stroke}\" \
             stroke-width=\"1.5\"><title>{}: {}, {}</title></circle>",
            escape(&offer.way.told()),
            Bytes(offer.bytes),
            seconds(offer.seconds)
        );
    }
    svg
}
