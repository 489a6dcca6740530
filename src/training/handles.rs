//! Where in a plan lies what a session uploads, runs and reads back.

use crate::graph::Derived;
use crate::ids::SlotId;
use crate::nn::{CarriedState, Parameter};

/// Where in a plan the session finds what it needs.
#[derive(Clone, Debug)]
pub struct Handles {
    /// A micro-step's fields, in the network's order.
    pub fields: Vec<SlotId>,
    /// For each row, whether its carried state is kept.
    pub keep: Option<SlotId>,
    /// For each row, how many timesteps it has.
    pub lengths: Option<SlotId>,
    /// Where in training dropout stands.
    pub dropout: Option<SlotId>,
    /// What each row's loss is multiplied by: one over the number of valid targets of the step.
    pub loss_scale: SlotId,
    /// The optimizer's scalars.
    pub scalars: SlotId,
    /// The step's loss.
    pub loss: SlotId,
    /// The gradients' global norm, and the factor they were scaled by.
    pub norm: SlotId,
    /// What counts the steps that were applied and skipped, where anything is learnt; see
    /// [`LossScaler`](crate::ops::LossScaler).
    pub scaler: Option<SlotId>,
    /// The gradients of parameters, by group; none where nothing is learnt.
    pub gradient_slots: Vec<SlotId>,
    /// The sum of losses of an evaluated batch.
    pub evaluated: Option<SlotId>,
    /// How many of its targets are predicted rightly, where that can be told.
    pub hits: Option<SlotId>,
    /// What is predicted of a batch.
    pub predicted: Option<SlotId>,
    /// What sampling needs.
    pub sample: Option<SampleHandles>,
    /// Parameters in the model's order.
    pub parameters: Vec<Parameter>,
    /// Second names of parameters that a model has in two places.
    pub aliases: Vec<(String, String)>,
    /// Their slots, by group.
    pub parameter_slots: Vec<SlotId>,
    /// What the optimizer remembers, and what each element of it starts as.
    pub optimizer_slots: Vec<(SlotId, f32)>,
    /// Slots whose content never changes.
    pub constants: Vec<(SlotId, Vec<f32>)>,
    /// Carried state of training, with a copy for each micro-step.
    pub train_states: Vec<CarriedState>,
    /// Carried state of evaluation.
    pub evaluate_states: Vec<SlotId>,
    /// Slots the host works out, and how.
    pub derived: Vec<(SlotId, Derived)>,
}

impl Handles {
    /// What is read back of each step, in this order: loss, norm, scalars, and the scaler.
    pub(super) fn of_step(&self) -> impl Iterator<Item = SlotId> + use<> {
        [self.loss, self.norm, self.scalars].into_iter().chain(self.scaler)
    }
}

/// The slots of sampling.
#[derive(Clone, Copy, Debug)]
pub struct SampleHandles {
    /// The id read last.
    pub id: SlotId,
    /// Whether the carried state is kept.
    pub keep: Option<SlotId>,
    /// The logits of the next.
    pub logits: SlotId,
}
