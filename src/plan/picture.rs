//! A plan drawn: memory upwards, steps to the right, every value a rectangle where it lies.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use super::Plan;
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
    }
}

/// A value where it lies in the picture of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Where steps and bytes come to lie on the page.
struct Scale {
    steps: f64,
    bytes: f64,
}

#[allow(clippy::cast_precision_loss, reason = "a picture has fewer pixels than a double has integers")]
impl Scale {
    fn x(&self, step: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / self.steps
    }

    fn y(&self, bytes: u64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * bytes as f64 / self.bytes
    }

    fn rectangle(&self, out: &mut String, Rectangle { steps, bytes, role, name: title }: &Rectangle) {
        let (x, y) = (self.x(steps.start), self.y(bytes.end));
        let (width, height) = (self.x(steps.end) - x, self.y(bytes.start) - y);
        let _ = writeln!(
            out,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{}\" \
             stroke=\"#fff\" stroke-width=\"0.4\"><title>{}</title></rect>",
            colour(*role),
            escape(title)
        );
        // The name stands in the rectangle where it is large enough to be read.
        if height > 15.0 && width > 6.0 * title.len() as f64 {
            let (x, y) = (x + 6.0, y + height / 2.0 + 4.0);
            let _ = writeln!(
                out,
                "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"11\" fill=\"#fff\">{}</text>",
                escape(title)
            );
        }
    }
}

impl Plan {
    /// The plan as an SVG picture that stands alone. Rectangles carry names as tooltips.
    pub fn svg(&self, title: &str) -> String {
        let total = self.planned_bytes().max(1);
        let steps = self.schedule.steps.len().max(1);
        #[allow(clippy::cast_precision_loss, reason = "as for `Scale`")]
        let scale = Scale { steps: steps as f64, bytes: total as f64 };
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>\n",
            escape(title)
        );
        self.rectangles().iter().for_each(|rectangle| scale.rectangle(&mut out, rectangle));
        self.draw_axes(&mut out, &scale, total);
        self.draw_legend(&mut out);
        out.push_str("</svg>\n");
        out
    }

    /// Every value where it lies: what is kept all the time below, what comes and goes on top.
    pub fn rectangles(&self) -> Vec<Rectangle> {
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

    fn draw_axes(&self, out: &mut String, scale: &Scale, total: u64) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for quarter in 0..=4 {
            let bytes = total / 4 * quarter;
            let y = scale.y(bytes);
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                Bytes(bytes)
            );
        }
        // Names stand on two lines in turn, because a short program is narrower than its name.
        for (i, program) in self.schedule.programs.iter().enumerate() {
            let x = scale.x(program.steps.start);
            let (anchor, dx) = if x > WIDTH - 110.0 { ("end", -4.0) } else { ("start", 3.0) };
            let y = if i % 2 == 0 { floor + 16.0 } else { floor + 30.0 };
            let (name, steps) = (program.name, program.steps.len());
            let _ = writeln!(
                out,
                "<line x1=\"{x:.2}\" y1=\"{TOP}\" x2=\"{x:.2}\" y2=\"{y:.1}\" stroke=\"#444\" stroke-dasharray=\"3 3\"/>\
                 <text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#444\" font-size=\"11\">\
                 {name}: {steps} dispatches</text>",
                x + dx
            );
        }
        let bound = self.lower_bound_bytes();
        let y = scale.y(bound);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{y:.2}\" x2=\"{right}\" y2=\"{y:.2}\" stroke=\"#b00\" stroke-width=\"2\"/>\
             <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#b00\">load line: planned {}, lower bound {}</text>",
            y - 6.0,
            Bytes(total),
            Bytes(bound)
        );
    }

    fn draw_legend(&self, out: &mut String) {
        for (i, (role, bytes)) in self.roles().into_iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "there are eight roles")]
            let (x, y) = (LEFT + 216.0 * (i % 4) as f64, HEIGHT - 28.0 + 16.0 * (i / 4) as f64);
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

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
