//! What may be chosen of a run without another result, in words and as lines of a run file.

use serde::Serialize;

use super::{Segments, Storage, Training};

/// What is chosen of a run without another result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Way {
    /// Micro-steps of an update.
    pub accumulate: u32,
    /// How a window is worked out in segments, if it is.
    pub segments: Option<Segments>,
    /// Blocks in which the network is worked out again on the way back, at most, if it is.
    pub recompute: Option<u32>,
    /// Whether gradients are released as soon as they are used.
    pub release_gradients: bool,
    /// Whether copies of parameters in halves, if there are any, are kept from one micro-step to the next.
    pub keep_copies: bool,
}

impl Way {
    /// Nothing saved for time.
    pub const PLAIN: Self =
        Self { accumulate: 1, segments: None, recompute: None, release_gradients: false, keep_copies: true };

    /// It in a few words.
    pub fn told(self) -> String {
        let mut all = vec![match self.accumulate {
            1 => "one micro-step".to_string(),
            n => format!("{n} micro-steps"),
        }];
        if let Some(Segments { timesteps, states }) = self.segments {
            let states = states.map_or_else(|| "all states".into(), |n| format!("{n} states"));
            all.push(format!("segments of {timesteps} timesteps, {states} between them kept"));
        }
        if let Some(blocks) = self.recompute {
            all.push(format!("activations recomputed in {blocks} blocks"));
        }
        if self.release_gradients {
            all.push("each gradient released once it is used".into());
        }
        if !self.keep_copies {
            all.push("copies of parameters made anew in each micro-step".into());
        }
        all.join(", ")
    }

    /// What sets it apart from another, in a few words.
    pub(super) fn told_beside(self, other: Self) -> String {
        let mut all = vec!["the same updates".to_string()];
        if self.accumulate != other.accumulate {
            all.push(format!("in {} micro-steps", self.accumulate));
        }
        if let Some(Segments { timesteps, .. }) = self.segments.filter(|_| self.segments != other.segments) {
            all.push(format!("windows in segments of {timesteps} timesteps, made again on the way back"));
        }
        match self.recompute.filter(|_| self.recompute != other.recompute) {
            Some(blocks) => all.push(format!("activations recomputed on the way back, in {blocks} blocks")),
            None if other.recompute.is_some() => all.push("activations kept for the way back".to_string()),
            None => {}
        }
        match (self.release_gradients, other.release_gradients) {
            (true, false) => all.push("each gradient released once it is used".to_string()),
            (false, true) => all.push("gradients kept until all are there".to_string()),
            _ => {}
        }
        match (self.keep_copies, other.keep_copies) {
            (false, true) => all.push("copies of parameters made anew in each micro-step".to_string()),
            (true, false) => all.push("copies of parameters kept between micro-steps".to_string()),
            _ => {}
        }
        all.join(", ")
    }
}

impl Training {
    /// The way it is described.
    pub fn way(&self) -> Way {
        let Self { accumulate, segments, recompute, release_gradients, keep_copies, .. } = *self;
        Way { accumulate, segments, recompute, release_gradients, keep_copies }
    }

    /// The same run in another way.
    pub fn in_way(&self, way: Way) -> Self {
        let Way { accumulate, segments, recompute, release_gradients, keep_copies } = way;
        Self { accumulate, segments, recompute, release_gradients, keep_copies, ..self.clone() }
    }

    /// What sets it apart from the run as `described`, as lines of a run file: tables, and the keys below each.
    pub fn lines_beside(&self, described: &Self) -> Vec<String> {
        let changed = |key: &str, now: Option<String>, was: Option<String>| match now {
            now if now == was => None,
            Some(now) => Some(format!("{key} = {now}")),
            None => Some(format!("# without {key}")),
        };
        let number = |n: u32| Some(n.to_string());
        let halves =
            |training: &Training| Some(format!("\"{}\"", if training.storage == Storage::F16 { "f16" } else { "f32" }));
        let train = [
            changed("batch", number(self.batch), number(described.batch)),
            changed("window", number(self.window), number(described.window)),
            changed("accumulate", number(self.accumulate), number(described.accumulate)),
            changed("storage", halves(self), halves(described)),
        ];
        let (now, was) = (self.segments, described.segments);
        let [timesteps, states] = [|s: Segments| Some(s.timesteps), |s: Segments| s.states];
        let of =
            |segments: Option<Segments>, part: fn(Segments) -> Option<u32>| segments.and_then(part).and_then(number);
        let released = |training: &Training| Some(training.release_gradients.to_string());
        let copies = |training: &Training| Some(training.keep_copies.to_string());
        let budget = [
            changed("segment", of(now, timesteps), of(was, timesteps)),
            changed("segment_states", of(now, states), of(was, states)),
            changed("recompute", self.recompute.and_then(number), described.recompute.and_then(number)),
            changed("release_gradients", released(self), released(described)),
            changed("keep_copies", copies(self), copies(described)),
        ];
        let table = |head: &str, keys: Vec<String>| {
            let head = Some(head.to_string()).filter(|_| !keys.is_empty());
            head.into_iter().chain(keys).collect::<Vec<_>>()
        };
        let [train, budget] = [train.into_iter().flatten().collect(), budget.into_iter().flatten().collect()];
        [table("[train]", train), table("[budget]", budget)].concat()
    }
}
