//! Writes a network into a graph, naming parameters as it goes.
//!
//! A network is written several times: once to learn which parameters it has, then once for each
//! program that runs it. All of those find the same parameters, in one contiguous slot, so that an
//! optimizer can update them in one dispatch.

use std::collections::HashSet;

use super::init::Init;
use super::parameter::{Parameter, arrange};
use super::segment::{Ends, Segment};
use crate::graph::{Graph, Home, Part, Role};
use crate::ids::{SlotId, ValueId};
use crate::ops::{Fill, Op, ShapeError};
use crate::target::Target;
use crate::tensor::TensorType;

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
    /// The loss on held-out data, or what is predicted of it.
    Evaluate,
    /// One step at a time, to write text.
    Sample,
}

/// What a program has beside a batch's fields. All are there in a survey.
#[derive(Clone, Copy, Debug, Default)]
pub struct Feeds {
    /// For each row, whether its carried state is kept: `u32` (B).
    pub keep: Option<ValueId>,
    /// For each row, how many timesteps it has: `u32` (B).
    pub lengths: Option<ValueId>,
    /// Where in training dropout stands: step, step's upper half, first row, 0: `u32` (4).
    pub dropout: Option<ValueId>,
    /// What each element's loss is multiplied by: (1).
    pub loss_scale: Option<ValueId>,
}

/// Which feeds a network has made use of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// It carries state.
    pub keep: bool,
    /// It drops elements.
    pub dropout: bool,
}

/// State that passes from one window to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedState {
    /// `LAYER.state_l0`, and so on.
    pub name: String,
    /// Where it is kept, (S, B, H).
    pub slot: SlotId,
    /// S.
    pub kinds: u32,
}

/// A graph being written, and the parameters met so far.
pub struct Builder {
    /// The graph.
    pub graph: Graph,
    parameters: Vec<Parameter>,
    slots: Vec<SlotId>,
    aliases: Vec<(String, String)>,
    pub(super) state_copies: u32,
    carries: bool,
    seed: u64,
    /// Whether parameters are only now found out.
    surveys: bool,
    pub(super) states: Vec<(Phase, CarriedState)>,
    constants: Vec<(String, SlotId, Vec<f32>)>,
    layer: String,
    pub(super) init: Option<Init>,
    pub(super) phase: Phase,
    pub(super) feeds: Feeds,
    pub(super) used: Used,
    pub(super) read: HashSet<(String, ValueId)>,
    /// States that the segment being written has carried on already.
    pub(super) carried: HashSet<String>,
    pub(super) segment: Segment,
    pub(super) ends: Ends,
}

impl Builder {
    /// A builder that only finds out which parameters there are.
    ///
    /// State is carried from window to window if `carries`; else every window starts from zero.
    /// `seed` is what dropout draws from.
    pub fn survey(carries: bool, seed: u64) -> Self {
        Self {
            graph: Graph::default(),
            parameters: Vec::new(),
            slots: Vec::new(),
            aliases: Vec::new(),
            state_copies: 1,
            carries,
            seed,
            surveys: true,
            states: Vec::new(),
            constants: Vec::new(),
            layer: String::new(),
            init: None,
            phase: Phase::Train,
            feeds: Feeds::default(),
            used: Used::default(),
            read: HashSet::new(),
            carried: HashSet::new(),
            segment: Segment::default(),
            ends: Ends::default(),
        }
    }

    /// A builder that gives `parameters`, as a survey found them, their slots.
    ///
    /// Carried state is kept `state_copies` times in training, once for each micro-step.
    pub fn new(mut parameters: Vec<Parameter>, target: &Target, surveyed: &Self, state_copies: u32) -> Self {
        let sizes = arrange(&mut parameters, target);
        let mut builder = Self { state_copies, surveys: false, ..Self::survey(surveyed.carries, surveyed.seed) };
        builder.parameters = parameters;
        builder.slots = builder.group_slots("parameters", Role::Parameter, &sizes);
        builder
    }

    /// A slot for each group of parameters, laid out as the parameters are.
    fn group_slots(&mut self, name: &str, role: Role, sizes: &[u64]) -> Vec<SlotId> {
        let slot = |(group, &bytes): (usize, &u64)| {
            let slot = self.graph.slot(name, role, bytes, 1);
            let mut of_group: Vec<&Parameter> = self.parameters.iter().filter(|p| p.group == group).collect();
            of_group.sort_by_key(|p| p.offset);
            let part = |p: &Parameter| Part { name: p.name.clone(), offset: p.offset, bytes: p.ty.bytes() };
            self.graph.set_parts(slot, &of_group.into_iter().map(part).collect::<Vec<_>>());
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

    /// Names that stand for a parameter of another name: what PyTorch's state of a module with a
    /// shared weight has twice.
    pub fn aliases(&self) -> &[(String, String)] {
        &self.aliases
    }

    /// The slots of the groups of parameters.
    pub fn slots(&self) -> &[SlotId] {
        &self.slots
    }

    /// The state carried in `phase`.
    pub fn states(&self, phase: Phase) -> impl Iterator<Item = &CarriedState> {
        self.states.iter().filter(move |(p, _)| *p == phase).map(|(_, state)| state)
    }

    /// Slots whose content never changes, and what that is.
    pub fn constants(&self) -> impl Iterator<Item = (SlotId, &[f32])> {
        self.constants.iter().map(|(_, slot, numbers)| (*slot, &numbers[..]))
    }

    /// Which feeds the network has made use of so far.
    pub fn used(&self) -> Used {
        self.used
    }

    /// Starts a program that runs the network for `phase`; its feeds are told next.
    pub fn begin(&mut self, name: &'static str, phase: Phase) {
        self.graph.begin(name);
        self.phase = phase;
        self.feeds = Feeds::default();
        self.begin_segment(Segment::default(), None);
    }

    /// What the program begun has beside a batch's fields.
    pub fn feed(&mut self, feeds: Feeds) {
        self.feeds = feeds;
    }

    /// What the program is run for.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Everything added from now on belongs to layer `name`.
    pub fn enter(&mut self, name: &str) -> &mut Self {
        self.layer = name.to_string();
        self.init = None;
        self.graph.set_label(name);
        self
    }

    /// The weights of the layer entered start by `init` instead of as PyTorch's would; its biases
    /// and vectors are left as they are.
    pub fn starting_with(&mut self, init: Init) -> &mut Self {
        self.init = Some(init);
        self
    }

    /// The layer entered last.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// A `LayerError` in the current layer.
    pub fn error(&self, reason: impl Into<String>) -> LayerError {
        LayerError { layer: self.layer.clone(), reason: reason.into() }
    }

    /// Applies any op; a shape that does not fit becomes an error of the current layer.
    ///
    /// # Errors
    /// What the op says of its inputs.
    pub fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>, LayerError> {
        self.graph.apply(op, inputs).map_err(|ShapeError { op, reason }| self.error(format!("{op}: {reason}")))
    }

    /// Applies an op of which only the first output is of interest.
    ///
    /// # Errors
    /// What the op says of its inputs.
    pub fn apply_one(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, LayerError> {
        Ok(self.apply(op, inputs)?[0])
    }

    /// The parameter `tensor` of the current layer.
    ///
    /// # Errors
    /// It is known with another shape, or larger than any shader can count.
    pub fn parameter(&mut self, tensor: &str, shape: &[u32], init: Init) -> Result<ValueId, LayerError> {
        let name = format!("{}.{tensor}", self.layer);
        let init = self.init.filter(|_| shape.len() > 1).unwrap_or(init);
        self.named(&name, shape, init)
    }

    /// The parameter of this name, made where it is not known.
    fn named(&mut self, name: &str, shape: &[u32], init: Init) -> Result<ValueId, LayerError> {
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
            None if !self.surveys => {
                return Err(self.error(format!(
                    "`{name}` was not there when the network was written before; it has to be the same network each time"
                )));
            }
            None => {
                let slot = self.graph.slot(name, Role::Parameter, ty.bytes(), 1);
                let group = self.slots.len();
                self.slots.push(slot);
                self.parameters.push(Parameter { group, ..Parameter::new(name, ty.clone(), init) });
                Home { slot, offset: 0 }
            }
        };
        let value = self.graph.content(home.slot, home.offset, ty, name);
        self.read.insert((name.to_string(), value));
        Ok(value)
    }

    /// The parameter `of`, known already, which the current layer has as its `tensor` too.
    ///
    /// # Errors
    /// `of` is not known, or has another shape.
    pub fn shared(&mut self, of: &str, tensor: &str, shape: &[u32]) -> Result<ValueId, LayerError> {
        let Some(known) = self.parameters.iter().find(|p| p.name == of).cloned() else {
            let all: Vec<_> = self.parameters.iter().map(|p| format!("`{}`", p.name)).collect();
            return Err(self.error(format!("there is no parameter `{of}` before it; there are {}", all.join(", "))));
        };
        let wanted = TensorType::f32(shape);
        if known.ty != wanted {
            return Err(self.error(format!("`{of}` is {}, and its `{tensor}` has to be {wanted}", known.ty)));
        }
        let alias = (format!("{}.{tensor}", self.layer), of.to_string());
        if alias.0 != alias.1 && !self.aliases.contains(&alias) {
            self.aliases.push(alias);
        }
        self.named(of, shape, known.init)
    }

    /// Elements `from..to` of the parameter `tensor` of the current layer start as `number`,
    /// whatever is drawn.
    pub(super) fn fix(&mut self, tensor: &str, from: u64, to: u64, number: f32) {
        let name = format!("{}.{tensor}", self.layer);
        let parameter = self.parameters.iter_mut().find(|p| p.name == name);
        let parameter = parameter.expect("a parameter is named before parts of it are fixed");
        let fixed = (from..to, number);
        if !parameter.fixed.contains(&fixed) {
            parameter.fixed.push(fixed);
        }
    }

    /// The values that stand for each parameter in the segment being written.
    pub fn values_of(&self, parameter: &Parameter) -> Vec<ValueId> {
        let mut values: Vec<_> = self.read.iter().filter(|(n, _)| *n == parameter.name).map(|(_, v)| *v).collect();
        values.sort();
        values
    }

    /// Numbers that never change, (N): they are uploaded once, when a session begins.
    pub fn constant(&mut self, name: &str, numbers: &[f32]) -> ValueId {
        let known = self.constants.iter().find(|(n, _, c)| n == name && c == numbers).map(|(_, slot, _)| *slot);
        let ty = TensorType::f32(&[crate::ops::clamp(numbers.len() as u64)]);
        let slot = known.unwrap_or_else(|| {
            let slot = self.graph.slot(name, Role::Input, ty.bytes(), 1);
            self.constants.push((name.to_string(), slot, numbers.to_vec()));
            slot
        });
        self.graph.content(slot, 0, ty, name)
    }

    /// Zeros of this shape.
    pub fn zeros(&mut self, shape: &[u32]) -> ValueId {
        self.graph.apply_one(Fill { value: 0.0, shape: shape.to_vec() }, &[]).expect("zeros take no inputs")
    }

    /// The lengths of the rows (B), where rows have lengths of their own.
    pub fn lengths(&self) -> Option<ValueId> {
        self.feeds.lengths
    }

    /// Where in training dropout stands, in the phase that has dropout: `u32` (4).
    pub(super) fn dropout_at(&mut self) -> Option<ValueId> {
        if self.phase != Phase::Train {
            return None;
        }
        self.used.dropout = true;
        self.feeds.dropout
    }

    /// What dropout draws from.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// What the losses of a program are multiplied by: one over how many there are, (1).
    ///
    /// # Errors
    /// The program has no losses.
    pub fn loss_scale(&self) -> Result<ValueId, LayerError> {
        self.feeds.loss_scale.ok_or_else(|| self.error("a program that only writes text has no loss"))
    }

    /// Whether state is carried from window to window.
    pub fn carries(&self) -> bool {
        self.carries
    }

    /// Elements of the last dimension.
    pub fn columns(&self, x: ValueId) -> u32 {
        self.graph[x].ty.shape.last().copied().unwrap_or(1)
    }
}
