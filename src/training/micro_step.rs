//! The programs `first` and `next`: a micro-step forward and back, segment by segment where a window has several.

use std::collections::HashSet;
use std::ops::Range;

use crate::autodiff::differentiate_from;
use crate::graph::Graph;
use crate::ids::{SlotId, ValueId};
use crate::nn::{Answer, Feeds, LayerError, Phase, Segment, Values};
use crate::ops::{Binary, Derivation, Emit, Fill};
use crate::tensor::TensorType;

use super::programs::{Slots, Writer};
use super::segments::Move;

/// A batch as the program begun finds it.
pub(super) struct Fed {
    /// The fields, and whether each has one for each timestep.
    fields: Vec<(String, ValueId, bool)>,
    lengths: Option<ValueId>,
}

/// Where a micro-step leaves its loss and its gradients.
#[derive(Clone, Copy)]
pub(super) struct Sums<'a> {
    pub(super) loss: SlotId,
    /// A slot for each group of parameters; `None` where gradients are left where they are made.
    pub(super) gradients: Option<&'a [SlotId]>,
    /// Whether they are added to what is there.
    pub(super) add: bool,
}

/// What a micro-step has made.
pub(super) struct Learnt {
    /// Its loss.
    pub(super) loss: ValueId,
    /// The gradient of each parameter that has one, as made last.
    pub(super) gradients: Vec<Option<ValueId>>,
}

impl Writer<'_> {
    /// Tells the builder what the program begun has.
    pub(super) fn feed(&mut self, slots: &Slots, losses: bool) -> Fed {
        let graph = &mut self.builder.graph;
        let mut content = |slot: SlotId, ty: TensorType| {
            let name = graph[slot].name.clone();
            graph.content(slot, 0, ty, name)
        };
        let by_row = TensorType::u32(&[slots.rows]);
        let lengths = slots.lengths.map(|slot| content(slot, by_row.clone()));
        let feeds = Feeds {
            keep: slots.keep.map(|slot| content(slot, by_row.clone())),
            lengths,
            dropout: slots.dropout.map(|slot| content(slot, TensorType::u32(&[4]))),
            loss_scale: losses.then(|| content(slots.loss_scale, TensorType::f32(&[1]))),
        };
        let values: Vec<_> = slots.fields.iter().map(|field| content(field.slot, field.ty.clone())).collect();
        self.builder.feed(feeds);
        let fields = slots.fields.iter().zip(values);
        Fed { fields: fields.map(|(field, value)| (field.name.clone(), value, field.time)).collect(), lengths }
    }

    /// Writes the network for the whole window into the program begun.
    pub(super) fn answer(&mut self, fed: &Fed) -> Result<Answer, LayerError> {
        let values = Values(fed.fields.iter().map(|(name, value, _)| (name.clone(), *value)).collect());
        Ok(self.checked(&values)?.expect("a window ends with its targets"))
    }

    /// Writes the network for segment `at` of `spans`, from these `states` before it; `None` of one that has no
    /// targets.
    pub(super) fn segment(
        &mut self,
        fed: &Fed,
        spans: &[Range<u32>],
        at: usize,
        states: Option<Vec<ValueId>>,
    ) -> Result<(Option<Answer>, Values), LayerError> {
        let Range { start, end } = spans[at];
        self.builder.enter("inputs");
        let graph = &mut self.builder.graph;
        let lengths = fed.lengths.map(|all| match start {
            0 => all,
            by => graph.derive(all, Derivation::Less { by }),
        });
        let emit: &mut dyn Emit = graph;
        let field = |(name, value, time): &(String, ValueId, bool)| {
            (name.clone(), if *time { emit.slice(*value, 0, start..end) } else { *value })
        };
        let values = Values(fed.fields.iter().map(field).collect());
        let segment = Segment { start, is_last: at + 1 == spans.len(), states };
        self.builder.begin_segment(segment, lengths);
        Ok((self.checked(&values)?, values))
    }

    fn checked(&mut self, values: &Values) -> Result<Option<Answer>, LayerError> {
        let answer = self.training.network.write(self.builder, values)?;
        // One written by hand may return anything as its loss.
        match answer.map(|a| self.builder.graph[a.loss].ty.clone()) {
            Some(ty) if ty != TensorType::f32(&[1]) => {
                let reason = format!("its loss is {ty} and must be one number, f32[1]");
                Err(LayerError { layer: "network".into(), reason })
            }
            _ => Ok(answer),
        }
    }

    /// Writes a micro-step, all but the copies that protect what it reads.
    pub(super) fn micro_step(&mut self, name: &'static str, slots: &Slots, sums: Sums) -> Result<Learnt, LayerError> {
        self.builder.begin(name, Phase::Train);
        let fed = self.feed(slots, true);
        let spans = self.training.spans();
        let mut states: Vec<Option<Vec<ValueId>>> = vec![None; spans.len() + 1];
        // The gradients of the states that the segment behind begins with.
        let mut behind: Vec<Option<ValueId>> = Vec::new();
        let mut summed =
            Summed { of: sums, loss: None, gradients: vec![None; self.builder.parameters().len()], blocks: 1 };
        let scaler = slots.scaler.filter(|_| self.training.scaling().is_some());
        let graph = &mut self.builder.graph;
        let scale = scaler.map(|slot| graph.content(slot, 0, TensorType::f32(&[1]), "loss scaler"));
        for step in self.training.moves() {
            self.builder.graph.turn_forth();
            let (Move::Advance(at) | Move::Learn(at)) = step;
            let first = self.builder.graph.current_nodes().len();
            let (answer, _) = self.segment(&fed, &spans, at, states[at].clone())?;
            let ends = self.builder.ends().clone();
            if at == 0 && self.builder.carries() {
                // The slot that they came from is overwritten where the window ends.
                states[0] = Some(ends.before.clone());
            }
            match step {
                Move::Advance(_) => states[at + 1] = Some(ends.after),
                Move::Learn(_) => {
                    let before = if at > 0 { &ends.before[..] } else { &[] };
                    // States are met in the same order in every segment.
                    let after = ends.after.iter().zip(&behind);
                    let known = after.filter_map(|(&state, &slope)| Some((state, slope?))).collect();
                    behind = self.learn(first, answer, scale, known, before, &mut summed);
                }
            }
        }
        self.training.check_blocks(summed.blocks)?;
        Ok(Learnt { loss: summed.loss.expect("a window ends with its targets"), gradients: summed.gradients })
    }

    /// Differentiates the segment whose nodes begin at `first`, given the gradients `known` of what it ends with,
    /// and adds up its loss and gradients; returns the gradients of the states it begins with.
    fn learn(
        &mut self,
        first: usize,
        answer: Option<Answer>,
        scale: Option<ValueId>,
        mut known: Vec<(ValueId, ValueId)>,
        before: &[ValueId],
        summed: &mut Summed,
    ) -> Vec<Option<ValueId>> {
        let parameters = self.builder.parameters().to_vec();
        let used: Vec<(usize, ValueId)> = parameters
            .iter()
            .enumerate()
            .flat_map(|(i, p)| self.builder.values_of(p).into_iter().map(move |v| (i, v)))
            .collect();
        let wanted: Vec<ValueId> = used.iter().map(|(_, v)| *v).chain(before.iter().copied()).collect();
        let graph = &mut self.builder.graph;
        let forward = first..graph.current_nodes().len();
        graph.turn_back();
        if let Some(Answer { loss, .. }) = answer {
            let one = Fill { value: 1.0, shape: graph[loss].ty.shape.clone() };
            known.push((loss, scale.unwrap_or_else(|| graph.emit(one.into(), &[])[0])));
        }
        let mut found = differentiate_from(graph, first, &known, &wanted);
        let of_states = found.split_off(used.len());
        // A parameter used twice has a gradient for each use.
        let mut totals: Vec<Option<ValueId>> = vec![None; parameters.len()];
        for (&(i, _), gradient) in used.iter().zip(found) {
            let Some(gradient) = gradient else { continue };
            totals[i] = Some(match totals[i] {
                Some(so_far) => graph.emit(Binary::Add.into(), &[so_far, gradient])[0],
                None => gradient,
            });
        }
        for (i, (parameter, total)) in parameters.iter().zip(&totals).enumerate() {
            let Some(gradient) = *total else { continue };
            // Two parameters that are only ever added to one another have one gradient.
            let shared = totals.iter().filter(|other| *other == total).count() > 1;
            graph.set_label(parameter.layer());
            let so_far = &mut summed.gradients[i];
            *so_far = Some(match summed.of.gradients {
                None => gradient,
                Some(slots) => {
                    let add = summed.of.add || so_far.is_some();
                    add_up(graph, gradient, (slots[parameter.group], parameter.offset), add, shared)
                }
            });
        }
        if let Some(Answer { loss, .. }) = answer {
            graph.set_label("loss");
            let add = summed.of.add || summed.loss.is_some();
            summed.loss = Some(add_up(graph, loss, (summed.of.loss, 0), add, false));
        }
        if let Some(blocks) = self.training.recompute {
            let never_whole = if self.without.chunks { HashSet::new() } else { graph.never_whole(self.target) };
            summed.blocks = summed.blocks.max(graph.recompute(forward, blocks, &never_whole));
        }
        of_states
    }
}

/// What has been summed of a micro-step so far.
struct Summed<'a> {
    of: Sums<'a>,
    loss: Option<ValueId>,
    /// By parameter.
    gradients: Vec<Option<ValueId>>,
    /// Blocks that its network was cut into.
    blocks: usize,
}

/// Stores `value` in a place of a slot, or adds it to what is there; apart, if it is needed elsewhere as it is.
fn add_up(graph: &mut Graph, value: ValueId, (slot, offset): (SlotId, u64), add: bool, apart: bool) -> ValueId {
    match (add, apart) {
        (true, true) => graph.accumulate_apart(value, slot, offset),
        (true, false) => graph.accumulate(value, slot, offset),
        (false, _) => graph.store(value, slot, offset),
    }
}
