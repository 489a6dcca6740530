//! Gradients that are released as soon as the optimizer has used them.
//!
//! ```text
//! first   forward, loss | dW3, update of W3 | dx, dW2, update of W2 | dx, dW1, update of W1
//! ```
//!
//! A gradient is then memory like any other that is made on the way, and no more of them are there at once than the
//! way back makes: of a stack of linear layers one. It can only be where an update needs no more than one gradient
//! at a time: no sum over micro-steps or segments, no norm of all of them to clip by.
//!
//! In a run that stops at a step that is not finite, its guard goes along: each update looks at the loss and at all
//! gradients before it. Where the loss is not finite, nothing changes, as ever. Where a gradient is not, what was updated
//! before it has changed; the run has to go back to a checkpoint to have the state before that step.
//!
//! A run that skips such a step has to know before the first update. Then all activations' gradients are made first, and
//! from them a bound of all that is still to be made of them (`graph/late.rs`):
//!
//! ```text
//! first   forward, loss | dx, dx | the bound | dW1, update of W1 | dW2, update of W2 | dW3, update of W3
//! ```

use super::programs::{Slots, Writer};
use super::{NonFinite, Storage, Training};
use crate::error::Error;
use crate::graph::{Graph, Role};
use crate::ids::{SlotId, ValueId};
use crate::nn::{Parameter, Phase};
use crate::ops::{Fill, GradientNorm, Pad, ParameterRange, View, clamp};
use crate::tensor::TensorType;

/// What a step has in slots beside parameters and gradients.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// Its loss.
    pub(super) loss: SlotId,
    /// The norm of its gradients, and their factor.
    pub(super) norm: SlotId,
    /// What the optimizer is told.
    pub(super) scalars: SlotId,
}

impl Training {
    /// Why gradients cannot be released as soon as they are used, if so.
    pub fn keeps_gradients(&self) -> Option<String> {
        let clip = || self.clip_norm.map(|norm| format!("they are clipped by the norm of all of them, {norm}"));
        if self.accumulate > 1 {
            return Some(format!("they are summed over {} micro-steps", self.accumulate));
        }
        if self.spans().len() > 1 {
            return Some(format!("they are summed over {} segments of a window", self.spans().len()));
        }
        clip()
    }

    pub(super) fn check_release(&self) -> Result<(), Error> {
        match self.keeps_gradients().filter(|_| self.release_gradients) {
            Some(reason) => Err(Error::Input(format!(
                "gradients cannot be released as soon as they are used: {reason}; leave out `release_gradients`"
            ))),
            None => Ok(()),
        }
    }
}

impl Writer<'_> {
    /// Writes, into the micro-step being written, the update of each parameter from its gradient of `gradients`, by
    /// position, each to run as soon as it can; `loss` is the step's.
    pub(super) fn update_early(
        &mut self,
        slots: &Slots,
        told: Told,
        states: &[Vec<SlotId>],
        loss: ValueId,
        gradients: &[Option<ValueId>],
    ) {
        let mut order: Vec<(Parameter, Option<ValueId>)> =
            self.builder.parameters().iter().cloned().zip(gradients.iter().copied()).collect();
        let skips = self.training.on_non_finite() == NonFinite::Skip;
        let halves = self.training.storage == Storage::F16;
        let graph = &mut self.builder.graph;
        // The norm goes through them in the order in which they are made.
        order.sort_by_key(|(_, gradient)| gradient.and_then(|g| graph[g].producer));
        graph.set_label("optimizer");
        let fit = "slots are laid out alike, in multiples of four";
        let slot = slots.scaler.expect("what learns counts its steps");
        let scaler = graph.content(slot, 0, TensorType::f32(&[4]), "loss scaler");
        let judged = skips.then(|| {
            let all: Vec<ValueId> = order.iter().filter_map(|(_, gradient)| *gradient).collect();
            let judged = graph.judge(&all, [loss, scaler], halves);
            order.sort_by_key(|(_, gradient)| gradient.and_then(|own| judged.order.iter().position(|g| *g == own)));
            judged.norm
        });
        let first = graph.current_nodes().len();
        let scalars = graph.content(told.scalars, 0, TensorType::f32(&[8]), "optimizer scalars");
        // How far the run has come; whether this step counts is told when it is over.
        let none = graph.apply_one(Fill { value: 0.0, shape: vec![2] }, &[]).expect(fit);
        let made = graph.apply(self.training.loss_scaler(), &[none, scalars, scaler]).expect(fit);
        let scalars = graph.store(made[0], told.scalars, 0);
        let mut norm = judged;
        for (parameter, gradient) in &order {
            let graph = &mut self.builder.graph;
            let elements = clamp(parameter.ty.len().next_multiple_of(4));
            let ty = TensorType::f32(&[elements]);
            let g = flat(graph, *gradient, elements);
            graph.set_label("optimizer");
            let measured: Vec<ValueId> = [g].into_iter().chain(norm).chain([loss, scaler]).collect();
            let of_one = GradientNorm { max_norm: None, guard: Some(self.training.guard()), after: norm.is_some() };
            let so_far = graph.apply_one(of_one, &measured).expect(fit);
            norm = Some(so_far);
            let offset = parameter.offset;
            let homes: Vec<SlotId> = [self.builder.slots()[parameter.group]]
                .into_iter()
                .chain(states.iter().map(|of_group| of_group[parameter.group]))
                .collect();
            let ranges = self.range_of(parameter, elements.into());
            let graph = &mut self.builder.graph;
            let held: Vec<ValueId> =
                homes.iter().map(|&home| graph.content(home, offset, ty.clone(), &parameter.name)).collect();
            let optimizer = self.training.optimizer;
            let factor = judged.unwrap_or(so_far);
            let inputs = [&[held[0], g][..], &optimizer.order(&held[1..], scalars, factor)].concat();
            let made = graph.apply(optimizer.op(self.training.clip_value, ranges), &inputs).expect(fit);
            for (value, home) in made.into_iter().zip(homes) {
                graph.store(value, home, offset);
            }
        }
        let graph = &mut self.builder.graph;
        if let Some(norm) = norm {
            graph.store(norm, told.norm, 0);
        }
        graph.run_early(first);
    }

    /// Writes the update of a run whose parameters have been updated on the way: it counts the step.
    pub(super) fn count_step(&mut self, slots: &Slots, told: Told) {
        self.builder.begin("update", Phase::Train);
        self.builder.enter("optimizer");
        let graph = &mut self.builder.graph;
        let slot = slots.scaler.expect("what learns counts its steps");
        let scaler = graph.content(slot, 0, TensorType::f32(&[4]), "loss scaler");
        let scalars = graph.content(told.scalars, 0, TensorType::f32(&[8]), "optimizer scalars");
        let norm = graph.content(told.norm, 0, TensorType::f32(&[2]), "gradient norm");
        let made = graph.apply(self.training.loss_scaler(), &[norm, scalars, scaler]).expect("they are what it takes");
        graph.store(made[0], told.scalars, 0);
        graph.store(made[1], slot, 0);
        graph.protect();
    }

    /// A slot for each group of parameters of each thing that the optimizer remembers.
    pub(super) fn state_slots(&mut self) -> Vec<Vec<SlotId>> {
        let state = self.training.optimizer.state();
        state.iter().map(|name| self.builder.beside_parameters(name, Role::OptimizerState)).collect()
    }

    /// What the optimizer is told of the one `parameter`, of so many elements with padding.
    fn range_of(&self, parameter: &Parameter, elements: u64) -> Vec<ParameterRange> {
        if self.training.groups.is_empty() {
            return Vec::new();
        }
        vec![ParameterRange { elements: 0..elements, ..self.range(parameter, 0) }]
    }
}

/// A gradient as a row of so many `elements`, with zeros where it has none.
fn flat(graph: &mut Graph, gradient: Option<ValueId>, elements: u32) -> ValueId {
    let fit = "a tensor has as many elements in a row";
    let Some(gradient) = gradient else {
        return graph.apply_one(Fill { value: 0.0, shape: vec![elements] }, &[]).expect(fit);
    };
    let len = clamp(graph[gradient].ty.len());
    graph.set_label(graph[gradient].label.clone());
    let row = match graph[gradient].ty.shape.len() {
        1 => gradient,
        _ => graph.apply_one(View::reshape(&[len]), &[gradient]).expect(fit),
    };
    if len == elements {
        return row;
    }
    graph.apply_one(Pad { axis: 0, start: 0, to: elements }, &[row]).expect(fit)
}
