//! A chart of lines over steps: paths that stretch to whatever room there is, labels that do not.

use std::fmt::Write;

use serde_json::json;

use super::axis::{Axis, number_text};
use super::html::{Cell, details, escape, note, script_json, table};
use super::series::{Column, Series};

/// Width and height of the chart in its own units.
const SIZE: f64 = 1000.0;
/// So few points are drawn as dots, too.
const DOTS: usize = 60;
/// Rows of the table of numbers.
const ROWS: usize = 16;

/// A chart of one line, and perhaps of a second with points of its own.
pub(super) struct Chart<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// What the numbers are in, such as "nats a character".
    pub(super) unit: String,
    pub(super) main: Series,
    pub(super) other: Option<Series>,
    /// Whether numbers that differ much may stand on a logarithmic axis.
    pub(super) may_be_log: bool,
}

/// Where steps and numbers come to lie.
struct Frame {
    first: u64,
    last: u64,
    x: Axis,
    y: Axis,
}

impl Chart<'_> {
    pub(super) fn html(&self) -> String {
        let Some(frame) = self.frame() else {
            let title = escape(self.title);
            let why =
                if self.main.points.is_empty() { "No step has been reported yet." } else { "No number is finite." };
            return format!("<figure class=\"chart\"><figcaption><b>{title}</b></figcaption>{}</figure>\n", note(why));
        };
        let columns = self.main.columns(frame.first, frame.last);
        let other = self.other.as_ref().map(|other| other.columns(frame.first, frame.last)).unwrap_or_default();
        let label = escape(&self.sentence());
        let (id, paths) = (self.id, self.paths(&frame, &columns, &other));
        format!(
            "<figure class=\"chart\" id=\"{id}\">{}\n<div class=\"plot\" tabindex=\"0\" role=\"img\" \
             aria-label=\"{label}\">\
             \n{}<svg viewBox=\"0 0 {SIZE} {SIZE}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\n{paths}</svg>\n\
             <div class=\"cross\"></div><div class=\"tip\"></div></div>\n{}\
             <script type=\"application/json\">{}</script></figure>\n",
            self.caption(frame.y.log),
            marks(&frame),
            self.numbers(),
            script_json(&self.hover(&frame, &columns, &other)),
        )
    }

    /// None where there is no finite number.
    fn frame(&self) -> Option<Frame> {
        let series = || std::iter::once(&self.main).chain(&self.other);
        let steps = || series().flat_map(|s| [s.points.first(), s.points.last()]).flatten().map(|point| point.0);
        let (first, last) = (steps().min()?, steps().max()?);
        let y = Axis::around(series().flat_map(Series::finite).map(|point| point.1), self.may_be_log)?;
        Some(Frame { first, last, x: Axis::of_steps(first, last), y })
    }

    fn caption(&self, log: bool) -> String {
        let mut about = vec![self.unit.clone()];
        about.extend(log.then(|| "logarithmic".to_string()));
        about.retain(|words| !words.is_empty());
        let mut keys = Vec::new();
        if !self.main.smooth.is_empty() {
            let span = self.main.span();
            keys.push(format!(
                "<span class=\"key raw\">each step</span><span class=\"key main\">smoothed over {span}</span>"
            ));
        } else if self.other.is_some() {
            keys.push(format!("<span class=\"key main\">{}</span>", escape(self.main.name)));
        }
        keys.extend(self.other.iter().map(|s| format!("<span class=\"key other\">{}</span>", escape(s.name))));
        let (title, about) = (escape(self.title), escape(&about.join(", ")));
        format!(
            "<figcaption><b>{title}</b> <small>{about}</small><span class=\"keys\">{}</span></figcaption>",
            keys.concat()
        )
    }

    /// What the chart shows, for those who do not see it.
    fn sentence(&self) -> String {
        let ends = |series: &Series| {
            let (from, to) = (series.finite().next()?, series.finite().last()?);
            let (low_step, low) = series.lowest()?;
            Some(format!(
                "{} from {} at step {} to {} at step {}, lowest {} at step {low_step}",
                series.name,
                number_text(from.1),
                from.0,
                number_text(to.1),
                to.0,
                number_text(low)
            ))
        };
        let told: Vec<_> = std::iter::once(&self.main).chain(&self.other).filter_map(ends).collect();
        format!("{}: {}.", self.title, told.join("; "))
    }

    fn paths(&self, frame: &Frame, columns: &[Column], other: &[Column]) -> String {
        let mut out = String::new();
        for (number, _) in frame.y.marks() {
            let y = frame.y(number);
            let _ = writeln!(out, "<path class=\"grid\" d=\"M0 {y:.1}H{SIZE}\"/>");
        }
        let smoothed = !self.main.smooth.is_empty();
        let class = if smoothed { "raw" } else { "main" };
        let all = |c: &Column| vec![c.first, c.low, c.high, c.last];
        let _ = writeln!(out, "<path class=\"line {class}\" d=\"{}\"/>", frame.path(columns, all));
        if smoothed {
            let _ = writeln!(out, "<path class=\"line main\" d=\"{}\"/>", frame.path(columns, |c| vec![c.smooth]));
        } else if columns.len() <= DOTS {
            let _ = writeln!(out, "<path class=\"dots main\" d=\"{}\"/>", frame.dots(columns));
        }
        if !other.is_empty() {
            let _ = writeln!(out, "<path class=\"line other\" d=\"{}\"/>", frame.path(other, all));
            if other.len() <= DOTS {
                let _ = writeln!(out, "<path class=\"dots other\" d=\"{}\"/>", frame.dots(other));
            }
        }
        let bad: String =
            columns.iter().filter(|c| c.not_finite > 0).map(|c| format!("M{:.1} 0V26", frame.x(c))).collect();
        if !bad.is_empty() {
            let _ = writeln!(out, "<path class=\"line bad\" d=\"{bad}\"/>");
        }
        out
    }

    /// For each column: where it is, and what is told of it.
    fn hover(&self, frame: &Frame, columns: &[Column], other: &[Column]) -> serde_json::Value {
        let mut looks = other.iter().peekable();
        let mut look = None;
        let told = columns.iter().map(|column| {
            while let Some(next) = looks.next_if(|next| next.steps.0 <= column.steps.1) {
                look = Some(next);
            }
            let mut lines = vec![column.title(), format!("{} {}", self.main.name, column.text())];
            if column.smooth.is_finite() {
                lines.push(format!("smoothed {}", number_text(column.smooth)));
            }
            if let (Some(look), Some(other)) = (look, &self.other) {
                let at = if look.steps == column.steps { String::new() } else { format!(" ({})", look.title()) };
                lines.push(format!("{} {}{at}", other.name, look.text()));
            }
            json!([(frame.x(column) * 10.0).round() / 10.0, lines.join("\n")])
        });
        told.collect()
    }

    /// Some of the numbers, as a table.
    fn numbers(&self) -> String {
        let columns = |series: &Series| -> Vec<Vec<Cell>> {
            let n = series.points.len();
            let rows = n.min(ROWS);
            let at = |row: usize| if rows < 2 { 0 } else { row * (n - 1) / (rows - 1) };
            let cells = |i: usize| {
                let (step, number) = *series.points.get(i)?;
                let mut cells = vec![Cell::number(step.to_string()), Cell::number(number_text(number))];
                cells.extend(series.smooth.get(i).map(|number| Cell::number(number_text(*number))));
                Some(cells)
            };
            (0..rows).filter_map(|row| cells(at(row))).collect()
        };
        let of = |series: &Series| {
            let name = format!(">{}", series.name);
            let mut titles = vec![">step", &name];
            titles.extend((!series.smooth.is_empty()).then_some(">smoothed"));
            table(&titles, columns(series))
        };
        let tables: String = std::iter::once(&self.main).chain(&self.other).map(of).collect();
        details("Numbers", &format!("<div class=\"side\">{tables}</div>"))
    }
}

impl Frame {
    fn x(&self, column: &Column) -> f64 {
        SIZE * self.x.place((column.steps.0 as f64 + column.steps.1 as f64) / 2.0)
    }

    fn y(&self, number: f64) -> f64 {
        SIZE * (1.0 - self.y.place(number))
    }

    /// A line through the numbers of each column, broken where there are none.
    fn path(&self, columns: &[Column], numbers: impl Fn(&Column) -> Vec<f64>) -> String {
        let (mut out, mut down) = (String::new(), false);
        for column in columns {
            let mut numbers = numbers(column);
            numbers.dedup();
            let drawn = !numbers.iter().any(|number| number.is_nan());
            for number in numbers.into_iter().filter(|_| drawn) {
                let pen = if down { 'L' } else { 'M' };
                let _ = write!(out, "{pen}{:.1} {:.1}", self.x(column), self.y(number));
                down = true;
            }
            down &= drawn;
        }
        out
    }

    fn dots(&self, columns: &[Column]) -> String {
        let finite = columns.iter().filter(|column| column.last.is_finite());
        finite.map(|column| format!("M{:.1} {:.1}h0", self.x(column), self.y(column.last))).collect()
    }
}

impl Column {
    fn title(&self) -> String {
        match self.steps {
            (a, b) if a == b => format!("step {a}"),
            (a, b) => format!("steps {a} to {b}"),
        }
    }

    fn text(&self) -> String {
        let mut text = match (self.low, self.high) {
            (low, _) if low.is_nan() => return "not finite".into(),
            (low, high) if low == high => number_text(low),
            (low, high) => format!("{} to {}", number_text(low), number_text(high)),
        };
        if self.not_finite > 0 {
            text += &format!(", {} not finite", self.not_finite);
        }
        text
    }
}

/// The labels of both axes, which stand beside the picture and keep their size.
fn marks(frame: &Frame) -> String {
    let mut out = String::from("<div class=\"ys\">");
    for (number, text) in frame.y.marks() {
        let _ = write!(out, "<span style=\"top:{:.2}%\">{text}</span>", 100.0 * (1.0 - frame.y.place(number)));
    }
    out.push_str("</div><div class=\"xs\">");
    for (number, text) in frame.x.whole_marks() {
        let _ = write!(out, "<span style=\"left:{:.2}%\">{text}</span>", 100.0 * frame.x.place(number));
    }
    out + "</div>\n"
}
