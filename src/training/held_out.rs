//! The programs that look at data held out: the loss with what is right, and what is predicted.

use crate::data::TARGETS;
use crate::graph::Role;
use crate::ids::{SlotId, ValueId};
use crate::nn::{Answer, LayerError, Phase, Targets};
use crate::ops::Hits;

use super::Training;
use super::programs::{Slots, Writer};

impl Training {
    /// Whether it can be told how many predictions are right: those of classes and bits, but not the
    /// units of a text.
    fn counts_hits(&self) -> bool {
        let task = self.network.task();
        task.is_some_and(|t| !t.writes() && matches!(t.targets, Targets::Classes(_) | Targets::Bits(_)))
    }
}

impl Writer<'_> {
    /// Writes the loss of a batch held out; returns the slots of that and, where it can be told, of
    /// how many predictions are right.
    pub(super) fn evaluate(&mut self, slots: &Slots) -> Result<(SlotId, Option<SlotId>), LayerError> {
        self.builder.begin("evaluate", Phase::Evaluate);
        let fed = self.feed(slots, true);
        let spans = self.training.spans();
        let counts_hits = self.training.counts_hits();
        let (mut states, mut lost, mut right) = (None, None, None);
        for at in 0..spans.len() {
            let (answer, values) = self.segment(&fed, &spans, at, states.take())?;
            states = Some(self.builder.ends().after.clone());
            let Some(Answer { loss, prediction }) = answer else { continue };
            if counts_hits {
                let hits = self.builder.apply_one(Hits, &[prediction, values.field(TARGETS)?])?;
                right = Some(self.add_result("right predictions", hits, right));
            }
            lost = Some(self.add_result("evaluated loss", loss, lost));
        }
        self.builder.graph.protect();
        Ok((lost.expect("a window ends with its targets"), right))
    }

    /// Writes what is predicted of a batch; returns its slot.
    pub(super) fn predict(&mut self, slots: &Slots) -> Result<SlotId, LayerError> {
        self.builder.begin("predict", Phase::Evaluate);
        // The loss is written too, and left out of the schedule since nothing reads it.
        let fed = self.feed(slots, true);
        let prediction = self.answer(&fed)?.prediction;
        let slot = self.keep_result("prediction", prediction);
        self.builder.graph.protect();
        Ok(slot)
    }

    /// Has `value` stay after the program, added to what is in `slot` if it has one; returns where.
    fn add_result(&mut self, name: &str, value: ValueId, slot: Option<SlotId>) -> SlotId {
        match slot {
            None => self.keep_result(name, value),
            Some(slot) => {
                self.builder.graph.accumulate(value, slot, 0);
                slot
            }
        }
    }

    /// Has `value` stay after the program; returns where.
    pub(super) fn keep_result(&mut self, name: &str, value: ValueId) -> SlotId {
        let graph = &mut self.builder.graph;
        let slot = graph.slot(name, Role::Result, graph[value].ty.bytes(), 1);
        graph.store(value, slot, 0);
        slot
    }
}
