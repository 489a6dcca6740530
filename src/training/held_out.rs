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
        let Answer { loss, prediction } = self.answer(slots)?;
        let targets = slots.fields.iter().find(|(name, ..)| name == TARGETS);
        let hits = match targets.filter(|_| self.training.counts_hits()) {
            Some((name, slot, ty)) => {
                let targets = self.builder.graph.content(*slot, 0, ty.clone(), name);
                let hits = self.builder.apply_one(Hits, &[prediction, targets])?;
                Some(self.keep_result("right predictions", hits))
            }
            None => None,
        };
        let loss = self.keep_result("evaluated loss", loss);
        self.builder.graph.protect();
        Ok((loss, hits))
    }

    /// Writes what is predicted of a batch; returns its slot.
    pub(super) fn predict(&mut self, slots: &Slots) -> Result<SlotId, LayerError> {
        self.builder.begin("predict", Phase::Evaluate);
        // The loss is written too, and left out of the schedule since nothing reads it.
        let prediction = self.answer(slots)?.prediction;
        let slot = self.keep_result("prediction", prediction);
        self.builder.graph.protect();
        Ok(slot)
    }

    /// Has `value` stay after the program; returns where.
    pub(super) fn keep_result(&mut self, name: &str, value: ValueId) -> SlotId {
        let graph = &mut self.builder.graph;
        let slot = graph.slot(name, Role::Result, graph[value].ty.bytes(), 1);
        graph.store(value, slot, 0);
        slot
    }
}
