//! Reads `[checkpoint]`.

use super::super::keys::CHECKPOINT;
use super::super::section::{Notes, Section};
use super::super::{CheckpointConfig, Every};
use crate::bytes::printable;

pub(super) fn checkpoint<'t>(top: &Section<'t>, notes: &mut Notes<'t>) -> CheckpointConfig {
    let default = CheckpointConfig::left_out();
    let Some(checkpoint) = top.section("checkpoint", CHECKPOINT, notes) else { return default };
    CheckpointConfig {
        every: every(&checkpoint, notes).unwrap_or(default.every),
        keep: checkpoint.count("keep", notes).unwrap_or(default.keep),
    }
}

fn every<'t>(checkpoint: &Section<'t>, notes: &mut Notes<'t>) -> Option<Every> {
    const WANTED: &str = "\"500 steps\", \"10 minutes\" or the like, or \"never\"";
    let value = checkpoint.value("every")?;
    let Some(text) = value.get_ref().as_str() else {
        notes.not_wanted("every", value, WANTED);
        return None;
    };
    let wrong = |reason| format!("`every` is \"{}\", and {reason}; wanted {WANTED}", printable(text));
    text.parse().map_err(|reason: String| notes.say(value.span().start, wrong(reason))).ok()
}
