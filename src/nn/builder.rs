//! Writes a network into a graph, naming parameters as it goes.
//!
//! A network is written several times: once to learn which parameters it has, then once for each
//! program that runs it. All of those find the same parameters, in one contiguous slot, so that an
//! optimizer can update them in one dispatch.

use std::collections::HashSet;

use super::init::Init;
use crate::graph::{Graph, Home, Part, Role};
use crate::ids::{SlotId, ValueId};
use crate::ops::{Activation, Elman, Embedding, Function, MaskRows, Matmul, Op, ShapeError};
use crate::plan::layout::{alignment, round_up};
use crate::target::Target;
use crate::tensor::TensorType;

/// A tensor that training changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `LAYER.TENSOR`, as PyTorch would name it in a module of that layer name.
    pub name: String,
    /// Its shape.
    pub ty: TensorType,
    /// How it starts.
    pub init: Init,
    /// Which group of parameters it lies in, and where.
    pub group: usize,
    /// Bytes from the group's start.
    pub offset: u64,
}

/// Why a layer does not fit where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer `{layer}`: {reason}")]
pub struct LayerError {
    /// The layer's name.
    pub layer: String,
    /// What does not fit, and what would.
    pub reason: String,
}

/// What a program runs the network for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A micro-step of training.
    Train,
    /// The loss on held-out data.
    Evaluate,
    /// One step at a time, to write text.
    Sample,
}

/// What a network is given.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Token ids (T, B), or features (B, I).
    pub x: ValueId,
    /// For each row, whether its carried state is kept, `u32` (B); none where nothing is carried.
    pub keep: Option<ValueId>,
}

/// A graph being written, and the parameters met so far.
pub struct Builder {
    /// The graph.
    pub graph: Graph,
    parameters: Vec<Parameter>,
    slots: Vec<SlotId>,
    state_copies: u32,
    states: Vec<(String, Phase, SlotId)>,
    layer: String,
    phase: Phase,
    read: HashSet<(String, ValueId)>,
}

impl Builder {
    /// A builder that only finds out which parameters there are.
    pub fn survey() -> Self {
        Self {
            graph: Graph::default(),
            parameters: Vec::new(),
            slots: Vec::new(),
            state_copies: 1,
            states: Vec::new(),
            layer: String::new(),
            phase: Phase::Train,
            read: HashSet::new(),
        }
    }

    /// A builder that gives `parameters`, as a survey found them, their slots.
    ///
    /// Carried state is kept `state_copies` times in training, once for each micro-step.
    pub fn new(mut parameters: Vec<Parameter>, target: &Target, state_copies: u32) -> Self {
        let sizes = arrange(&mut parameters, target);
        let mut builder = Self { state_copies, ..Self::survey() };
        builder.parameters = parameters;
        builder.slots = builder.group_slots("parameters", Role::Parameter, &sizes);
        builder
    }

    /// A slot for each group of parameters, laid out as the parameters are.
    fn group_slots(&mut self, name: &str, role: Role, sizes: &[u64]) -> Vec<SlotId> {
        let slot = |(group, &bytes): (usize, &u64)| {
            let slot = self.graph.slot(name, role, bytes, 1);
            let of_group = self.parameters.iter().filter(|p| p.group == group);
            let part = |p: &Parameter| Part { name: p.name.clone(), offset: p.offset, bytes: p.ty.bytes() };
            self.graph.set_parts(slot, &of_group.map(part).collect::<Vec<_>>());
            slot
        };
        sizes.iter().enumerate().map(slot).collect()
    }

    /// Slots beside the parameters, one for each group and laid out alike: gradients, moments.
    pub fn beside_parameters(&mut self, name: &str, role: Role) -> Vec<SlotId> {
        let sizes: Vec<u64> = self.slots.iter().map(|&s| self.graph[s].bytes).collect();
        self.group_slots(name, role, &sizes)
    }

    /// The parameters, in the order the network names them.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The slots of the groups of parameters.
    pub fn slots(&self) -> &[SlotId] {
        &self.slots
    }

    /// The slots of carried state that `phase` uses.
    pub fn states(&self, phase: Phase) -> impl Iterator<Item = SlotId> {
        self.states.iter().filter(move |(_, p, _)| *p == phase).map(|(_, _, slot)| *slot)
    }

    /// Starts a program that runs the network for `phase`.
    pub fn begin(&mut self, name: &'static str, phase: Phase) {
        self.graph.begin(name);
        self.phase = phase;
    }

    /// Everything added from now on belongs to layer `name`.
    pub fn enter(&mut self, name: &str) {
        self.layer = name.to_string();
        self.graph.set_label(name);
    }

    /// A `LayerError` in the current layer.
    pub fn error(&self, reason: impl Into<String>) -> LayerError {
        LayerError { layer: self.layer.clone(), reason: reason.into() }
    }

    fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>, LayerError> {
        self.graph.apply(op, inputs).map_err(|ShapeError { op, reason }| self.error(format!("{op}: {reason}")))
    }

    /// The parameter `tensor` of the current layer.
    pub fn parameter(&mut self, tensor: &str, shape: &[u32], init: Init) -> Result<ValueId, LayerError> {
        let name = format!("{}.{tensor}", self.layer);
        let ty = TensorType::f32(shape);
        if ty.bytes() > u64::from(u32::MAX) * 4 {
            return Err(self.error(format!("`{name}` {ty} has more than 2^32 elements, which no shader can count")));
        }
        let known = self.parameters.iter().find(|p| p.name == name).cloned();
        let home = match known {
            Some(known) if known.ty != ty => {
                return Err(self.error(format!("`{name}` is {} elsewhere and {ty} here", known.ty)));
            }
            Some(known) => Home { slot: self.slots[known.group], offset: known.offset },
            None => {
                let slot = self.graph.slot(&name, Role::Parameter, ty.bytes(), 1);
                let group = self.slots.len();
                self.slots.push(slot);
                self.parameters.push(Parameter { name: name.clone(), ty: ty.clone(), init, group, offset: 0 });
                Home { slot, offset: 0 }
            }
        };
        let value = self.graph.content(home.slot, home.offset, ty, &name);
        self.read.insert((name, value));
        Ok(value)
    }

    /// The values that stand for each parameter in the program being written.
    pub fn values_of(&self, parameter: &Parameter) -> Vec<ValueId> {
        let mut values: Vec<_> = self.read.iter().filter(|(n, _)| *n == parameter.name).map(|(_, v)| *v).collect();
        values.sort();
        values
    }

    /// Forgets which values stand for parameters; each program has its own.
    pub fn forget_values(&mut self) {
        self.read.clear();
    }

    /// Rows of a table: ids of any shape (S..) to vectors (S.., `size`).
    pub fn embedding(&mut self, ids: ValueId, rows: u32, size: u32) -> Result<ValueId, LayerError> {
        let weight = self.parameter("weight", &[rows, size], Init::Normal)?;
        Ok(self.apply(Embedding { padding_idx: None }, &[weight, ids])?[0])
    }

    /// `f(x Wᵀ + b)`: (.., I) to (.., `out_features`).
    pub fn linear(
        &mut self,
        x: ValueId,
        out_features: u32,
        bias: bool,
        function: Function,
    ) -> Result<ValueId, LayerError> {
        let in_features = self.columns(x);
        let init = Init::fan_in(in_features);
        let mut inputs = vec![x, self.parameter("weight", &[out_features, in_features], init)?];
        if bias {
            inputs.push(self.parameter("bias", &[out_features], init)?);
        }
        Ok(self.apply(Matmul::linear(bias, function), &inputs)?[0])
    }

    /// `f(x)`, element by element.
    pub fn activation(&mut self, x: ValueId, function: Function) -> Result<ValueId, LayerError> {
        Ok(self.apply(Activation { function }, &[x])?[0])
    }

    /// Elman's recurrence over a window: (T, B, I) to (T, B, H), state carried from window to window.
    pub fn rnn(
        &mut self,
        x: ValueId,
        hidden: u32,
        function: Function,
        bias: bool,
        keep: Option<ValueId>,
    ) -> Result<ValueId, LayerError> {
        let shape = self.graph[x].ty.shape.clone();
        let (&[_, batch, inputs], Some(keep)) = (&shape[..], keep) else {
            return Err(self.error(format!("a recurrent layer takes a sequence (T, B, I), not {}", self.graph[x].ty)));
        };
        let init = Init::fan_in(hidden);
        let mut project = vec![x, self.parameter("weight_ih_l0", &[hidden, inputs], init)?];
        let w = self.parameter("weight_hh_l0", &[hidden, hidden], init)?;
        let mut recur = Vec::new();
        if bias {
            project.push(self.parameter("bias_ih_l0", &[hidden], init)?);
            recur.push(self.parameter("bias_hh_l0", &[hidden], init)?);
        }
        let projected = self.apply(Matmul::linear(bias, Function::Identity), &project)?[0];
        let state = self.state(TensorType::f32(&[1, batch, hidden]));
        let before = self.apply(MaskRows, &[state.1, keep])?[0];
        recur.splice(0..0, [projected, before, w]);
        let made = self.apply(Elman { function, bias, lengths: false, reverse: false }, &recur)?;
        self.graph.store(made[1], state.0, 0);
        Ok(made[0])
    }

    /// The current layer's carried state in this phase: its slot and what that holds.
    fn state(&mut self, ty: TensorType) -> (SlotId, ValueId) {
        let name = format!("{}.state", self.layer);
        let known = self.states.iter().find(|(n, p, _)| *n == name && *p == self.phase);
        let slot = match known {
            Some((_, _, slot)) => *slot,
            None => {
                let copies = if self.phase == Phase::Train { self.state_copies } else { 1 };
                let slot = self.graph.slot(&name, Role::CarriedState, ty.bytes(), copies);
                self.states.push((name.clone(), self.phase, slot));
                slot
            }
        };
        (slot, self.graph.content(slot, 0, ty, name))
    }

    /// Elements of the last dimension.
    pub fn columns(&self, x: ValueId) -> u32 {
        self.graph[x].ty.shape.last().copied().unwrap_or(1)
    }
}

/// Lays parameters side by side in groups that fit a buffer; returns the groups' sizes.
fn arrange(parameters: &mut [Parameter], target: &Target) -> Vec<u64> {
    let align = alignment(target);
    let mut sizes: Vec<u64> = Vec::new();
    for parameter in parameters {
        let bytes = round_up(parameter.ty.bytes(), align);
        match sizes.last() {
            Some(&size) if size.saturating_add(bytes) <= target.limits.max_buffer_size => {}
            _ => sizes.push(0),
        }
        parameter.group = sizes.len() - 1;
        let size = sizes.last_mut().expect("a group was just opened");
        parameter.offset = *size;
        *size = size.saturating_add(bytes);
    }
    sizes
}
