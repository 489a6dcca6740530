//! A network written for a part of a window: what a segment begins with and what it ends with.
//!
//! ```text
//! window    |   segment 0   |   segment 1   |   segment 2   |
//! states   s0              s1              s2              s3
//! ```
//!
//! A segment is written as a window is, from the states that the one before it ended with.

use super::LayerError;
use super::builder::{Builder, CarriedState, Phase};
use super::model::{Layer, LayerKind, Model};
use super::network::Network;
use crate::graph::Role;
use crate::ids::{SlotId, ValueId};
use crate::ops::MaskRows;
use crate::tensor::TensorType;

/// The part of a window that a network is written for; by default all of it.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Timesteps of the window before it.
    pub start: u32,
    /// Whether the window ends with it.
    pub is_last: bool,
    /// The states it begins with, in the order in which the network meets them; `None`: those that a window
    /// begins with.
    pub states: Option<Vec<ValueId>>,
}

impl Default for Segment {
    fn default() -> Self {
        Self { start: 0, is_last: true, states: None }
    }
}

/// The states of a network around a segment, in the order in which it meets them.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// Those it begins with.
    pub before: Vec<ValueId>,
    /// Those it ends with.
    pub after: Vec<ValueId>,
}

impl Builder {
    /// What is written from now on is the network for `segment`, whose rows have these `lengths`, if any, counted
    /// from its own start.
    pub fn begin_segment(&mut self, segment: Segment, lengths: Option<ValueId>) {
        self.segment = segment;
        self.ends = Ends::default();
        self.feeds.lengths = lengths;
        self.read.clear();
        self.carried.clear();
    }

    /// The segment being written.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The states around the segment being written, so far.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// The state `name` of the current layer as the segment begins, and the slot that it is carried in if the run
    /// carries state.
    pub(super) fn state_before(
        &mut self,
        name: &str,
        ty: &TensorType,
    ) -> Result<(ValueId, Option<SlotId>), LayerError> {
        let carried = if self.carries() { Some(self.carried(name, ty.clone())?) } else { None };
        let slot = carried.map(|(slot, ..)| slot);
        let before = match (&self.segment.states, carried) {
            (Some(states), _) => states[self.ends.before.len()],
            (None, Some((_, held, keep))) => self.apply_one(MaskRows { mends: true }, &[held, keep])?,
            (None, None) => self.zeros(&ty.shape),
        };
        self.ends.before.push(before);
        Ok((before, slot))
    }

    /// Says that the segment ends with the state `after`, which is carried on in `slot` if the window ends with it.
    pub(super) fn state_after(&mut self, after: ValueId, slot: Option<SlotId>) -> ValueId {
        let after = match slot.filter(|_| self.segment.is_last) {
            Some(slot) => self.graph.store(after, slot, 0),
            None => after,
        };
        self.ends.after.push(after);
        after
    }

    /// The state `name` of the current layer, carried from the window before: its slot, what that
    /// holds, and which rows keep it.
    fn carried(&mut self, name: &str, ty: TensorType) -> Result<(SlotId, ValueId, ValueId), LayerError> {
        let name = format!("{}.{name}", self.layer());
        if !self.carried.insert(name.clone()) {
            return Err(self
                .error(format!("`{name}` is carried on twice; a layer that carries state stands in one place only")));
        }
        self.used.keep = true;
        let keep = self.feeds.keep.ok_or_else(|| self.error("its program has no rows to keep state for"))?;
        let known = self.states.iter().find(|(p, state)| state.name == name && *p == self.phase);
        let slot = match known {
            Some((_, state)) => state.slot,
            None => {
                let copies = if self.phase == Phase::Train { self.state_copies } else { 1 };
                let slot = self.graph.slot(&name, Role::CarriedState, ty.bytes(), copies);
                self.states.push((self.phase, CarriedState { name: name.clone(), slot, kinds: ty.shape[0] }));
                slot
            }
        };
        Ok((slot, self.graph.content(slot, 0, ty, name), keep))
    }
}

impl Network {
    /// Why a window of it cannot be worked out in segments, if so, where rows have `lengths` of their own or not.
    pub(crate) fn only_whole(&self, lengths: bool) -> Option<String> {
        match self {
            _ if !self.is_sequence() => Some("the task has no time".into()),
            Network::Custom(_) => Some("a network written by hand is written for a whole window".into()),
            Network::Layers { model, .. } => model.only_whole(lengths),
        }
    }
}

impl Model {
    fn only_whole(&self, lengths: bool) -> Option<String> {
        let both = |layer: &&Layer| matches!(&layer.kind, LayerKind::Recurrent(all) if all.bidirectional);
        if let Some(layer) = self.layers.iter().find(both) {
            return Some(format!("layer `{}` is bidirectional, and begins at the window's end too", layer.name));
        }
        let is_recurrent = |layer: &&Layer| matches!(layer.kind, LayerKind::Recurrent(_));
        let first = self.layers.iter().position(|layer| layer.kind == LayerKind::Last)?;
        if let Some(layer) = self.layers[first..].iter().find(is_recurrent) {
            return Some(format!("layer `{}` stands behind a layer of type `last`", layer.name));
        }
        // Past a row's end, a recurrent layer holds what it had there; others go on.
        let goes_on = |(at, layer): &(usize, &Layer)| {
            let read = match &layer.inputs[..] {
                [] => self.layers[..*at].last(),
                [one] => self.layers[..*at].iter().find(|before| before.name == *one),
                _ => None,
            };
            layer.kind == LayerKind::Last && read.filter(is_recurrent).is_none()
        };
        let (_, last) = self.layers.iter().enumerate().find(|layer| lengths && goes_on(layer))?;
        Some(format!("rows have lengths, and layer `{}` reads another layer than a recurrent one", last.name))
    }
}
