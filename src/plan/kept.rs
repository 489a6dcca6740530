//! What the forward pass leaves for the way back, and who reads it there.
//!
//! ```text
//! forward          | backward
//! y  [=============|======]          kept: `elman gradient` reads it
//! xp [====]        |                 not kept
//! ```

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;

use super::{Placed, Plan};
use crate::graph::Role;
use crate::ids::{NodeId, ValueId};
use crate::schedule::{Step, touched};

/// Something made on the way forward and alive when the way back begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The layer that made it.
    pub layer: String,
    /// The op that made it, and its shape and storage.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Who reads it on the way back, in that order.
    pub readers: Vec<Reader>,
}

/// Who reads on the way back what was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// The op.
    pub op: &'static str,
    /// The layer it belongs to.
    pub layer: String,
    /// The parameter whose gradient it makes; none where it makes something that others read.
    pub parameter: Option<String>,
    /// What it needs it for.
    pub why: &'static str,
    /// The dispatch of the program by which it is read first, counted from 1.
    pub dispatch: usize,
}

/// A program's way back.
pub(super) struct Turn {
    /// All its steps.
    pub(super) steps: Range<usize>,
    /// The first step of the way back, counted as the schedule's are.
    pub(super) at: usize,
}

impl Plan {
    /// Where the first program that learns turns back.
    pub(super) fn turn(&self) -> Option<Turn> {
        let mut programs = self.graph.programs().iter().zip(&self.schedule.programs);
        let (program, span) = programs.find(|(p, _)| p.backward().is_some())?;
        // Copies that protect a value have later numbers, so it is the order of nodes that tells.
        let backward = program.nodes.iter().copied().skip_while(|&n| Some(n) != program.backward());
        let backward: std::collections::HashSet<NodeId> = backward.collect();
        let steps = self.schedule.steps.get(span.steps.clone())?;
        let before = steps.iter().take_while(|step| !backward.contains(&step.node)).count();
        Some(Turn { steps: span.steps.clone(), at: span.steps.start + before })
    }

    /// What lies in memory from the way forward to the way back.
    pub(super) fn crossing<'a>(&'a self, turn: &'a Turn) -> impl Iterator<Item = &'a Placed> {
        self.tenants.iter().filter(|Placed { tenant, .. }| {
            let (start, end) = (tenant.interval.start as usize, tenant.interval.end as usize);
            turn.steps.contains(&start) && start < turn.at && end > turn.at
        })
    }

    /// What each layer's forward pass leaves for the way back, in the order in which it is made, and why. What lies
    /// in memory all along is not among it: parameters, the batch, state that was carried in.
    pub fn kept_for_backward(&self) -> Vec<Kept> {
        let Some(turn) = self.turn() else { return Vec::new() };
        let spans = touched(&self.schedule.steps);
        let mut reads: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (at, step) in self.schedule.steps.iter().enumerate().take(turn.steps.end).skip(turn.at) {
            step.accesses.iter().filter_map(|a| a.reads).for_each(|value| reads.entry(value).or_default().push(at));
        }
        let mut all: Vec<&Placed> = self.crossing(&turn).collect();
        all.sort_by_key(|placed| placed.tenant.interval.start);
        all.into_iter().filter_map(|placed| self.kept_one(placed, &turn, &spans, &reads)).collect()
    }

    fn kept_one(
        &self,
        placed: &Placed,
        turn: &Turn,
        spans: &HashMap<ValueId, Range<u32>>,
        reads: &HashMap<ValueId, Vec<usize>>,
    ) -> Option<Kept> {
        // Of values that lie on one another, the last that was made before the turn.
        let made_forward = |v: &&ValueId| spans.get(v).is_some_and(|s| (s.start as usize) < turn.at);
        let value = *placed.tenant.values.iter().rev().find(made_forward)?;
        let node = self.graph[value].producer.map(|(node, _)| &self.graph[node]);
        let op = node.map_or("", |node| node.op.rule().name());
        let mut readers: Vec<(NodeId, Reader)> = Vec::new();
        for &at in reads.get(&value).into_iter().flatten() {
            let step = &self.schedule.steps[at];
            if readers.iter().all(|(node, _)| *node != step.node) {
                readers.push((step.node, self.reader(step, value, at - turn.steps.start + 1)));
            }
        }
        Some(Kept {
            layer: self.graph[placed.tenant.values[0]].label.clone(),
            name: format!("{op} {}", self.graph[value].ty),
            bytes: placed.place.bytes,
            readers: readers.into_iter().map(|(_, reader)| reader).collect(),
        })
    }

    fn reader(&self, step: &Step, value: ValueId, dispatch: usize) -> Reader {
        let node = &self.graph[step.node];
        let parameter = node.site.outputs.iter().find_map(|o| self.graph[*o].home).and_then(|home| {
            let slot = &self.graph[home.slot];
            let part = slot.parts.iter().find(|part| part.offset == home.offset);
            part.filter(|_| slot.role == Role::Gradient).map(|part| part.name.clone())
        });
        // It may be bound as a part of what it shows, so it is the base that tells which input it is.
        let input = node.site.inputs.iter().position(|i| self.schedule.base(*i).value == value);
        let again = self.graph.repeated().iter().any(|(again, _)| node.site.outputs.contains(again));
        let need = |i| if again { "activations that are recomputed from it" } else { node.op.rule().need(i) };
        let why = input.map_or("", need);
        Reader { op: node.op.rule().name(), layer: node.label.clone(), parameter, why, dispatch }
    }
}
