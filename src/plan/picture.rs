//! A plan drawn: memory upwards, steps to the right, every value a rectangle where it lies.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use serde::Serialize;

use super::Plan;
use super::thin::{Area, Frame, Thinned, thinned};
use crate::bytes::Bytes;
use crate::graph::Role;
use crate::schedule::touched;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 84.0;
const TOP: f64 = 64.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 92.0;

/// A colour for each role, told apart also by people who do not see red from green.
fn colour(role: Role) -> &'static str {
    match role {
        Role::Parameter => "#0072b2",
        Role::Gradient => "#d55e00",
        Role::OptimizerState => "#7a5195",
        Role::Activation => "#56b4e9",
        Role::CarriedState => "#009e73",
        Role::Input => "#e69f00",
        Role::Result => "#222222",
        Role::Staging => "#999999",
        Role::Uniforms => "#cc79a7",
        Role::Texture => "#f0e442",
    }
}

/// A value where it lies in the picture of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rectangle {
    /// The steps of all programs, one after the other, during which it is there.
    pub steps: Range<usize>,
    /// Its bytes, counted from the bottom: staging first, then arena upon arena.
    pub bytes: Range<u64>,
    /// What it is for.
    pub role: Role,
    /// What it is, and how large.
    pub name: String,
}

/// Whether what is written on that colour is dark.
fn is_light(role: Role) -> bool {
    matches!(role, Role::Activation | Role::Input | Role::Staging | Role::Uniforms | Role::Texture)
}

/// A load line so many times as high as the plan is drawn; a higher one is told in words.
const HIGHEST_LINE: f64 = 1.5;

/// The room within the axes.
const PLOT: [f64; 2] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];

#[allow(clippy::cast_precision_loss, reason = "a picture has fewer pixels than a double has integers")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

fn draw(out: &mut String, place: Area, Rectangle { role, name, .. }: &Rectangle) {
    let Area { x, y, width, height } = place;
    let (x, y) = (LEFT + x, TOP + y);
    // A white line between neighbours would cover what is as thin as the line.
    let stroke = if height > 1.5 && width > 1.5 { " stroke=\"#fff\" stroke-width=\"0.4\"" } else { "" };
    let _ = writeln!(
        out,
        "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"{}\"{stroke}><title>{}</title></rect>",
        width.max(0.2),
        height.max(0.2),
        colour(*role),
        escape(name)
    );
    // The name stands in the rectangle where it is large enough to be read.
    if height > 15.0 && width > 6.0 * name.chars().count() as f64 {
        let (x, y) = (x + 6.0, y + height / 2.0 + 4.0);
        let ink = if is_light(*role) { "#10151a" } else { "#fff" };
        let _ =
            writeln!(out, "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"11\" fill=\"{ink}\">{}</text>", escape(name));
    }
}

impl Plan {
    /// The plan as an SVG picture that stands alone, with the lower bound and, if there is a budget of `memory` bytes,
    /// the load line. Rectangles carry names as tooltips; what is too small to be told apart is drawn together, which
    /// the picture says.
    pub fn svg(&self, title: &str, memory: Option<u64>) -> String {
        let total = self.planned_bytes().max(1);
        let line = memory.filter(|memory| ratio(*memory, total) <= HIGHEST_LINE);
        let top = line.unwrap_or(0).max(total);
        let steps = self.schedule.steps.len().max(1);
        #[allow(clippy::cast_precision_loss, reason = "as for `ratio`")]
        let frame = Frame { width: PLOT[0], height: PLOT[1], steps: steps as f64, bytes: top as f64 };
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>\n",
            escape(title)
        );
        let all = self.timeline();
        let count = all.len();
        let Thinned { apart, together, count: merged } = thinned(all, &frame);
        for (role, boxes) in together {
            let path: String = boxes.iter().map(|b| outline(*b)).collect();
            let _ = writeln!(
                out,
                "<path fill=\"{}\" d=\"{path}\"><title>{}, drawn together</title></path>",
                colour(role),
                role.name()
            );
        }
        apart.iter().for_each(|rectangle| draw(&mut out, frame.place(rectangle), rectangle));
        if merged > 0 {
            let _ = writeln!(
                out,
                "<text x=\"{LEFT}\" y=\"44\" font-size=\"11\" fill=\"#444\">{} of {} values are too small to be \
                 told apart and are drawn together.</text>",
                counted(merged),
                counted(count)
            );
        }
        self.draw_axes(&mut out, &frame, top);
        self.draw_lines(&mut out, &frame, memory, line);
        self.draw_legend(&mut out);
        out.push_str("</svg>\n");
        out
    }

    /// Memory over time: every value where it lies and as long as it is there, what is kept all the time below, what
    /// comes and goes on top. Dispatches of all programs are counted one after the other, as
    /// [`Schedule::programs`](crate::schedule::Schedule::programs) has them, and bytes from the bottom of all buffers
    /// up to [`Plan::planned_bytes`].
    pub fn timeline(&self) -> Vec<Rectangle> {
        let steps = self.schedule.steps.len().max(1);
        let (mut kept, bases) = self.kept_throughout(steps);
        kept.extend(self.come_and_go(&bases));
        kept
    }

    /// What keeps its place all the time, and where each arena begins in the picture.
    fn kept_throughout(&self, steps: usize) -> (Vec<Rectangle>, HashMap<usize, u64>) {
        let mut bases = HashMap::new();
        let staging = self.staging.bytes();
        let throughout = |bytes: Range<u64>, role, name| Rectangle { steps: 0..steps, bytes, role, name };
        let mut out = vec![throughout(0..staging, Role::Staging, format!("staging, {}", Bytes(staging)))];
        let mut base = staging;
        // Small and steady below, what comes and goes on top.
        let order = |&(_, a): &(usize, &super::Arena)| (a.role == Role::Activation, a.role);
        let mut arenas: Vec<_> = self.arenas.iter().enumerate().collect();
        arenas.sort_by_key(order);
        for (index, arena) in arenas {
            bases.insert(index, base);
            base += arena.bytes;
        }
        if let Some(arena) = self.uniforms.arena {
            let (base, bytes) = (bases[&arena.index()], self.uniforms.bytes());
            let name = format!("parameters of dispatches (uniforms), {}", Bytes(bytes));
            out.push(throughout(base..base + bytes, Role::Uniforms, name));
        }
        if let Some(arena) = self.texture.arena {
            let (base, bytes) = (bases[&arena.index()], self.texture.bytes());
            let name = format!("what kernels read (texture), {}", Bytes(bytes));
            out.push(throughout(base..base + bytes, Role::Texture, name));
        }
        for id in self.graph.slot_ids() {
            let (slot, place) = (&self.graph[id], &self.slots[id.index()]);
            let base = bases[&place.place.arena.index()];
            let range = place.all_copies();
            if slot.parts.is_empty() {
                let name = format!("{}, {}", slot.name, Bytes(range.end - range.start));
                out.push(throughout(base + range.start..base + range.end, slot.role, name));
            }
            for part in &slot.parts {
                let from = base + range.start + part.offset;
                let name = format!("{} ({}), {}", part.name, slot.name, Bytes(part.bytes));
                out.push(throughout(from..from + part.bytes, slot.role, name));
            }
        }
        (out, bases)
    }

    /// What is made on the way.
    fn come_and_go(&self, bases: &HashMap<usize, u64>) -> Vec<Rectangle> {
        let (spans, mut out) = (touched(&self.schedule.steps), Vec::new());
        for placed in &self.tenants {
            let from = bases[&placed.place.arena.index()] + placed.place.offset;
            for (i, value) in placed.tenant.values.iter().enumerate() {
                let Some(span) = spans.get(value) else { continue };
                // A value passed on in place ends where its heir begins.
                let heir = placed.tenant.values.get(i + 1).and_then(|v| spans.get(v));
                let end = heir.map_or(span.end, |h| h.start);
                let name = format!("{}, {}", self.tenant_name(placed, span.start, &spans), Bytes(placed.place.bytes));
                let steps = span.start as usize..end.max(span.start + 1) as usize;
                let bytes = from..from + placed.place.bytes;
                out.push(Rectangle { steps, bytes, role: Role::Activation, name });
            }
        }
        out
    }

    fn draw_axes(&self, out: &mut String, frame: &Frame, top: u64) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for quarter in 0..=4 {
            let bytes = top / 4 * quarter;
            let y = TOP + frame.y(bytes);
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                Bytes(bytes)
            );
        }
        let _ = writeln!(out, "<line x1=\"{LEFT}\" y1=\"{floor}\" x2=\"{right}\" y2=\"{floor}\" stroke=\"#444\"/>");
        // Programs follow one another; each begins with its name.
        for (i, program) in self.schedule.programs.iter().enumerate() {
            let x = LEFT + frame.x(program.steps.start);
            let (anchor, dx) = if x > WIDTH - 110.0 { ("end", -4.0) } else { ("start", 3.0) };
            let y = if i % 2 == 0 { floor + 16.0 } else { floor + 30.0 };
            let (name, steps) = (program.name, program.steps.len());
            let _ = writeln!(
                out,
                "<line x1=\"{x:.2}\" y1=\"{TOP}\" x2=\"{x:.2}\" y2=\"{y:.1}\" stroke=\"#444\" stroke-dasharray=\"3 3\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#444\" font-size=\"11\">\
                 {name}: {} dispatches</text>",
                x + dx,
                counted(steps)
            );
        }
    }

    /// The lower bound, below which no placement lies, and the load line, where the picture reaches so high.
    fn draw_lines(&self, out: &mut String, frame: &Frame, memory: Option<u64>, line: Option<u64>) {
        let (planned, bound) = (self.planned_bytes(), self.lower_bound_bytes());
        let right = WIDTH - RIGHT;
        let mut draw = |bytes: u64, up: f64, dash: &str, label: &str| {
            let y = TOP + frame.y(bytes);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{y:.2}\" x2=\"{right}\" y2=\"{y:.2}\" stroke=\"#b00\" stroke-width=\"2\"{dash}/>\
                 <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#b00\" stroke=\"#fff\" stroke-width=\"3\" \
                 paint-order=\"stroke\">{label}</text>",
                y - up
            );
        };
        let dash = " stroke-dasharray=\"6 4\"";
        let bound_label = format!("planned {}, lower bound {}", Bytes(planned), Bytes(bound));
        // Its words are below it where those of the load line are above.
        let close = line.is_some_and(|line| frame.y(bound) - frame.y(line) < 20.0);
        draw(bound, if close { -14.0 } else { 6.0 }, dash, &bound_label);
        if let Some(line) = line {
            let over = if planned > line { ", which the plan exceeds" } else { "" };
            draw(line, 6.0, "", &format!("load line {}{over}", Bytes(line)));
        } else if let Some(memory) = memory {
            let _ = writeln!(
                out,
                "<text x=\"{right}\" y=\"44\" text-anchor=\"end\" fill=\"#b00\">load line {}, {:.1} times as high</text>",
                Bytes(memory),
                ratio(memory, planned)
            );
        }
    }

    fn draw_legend(&self, out: &mut String) {
        let roles = self.roles();
        let columns = roles.len().div_ceil(2);
        for (i, (role, bytes)) in roles.into_iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "there are nine roles")]
            let (x, y) =
                (LEFT + 864.0 / columns as f64 * (i % columns) as f64, HEIGHT - 28.0 + 16.0 * (i / columns) as f64);
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\" font-size=\"11\">{} {}</text>",
                y - 9.0,
                colour(role),
                x + 15.0,
                role.name(),
                Bytes(bytes)
            );
        }
    }
}

/// A number with its digits in groups of three.
fn counted(n: usize) -> String {
    Bytes(n as u64).exact().trim_end_matches(" B").to_string()
}

/// A rectangle as a part of a path.
fn outline(Area { x, y, width, height }: Area) -> String {
    format!("M{:.0} {:.0}h{width:.0}v{height:.0}h-{width:.0}z", LEFT + x, TOP + y)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
