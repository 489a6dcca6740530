//! Memory against time, drawn.

use std::fmt::Write;

use plimsoll::bytes::Bytes;
use plimsoll::run::Run;
use plimsoll::training::Offer;

use super::{Fit, outputs, seconds};
use crate::plan::model;
use crate::report::axis::Axis;
use crate::report::html::escape;

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
pub(super) fn picture(run: &Run, fit: &Fit) -> String {
    const MIB: f64 = 1_048_576.0;
    let [width, height] = SIZE;
    let beside = fit.beside_the_front();
    let all = || fit.front.iter().chain(&fit.front_in_halves).chain(&beside);
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
    for offer in &beside {
        svg += &point(&frame, offer, "#0072b2", fit);
    }
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

/// An offer in a few words.
fn told(offer: &Offer) -> String {
    let texture = if offer.texture { ", with a texture to read from" } else { "" };
    format!("{}{texture}", offer.way.told())
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
        svg += &point(frame, offer, colour, fit);
    }
    svg
}

/// One way, larger where it is the choice.
fn point(frame: &Frame, offer: &Offer, colour: &str, fit: &Fit) -> String {
    let [x, y] = frame.at(offer.seconds, offer.bytes as f64 / 1_048_576.0);
    let (radius, stroke) = if fit.chosen == Some(*offer) { (8.0, "#222") } else { (5.0, "#fff") };
    format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\" stroke=\"{stroke}\" \
         stroke-width=\"1.5\"><title>{}: {}, {}</title></circle>\n",
        escape(&told(offer)),
        Bytes(offer.bytes),
        seconds(offer.seconds)
    )
}
