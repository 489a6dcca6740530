//! `plimsoll plan --explain`: why tensors are kept, and what each way of saving memory brings.

use plimsoll::bytes::Bytes;
use plimsoll::plan::kept::{Kept, Reader};
use plimsoll::run::PlanReport;
use plimsoll::training::{NONE_OF_THEM, Saved};

use crate::table::draw;

/// Columns of a line of words.
const WIDTH: usize = 100;
/// Of what is kept, so many tensors are shown.
const SHOWN: usize = 40;

/// What the model of PyTorch is.
pub(crate) const PYTORCH: &str = "PyTorch's column is a model: what the operators of torch.nn 2.15 were seen to save by \
     torch.autograd.graph.saved_tensors_hooks on a CPU without oneDNN, in f32.";

/// The tables, one after the other.
pub(crate) fn explained(report: &PlanReport) -> Vec<String> {
    [report.savings.as_deref().map(|savings| saved(report.planned_bytes, savings)), kept(report), beside(report)]
        .into_iter()
        .flatten()
        .collect()
}

/// What takes a large share for a reason that is easily overlooked; none if nothing does.
pub(crate) fn warnings(report: &PlanReport) -> Option<String> {
    let told: Vec<String> = report.warnings.iter().map(|w| wrapped(&format!("NOTE: {}", w.text), "  ")).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

/// More than nothing as it is, less than nothing with a sign.
pub(crate) fn difference(without: u64, with: u64) -> String {
    let sign = if without < with { "-" } else { "" };
    format!("{sign}{}", Bytes(without.abs_diff(with)))
}

/// What the plan would take without each saving.
fn saved(planned: u64, savings: &[Saved]) -> String {
    let row = |s: &&Saved| {
        let (bytes, saved) = (Bytes(s.without_bytes).exact(), difference(s.without_bytes, planned));
        vec![s.saving.to_string(), bytes, saved, s.how.to_string()]
    };
    let (rows, words) = savings_told(planned, savings);
    let table = draw(&["saving", ">planned without it", ">saved", "how"], rows.iter().map(row));
    format!("{table}\n{}", wrapped(&words, ""))
}

/// The savings that make a difference, and what there is to say of all of them.
pub(crate) fn savings_told(planned: u64, savings: &[Saved]) -> (Vec<&Saved>, String) {
    let (here, elsewhere): (Vec<&Saved>, Vec<&Saved>) = savings.iter().partition(|s| s.without_bytes != planned);
    let names: Vec<&str> = elsewhere.iter().map(|s| s.saving).filter(|name| *name != NONE_OF_THEM).collect();
    let nothing = match &names[..] {
        [] => String::new(),
        names => format!(" Nothing is saved here by {}.", names.join(", ")),
    };
    (here, format!("Each was planned without it. They overlap, so that they do not add up.{nothing}"))
}

/// What is kept for the way back, each tensor with who reads it there.
fn kept(report: &PlanReport) -> Option<String> {
    let all = &report.kept_for_backward;
    if all.is_empty() {
        return None;
    }
    let (shown, rest) = all.split_at(all.len().min(SHOWN));
    let mut rows: Vec<Vec<String>> = shown.iter().flat_map(rows_of).collect();
    if !rest.is_empty() {
        let bytes = rest.iter().map(|k| k.bytes).fold(0, u64::saturating_add);
        let name = format!("{} more; `--json` has all", rest.len());
        rows.push(vec![name, Bytes(bytes).to_string(), String::new(), String::new()]);
    }
    let titles = ["kept for backward", ">bytes", "read on the way back by", "for"];
    let sum = all.iter().map(|k| k.bytes).fold(0, u64::saturating_add);
    // Of one in segments, most is made again on the way back.
    let where_to = if report.segment.is_some() { ", where the last segment of a window turns back" } else { "" };
    let words = format!(
        "{} in all{where_to}. Parameters, the batch and carried state lie in memory anyway and are not among it.",
        Bytes(sum)
    );
    Some(format!("{}\n{}", draw(&titles, rows), wrapped(&words, "")))
}

fn rows_of(kept: &Kept) -> Vec<Vec<String>> {
    let first = [format!("{}: {}", kept.layer, kept.name), Bytes(kept.bytes).to_string()];
    let blank = [String::new(), String::new()];
    let row = |(i, r): (usize, &Reader)| {
        let begins = if i == 0 { first.clone() } else { blank.clone() };
        begins.into_iter().chain([reader(r, &kept.layer), r.why.to_string()]).collect()
    };
    kept.readers.iter().enumerate().map(row).collect()
}

/// An op, and what it makes or else where it stands.
pub(crate) fn reader(reader: &Reader, layer: &str) -> String {
    match &reader.parameter {
        Some(parameter) => format!("{}, for {parameter}", reader.op),
        None if reader.layer == layer => reader.op.to_string(),
        None => format!("{} of {}", reader.op, reader.layer),
    }
}

/// What PyTorch would keep of the same layers.
fn beside(report: &PlanReport) -> Option<String> {
    let titles = ["kept for backward", ">here", ">by PyTorch"];
    let row = |(layer, [ours, theirs]): (String, [u64; 2])| {
        let shown = [ours, theirs].map(|b| if b == 0 { "-".to_string() } else { Bytes(b).exact() });
        std::iter::once(layer).chain(shown).collect()
    };
    let rows = beside_pytorch(report)?;
    Some(format!("{}\n{}", draw(&titles, rows.into_iter().map(row)), wrapped(PYTORCH, "")))
}

/// For each layer, what it keeps here and by the model of PyTorch, and the sum of each.
pub(crate) fn beside_pytorch(report: &PlanReport) -> Option<Vec<(String, [u64; 2])>> {
    let theirs = report.kept_by_pytorch.as_ref()?;
    let mut rows: Vec<(String, [u64; 2])> = theirs.iter().map(|k| (k.layer.clone(), [0, k.bytes])).collect();
    for kept in &report.kept_for_backward {
        match rows.iter_mut().find(|(layer, _)| *layer == kept.layer) {
            Some((_, [ours, _])) => *ours = ours.saturating_add(kept.bytes),
            None => rows.push((kept.layer.clone(), [kept.bytes, 0])),
        }
    }
    let sum = |at: usize| rows.iter().filter_map(|(_, both)| both.get(at)).copied().fold(0, u64::saturating_add);
    let all = [sum(0), sum(1)];
    rows.push(("together".into(), all));
    Some(rows)
}

/// Words in lines, all but the first of which begin with `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out += &std::mem::replace(&mut line, format!("{indent}{word}"));
            out.push('\n');
            continue;
        }
        if !line.trim().is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        let text = "one two three ".repeat(40);
        let lines = wrapped(&text, "  ");
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
        assert!(lines.lines().skip(1).all(|line| line.starts_with("  ")) && lines.lines().count() > 4, "{lines}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>(), words);
        assert_eq!(wrapped("one", "  "), "one");
    }

    #[test]
    fn what_would_cost_more_is_told_with_a_sign() {
        assert_eq!(difference(3 << 10, 1 << 10), "2 KiB");
        assert_eq!(difference(1 << 10, 3 << 10), "-2 KiB");
    }
}
