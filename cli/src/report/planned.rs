//! `plimsoll plan --html`: a plan as one page, whose picture can be searched, zoomed and walked through by keyboard.

use plimsoll::bytes::Bytes;
use plimsoll::graph::Role;
use plimsoll::plan::Rectangle;
use plimsoll::plan::report::LayerBytes;
use plimsoll::run::{PlanReport, Run};
use plimsoll::training::{Planned, Saved};
use serde_json::json;

use super::html::{Cell, details, document, escape, note, pairs, script_json, section, table, tiles, warned};
use super::page::STYLE;
use crate::explain::{PYTORCH, beside_pytorch, difference, reader, savings_told};
use crate::plan::{about, model, shortened};
use crate::table::grouped;

const OWN_STYLE: &str = include_str!("planned.css");
const SCRIPT: &str = include_str!("planned.js");
/// Rows of the table of values; a table of tens of thousands would not be read.
const ROWS: usize = 1000;

/// The page.
pub(crate) fn page(run: &Run, planned: &Planned, report: &PlanReport) -> String {
    let mut values = planned.plan.timeline();
    let title = shortened(&model(&run.config, report.outputs), 90);
    let parts = [
        header(&title, report),
        numbers(report),
        warned(report.warnings.iter().map(|w| &w.text[..])),
        refusal(report),
        section("about", "What is planned", &pairs(about(run, report))),
        section("picture", "Memory over time", &picture(planned, report, &values, &title)),
        section("roles", "Memory by role", &roles(report)),
        section("layers", "Memory by layer", &layers(report)),
        section("peak", "Alive at the peak", &peak(report)),
        section("savings", "What saving brings", &savings(report)),
        section("kept", "Kept for the way back", &kept(report)),
        section("values", "Every value", &every(&mut values)),
    ];
    let footer = format!("Made by plimsoll {}; the plan's fingerprint is {}.", report.version, report.digest);
    document(&format!("Plan of {title}"), &format!("{STYLE}{OWN_STYLE}"), SCRIPT, &parts.concat(), &footer)
}

fn header(title: &str, report: &PlanReport) -> String {
    let (class, state) = if report.fits { ("good", "fits") } else { ("bad", "refused") };
    let (title, device) = (escape(title), escape(&report.target.name));
    format!(
        "<header><p class=\"mark\">Plimsoll plan</p><h1>{title} <span class=\"state {class}\">{state}</span></h1>\
         <p>for {device}</p></header>\n"
    )
}

fn numbers(report: &PlanReport) -> String {
    let bytes = |bytes: u64| Bytes(bytes).to_string();
    let gap = report.gap_bytes();
    let more = if gap == 0 { "which the plan reaches".to_string() } else { format!("{} below the plan", Bytes(gap)) };
    let mut all = vec![
        ("planned", bytes(report.planned_bytes), Bytes(report.planned_bytes).exact()),
        ("lower bound", bytes(report.lower_bound_bytes), more),
    ];
    if let Some(allowed) = report.memory {
        let left = match allowed.bytes.checked_sub(report.planned_bytes) {
            Some(left) => format!("{} to spare", Bytes(left)),
            None => format!("exceeded by {}", Bytes(report.planned_bytes - allowed.bytes)),
        };
        all.push(("load line", bytes(allowed.bytes), left));
    }
    if let Some(peak) = &report.peak {
        let at = format!("made on the way, at dispatch {} of {}", grouped(peak.dispatch as u64), peak.program);
        all.push(("peak", bytes(peak.activation_bytes), at));
    }
    all.push(("a step", grouped(report.dispatches_per_step), "dispatches".into()));
    tiles(all)
}

fn refusal(report: &PlanReport) -> String {
    let Some(refusal) = &report.refusal else { return String::new() };
    section("refused", "Why it is refused", &format!("<pre>{}</pre>\n", escape(&refusal.to_string())))
}

/// The picture, which the script draws from numbers; without a script there is one that stands still.
fn picture(planned: &Planned, report: &PlanReport, values: &[Rectangle], title: &str) -> String {
    let plan = &planned.plan;
    let names: Vec<&str> = values.iter().map(|r| &r.name[..]).collect();
    let row = |(at, r): (usize, &Rectangle)| {
        let role = Role::ALL.iter().position(|role| *role == r.role).unwrap_or(0);
        json!([r.steps.start, r.steps.end, r.bytes.start, r.bytes.end, role, at])
    };
    // What is kept throughout lies below what comes and goes.
    let low = values.iter().filter(|r| r.role == Role::Activation).map(|r| r.bytes.start).min().unwrap_or(0);
    let programs: Vec<_> = plan.schedule.programs.iter().map(|p| json!([p.name, p.steps.start, p.steps.end])).collect();
    let data = json!({
        "steps": plan.schedule.steps.len().max(1), "bytes": report.planned_bytes.max(1), "low": low,
        "bound": report.lower_bound_bytes, "line": report.memory.map(|allowed| allowed.bytes),
        "peak": plan.tenants_bound.1, "roles": Role::ALL.map(Role::name), "programs": programs,
        "names": names, "values": values.iter().enumerate().map(row).collect::<Vec<_>>(),
    });
    let label = format!(
        "Memory over {} dispatches of {} programs: {} values, {} at most",
        grouped(plan.schedule.steps.len() as u64),
        plan.schedule.programs.len(),
        grouped(values.len() as u64),
        Bytes(report.planned_bytes)
    );
    // Within a page it needs no namespace, which has the form of an address.
    let still = plan.svg(title, report.memory.map(|allowed| allowed.bytes));
    let still = still.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let options: String =
        plan.schedule.programs.iter().map(|p| format!("<option>{}</option>", escape(p.name))).collect();
    let keys = "In the picture: arrow keys move and zoom, n and p go from value to value, or from find to find, g goes \
                near to it, and Home shows all. Drag or pinch to move and zoom; a double click goes near.";
    format!(
        "<div id=\"plan-picture\" hidden>\n<div class=\"controls\" role=\"group\" aria-label=\"The picture\">\
         <label>Find <input type=\"search\" id=\"find\" autocomplete=\"off\" spellcheck=\"false\" \
         placeholder=\"part of a name\"></label>\
         <button type=\"button\" id=\"previous\" aria-label=\"Value before\">\u{2039}</button>\
         <button type=\"button\" id=\"next\" aria-label=\"Next value\">\u{203a}</button>\
         <label>Program <select id=\"program\"><option value=\"\">all</option>{options}</select></label>\
         <span class=\"buttons\"><button type=\"button\" id=\"left\" aria-label=\"Earlier\">\u{2190}</button>\
         <button type=\"button\" id=\"right\" aria-label=\"Later\">\u{2192}</button>\
         <button type=\"button\" id=\"in\" aria-label=\"Zoom in\">+</button>\
         <button type=\"button\" id=\"out\" aria-label=\"Zoom out\">\u{2212}</button>\
         <button type=\"button\" id=\"near\" title=\"As near to the chosen value as lets it be seen\">Near</button>\
         <button type=\"button\" id=\"all\">All</button></span>\
         <label class=\"check\"><input type=\"checkbox\" id=\"moving\"> only what comes and goes</label></div>\n\
         <div class=\"stage\"><canvas id=\"canvas\" tabindex=\"0\" role=\"img\" aria-label=\"{}\" \
         aria-describedby=\"keys\"></canvas><div class=\"tip\" id=\"tip\"></div></div>\n\
         <p class=\"note\" id=\"shown\"></p><p class=\"note told\" id=\"told\" role=\"status\" aria-live=\"polite\"></p>\n\
         {}<p class=\"note\" id=\"keys\">{}</p></div>\n<noscript>{still}</noscript>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n",
        escape(&label),
        legend(report),
        escape(keys),
        script_json(&data),
    )
}

fn legend(report: &PlanReport) -> String {
    let key = |(at, role): (usize, &Role)| {
        let bytes = report.roles.get(role).copied().unwrap_or(0);
        (bytes > 0).then(|| format!("<span><i class=\"swatch r{at}\"></i>{}</span>", escape(role.name())))
    };
    let roles: String = Role::ALL.iter().enumerate().filter_map(key).collect();
    let line = if report.memory.is_some() { "<span><i class=\"stroke\"></i>load line</span>" } else { "" };
    format!("<p class=\"legend\">{roles}<span><i class=\"stroke dashed\"></i>lower bound</span>{line}</p>\n")
}

fn roles(report: &PlanReport) -> String {
    let planned = report.planned_bytes.max(1) as f64;
    let row = |(at, role): (usize, &Role)| {
        let bytes = report.roles.get(role).copied().unwrap_or(0);
        let share = bytes as f64 / planned;
        vec![
            Cell::Role(at, role.name()),
            Cell::number(Bytes(bytes).exact()),
            Cell::Bar(share, format!("{:.1} %", 100.0 * share)),
        ]
    };
    let shown = Role::ALL.iter().enumerate().filter(|(_, role)| report.roles.contains_key(role));
    table(&["role", ">bytes", "share of the plan"], shown.map(row))
}

fn layers(report: &PlanReport) -> String {
    let row = |l: &LayerBytes| {
        let bytes = [l.parameters, l.gradients, l.optimizer_state, l.carried_state, l.activations, l.kept];
        let shown = bytes.map(|b| Cell::number(if b == 0 { "-".to_string() } else { Bytes(b).to_string() }));
        std::iter::once(Cell::text(l.layer.clone())).chain(shown).collect()
    };
    let titles =
        ["layer", ">parameters", ">gradients", ">optimizer", ">carried", ">alive at peak", ">kept for backward"];
    few(&titles, report.layers.iter().map(row).collect(), "layers")
}

fn peak(report: &PlanReport) -> String {
    let row =
        |t: &plimsoll::plan::report::PeakTenant| vec![Cell::number(Bytes(t.bytes).exact()), Cell::text(t.name.clone())];
    few(&[">bytes", "what"], report.peak_tenants.iter().map(row).collect(), "more, smaller ones")
}

fn savings(report: &PlanReport) -> String {
    let planned = report.planned_bytes;
    let row = |s: &&Saved| {
        vec![
            Cell::text(s.saving),
            Cell::number(Bytes(s.without_bytes).exact()),
            Cell::number(difference(s.without_bytes, planned)),
            Cell::text(s.how),
        ]
    };
    let (rows, words) = savings_told(planned, report.savings.as_deref().unwrap_or_default());
    table(&["saving", ">planned without it", ">saved", "how"], rows.iter().map(row)) + &note(&words)
}

fn kept(report: &PlanReport) -> String {
    let row = |k: &plimsoll::plan::kept::Kept| {
        let readers: Vec<String> = k.readers.iter().map(|r| format!("{}: {}", reader(r, &k.layer), r.why)).collect();
        vec![
            Cell::text(format!("{}: {}", k.layer, k.name)),
            Cell::number(Bytes(k.bytes).exact()),
            Cell::Words(readers.join("; ")),
        ]
    };
    let rows = report.kept_for_backward.iter().map(row).collect();
    let all = few(&["kept", ">bytes", "read on the way back by"], rows, "more");
    let mut out = format!("<div class=\"stacked\">{all}</div>\n");
    if let Some(rows) = beside_pytorch(report) {
        let row = |(layer, both): (String, [u64; 2])| {
            std::iter::once(Cell::text(layer)).chain(both.map(|b| Cell::number(Bytes(b).exact()))).collect()
        };
        out += &table(&["layer", ">kept here", ">kept by PyTorch"], rows.into_iter().take(ROWS).map(row));
        out += &note(PYTORCH);
    }
    out
}

/// Every value, the largest first, for those who see no picture.
fn every(values: &mut [Rectangle]) -> String {
    values.sort_by_key(|r| (std::cmp::Reverse(r.bytes.end - r.bytes.start), r.steps.start, r.bytes.start));
    let row = |r: &Rectangle| {
        vec![
            Cell::text(r.name.clone()),
            Cell::number(Bytes(r.bytes.end - r.bytes.start).exact()),
            Cell::number(Bytes(r.bytes.start).exact()),
            Cell::number(grouped(r.steps.start as u64 + 1)),
            Cell::number(grouped(r.steps.end as u64)),
        ]
    };
    let titles = ["value", ">bytes", ">from the bottom", ">first dispatch", ">last"];
    let rows: Vec<_> = values.iter().take(ROWS).map(row).collect();
    let rest = values.len().saturating_sub(rows.len());
    let title = format!("{} values, the largest first", grouped(values.len() as u64));
    let more =
        if rest == 0 { String::new() } else { note(&format!("{} smaller ones are not listed.", grouped(rest as u64))) };
    details(&title, &(table(&titles, rows) + &more))
}

/// A table of which the rows after the first dozen are to be opened.
fn few(titles: &[&str], mut rows: Vec<Vec<Cell>>, what: &str) -> String {
    const SHOWN: usize = 12;
    let rest = if rows.len() > SHOWN + 3 { rows.split_off(SHOWN) } else { Vec::new() };
    let first = table(titles, rows);
    if rest.is_empty() {
        return first;
    }
    let left = rest.len().saturating_sub(ROWS);
    let title = format!("{} {what}", grouped(rest.len() as u64));
    let more = if left == 0 { String::new() } else { note(&format!("{} more are not listed.", grouped(left as u64))) };
    first + &details(&title, &(table(titles, rest.into_iter().take(ROWS)) + &more))
}
