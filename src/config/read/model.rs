//! What layers must be to one another and to the data; checked when all of them have been read.

use super::super::keys::{did_you_mean, nearest};
use super::super::section::Notes;
use super::super::{DataConfig, LayerKind, Source};
use super::layers::Found;
use crate::bytes::printable;

/// Of the layers before one, so many are held against a name that is none of them, and so many are listed. A file may
/// have thousands of layers, each with a mistake.
const MOST_COMPARED: usize = 100;
const MOST_NAMED: usize = 20;

/// Notes what does not fit. With `data` that is `None`, nothing is said about it.
pub(super) fn check(
    found: &[Found<'_>],
    names: &[String],
    data: Option<&DataConfig>,
    carry_state: bool,
    notes: &mut Notes<'_>,
) {
    let before = Before { found, names };
    for (i, layer) in found.iter().enumerate() {
        let Some(kind) = &layer.kind else { continue };
        if let Some(message) = data.and_then(|data| misplaced(i, kind, data)) {
            notes.say(layer.section.at("type"), message);
        }
        if carry_state && kind.is_bidirectional() {
            let message = "a bidirectional layer needs the whole sequence, as its backward direction begins at the end, \
                           and where state is carried on the sequence has no end; \
                           wanted `carry_state = false` in `[train]`, or `bidirectional = false`";
            notes.say(layer.section.at("bidirectional"), message.to_owned());
        }
        if !kind.has_weights() && layer.section.value("init").is_some() && matches!(kind, LayerKind::Linear { .. }) {
            let message = "`init` is for weights of the layer's own, and these are the embedding's that `tied` names";
            notes.say(layer.section.at("init"), message.to_owned());
        }
        before.check_input(i, layer, kind, notes);
        if let LayerKind::Linear { tied: Some(tied), .. } = kind {
            before.check_tied(i, tied, layer.section.at("tied"), notes);
        }
    }
}

/// Why layer `i` cannot be of this kind, the data being what it is.
fn misplaced(i: usize, kind: &LayerKind, data: &DataConfig) -> Option<String> {
    let (word, source) = (kind.type_name(), data.source.type_name());
    let is_text = matches!(data.source, Source::Text { .. });
    let is_embedding = matches!(kind, LayerKind::Embedding { .. });
    if is_embedding && !data.reads_ids() {
        let ids = match data.source {
            Source::Arrays { .. } => "; if they are ids, say how many with `vocabulary` in `[data]`",
            _ => "",
        };
        return Some(format!("an `embedding` reads ids, and the inputs of data of type `{source}` are numbers{ids}"));
    }
    if is_embedding && i > 0 {
        let what = if is_text { "units of the text" } else { "the ids of the data" };
        return Some(format!("an `embedding` reads {what}, so it can only be the first layer"));
    }
    if i == 0 && data.reads_ids() && !is_embedding {
        let what = if is_text { "text is" } else { "ids are" };
        return Some(format!(
            "the first layer is of type `{word}`; {what} read by an `embedding` \
             (one-hot input to another layer is not supported)"
        ));
    }
    if kind.needs_time() && data.is_without_time() {
        let rows = match data.source {
            Source::Idx { .. } => "; `rows_as_steps = true` in `[data]` makes one of each picture",
            _ => "",
        };
        return Some(format!("a layer of type `{word}` reads sequences, and data of type `{source}` has none{rows}"));
    }
    if *kind == LayerKind::Last && data.predicts_each_step() {
        let each = if is_text { "a text has a target for each step" } else { "`predict` in `[data]` is `each`" };
        return Some(format!("a layer of type `last` leaves one step of a sequence, and {each}"));
    }
    None
}

/// The last `most` of `names`, or all.
fn last<'a, 'n>(names: &'a [&'n str], most: usize) -> &'a [&'n str] {
    names.split_at(names.len().saturating_sub(most)).1
}

/// What layers can name: those before them.
struct Before<'a> {
    found: &'a [Found<'a>],
    names: &'a [String],
}

impl Before<'_> {
    fn check_input(&self, i: usize, layer: &Found<'_>, kind: &LayerKind, notes: &mut Notes<'_>) {
        for (name, at) in &layer.input {
            if !self.names.iter().take(i).any(|before| before == name) {
                let all: Vec<_> = self.names.iter().take(i).map(String::as_str).collect();
                notes.say(*at, self.not_before("input", name, i, "layer", &all, notes));
            }
        }
        let word = kind.type_name();
        if matches!(kind, LayerKind::Add | LayerKind::Concat) && layer.input.len() == 1 {
            let message = format!("a layer of type `{word}` has one input; wanted at least two");
            notes.say(layer.section.at("input"), message);
        }
    }

    fn check_tied(&self, i: usize, tied: &str, at: usize, notes: &mut Notes<'_>) {
        let kinds = self.found.iter().map(|found| found.kind.as_ref());
        let named = self.names.iter().take(i).zip(kinds).collect::<Vec<_>>();
        let is_embedding = |kind: &Option<&LayerKind>| matches!(kind, Some(LayerKind::Embedding { .. }));
        match named.iter().find(|(name, _)| *name == tied) {
            Some((_, Some(kind))) if !is_embedding(&Some(kind)) => {
                let (tied, word) = (printable(tied), kind.type_name());
                notes.say(at, format!("`tied` names `{tied}`, a layer of type `{word}`; wanted an `embedding`"));
            }
            Some(_) => {}
            None => {
                let all: Vec<_> =
                    named.iter().filter(|(_, kind)| is_embedding(kind)).map(|(name, _)| name.as_str()).collect();
                notes.say(at, self.not_before("tied", tied, i, "embedding", &all, notes));
            }
        }
    }

    /// Says that `name` is no layer before layer `i`, and which there are.
    fn not_before(&self, key: &str, name: &str, i: usize, what: &str, all: &[&str], notes: &Notes<'_>) -> String {
        let later = self.names.iter().enumerate().skip(i).find(|(_, later)| *later == name).map(|(at, _)| at);
        let place = match later {
            Some(same) if same == i => "which is this layer itself".to_owned(),
            Some(later) => {
                let start = self.found.get(later).map_or(0, |found| found.section.start);
                format!("which comes only at line {}", notes.line(start))
            }
            None => format!("which is no {what} before it") + &did_you_mean(nearest(name, last(all, MOST_COMPARED))),
        };
        let (named, more) = (last(all, MOST_NAMED), if all.len() > MOST_NAMED { "..., " } else { "" });
        let list = if all.is_empty() { "none".to_owned() } else { more.to_owned() + &named.join(", ") };
        format!("`{key}` names `{}`, {place} ({what}s before it: {list})", printable(name))
    }
}
