//! The computation as data: programs of nodes, the values they pass on, the slots that outlive them.
//!
//! A *program* is a list of nodes that the device runs from first to last. Several programs share
//! one graph: the training micro-step, the update, evaluation. What passes from one to another
//! lies in a *slot*, memory that keeps its content between programs:
//!
//! ```text
//! slot  weights  ====v0====================v9=====>     v0: what the slot held at the start
//!                     \                    /            v9: a node's output, stored there
//! nodes         matmul(v0) -> v3 ...  adamw(v0, ..)
//! ```

mod casts;
mod chunks;
mod early;
mod emit;
mod late;
mod order;
mod pieces;
mod program;
mod recompute;
mod repeat;
mod role;
mod sharing;

use std::collections::{HashMap, HashSet};
use std::ops::{Index, Range};

use crate::ids::{NodeId, SlotId, ValueId};
use crate::ops::{Binary, Copy, Derivation, Emit, Op, ShapeError, Site};
use crate::tensor::{DType, TensorType};

pub use late::Judged;
pub use program::Program;
pub use role::Role;
pub use sharing::Base;

/// Memory that keeps its content between programs.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What messages call it.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Bytes of one copy.
    pub bytes: u64,
    /// How many there are: one, or one for each micro-step of a step.
    pub copies: u32,
    /// What the host works this one's content out from, and how.
    pub derived: Option<Derived>,
    /// The tensors in it, if it holds several.
    pub parts: Vec<Part>,
}

/// How the host works out what a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The slot of what it is worked out from.
    pub from: SlotId,
    /// Which elements of that.
    pub elements: Range<usize>,
    /// How.
    pub how: Derivation,
}

/// A tensor within a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, `LAYER.TENSOR`.
    pub name: String,
    /// Bytes from the slot's start.
    pub offset: u64,
    /// Size without padding.
    pub bytes: u64,
}

/// Where in a slot a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Home {
    /// The slot.
    pub slot: SlotId,
    /// Bytes from the slot's start.
    pub offset: u64,
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Shape and storage.
    pub ty: TensorType,
    /// What it is for.
    pub role: Role,
    /// The layer or tensor that messages name.
    pub label: String,
    /// The slot it lies in; `None` for one that lives within a program only.
    pub home: Option<Home>,
    /// The node that makes it and as which output; `None` for a slot's content at the start.
    pub producer: Option<(NodeId, usize)>,
}

/// One application of an op.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// From what, into what.
    pub site: Site,
    /// The layer it belongs to.
    pub label: String,
}

/// Far above what any device holds, and far below where sums of sizes would overflow.
const MOST_ELEMENTS: u64 = 1 << 40;

/// A computation. The nodes of a program stand in an order in which they can run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    slots: Vec<Slot>,
    programs: Vec<Program>,
    label: String,
    /// What the program being written has read.
    read: HashSet<ValueId>,
    /// What it has last stored in each place.
    stored: HashMap<Home, ValueId>,
    /// Values that are made again, each with what it is once more.
    repeated: Vec<(ValueId, ValueId)>,
}

impl Graph {
    /// Starts a program; nodes added from now on belong to it.
    pub fn begin(&mut self, name: &'static str) {
        self.programs.push(Program { name, nodes: Vec::new(), turns: Vec::new() });
        self.read.clear();
        self.stored.clear();
    }

    /// Nodes added from now on are differentiation, in the program being written.
    pub fn turn_back(&mut self) {
        self.turn(0);
    }

    /// Nodes added from now on go forward again, in the program being written.
    pub fn turn_forth(&mut self) {
        self.turn(1);
    }

    /// Adds a turn where there are as many as `even` or uneven.
    fn turn(&mut self, odd: usize) {
        let next = NodeId::at(self.nodes.len());
        if let Some(program) = self.programs.last_mut().filter(|p| p.turns.len() % 2 == odd) {
            program.turns.push(next);
        }
    }

    /// Names the layer that nodes added from now on belong to.
    pub fn set_label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Adds memory that outlives programs.
    pub fn slot(&mut self, name: impl Into<String>, role: Role, bytes: u64, copies: u32) -> SlotId {
        let name = name.into();
        self.slots.push(Slot { name, role, bytes, copies, derived: None, parts: Vec::new() });
        SlotId::at(self.slots.len() - 1)
    }

    /// The content of `slot` from `offset` on, as a program finds it.
    pub fn content(&mut self, slot: SlotId, offset: u64, ty: TensorType, label: impl Into<String>) -> ValueId {
        self.values.push(Value {
            ty,
            role: self[slot].role,
            label: label.into(),
            home: Some(Home { slot, offset }),
            producer: None,
        });
        ValueId::at(self.values.len() - 1)
    }

    /// Has the elements of `value` stored as `dtype`. A slot that it has to itself becomes as large as that
    /// takes, in whole words.
    pub fn keep_as(&mut self, value: ValueId, dtype: DType) {
        let kept = &mut self.values[value.index()];
        kept.ty.dtype = dtype;
        if let Some(home) = kept.home {
            self.slots[home.slot.index()].bytes = kept.ty.bytes().next_multiple_of(4);
        }
    }

    /// Says which tensors `slot` holds, for reports.
    pub fn set_parts(&mut self, slot: SlotId, parts: &[Part]) {
        self.slots[slot.index()].parts = parts.to_vec();
    }

    /// A slot of its own for one tensor, and its content.
    pub fn held(&mut self, name: &str, role: Role, ty: TensorType, copies: u32) -> ValueId {
        let slot = self.slot(name, role, ty.bytes(), copies);
        self.content(slot, 0, ty, name)
    }

    /// Applies `op` to `inputs`, after asking the op whether they fit.
    pub fn apply(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>, ShapeError> {
        let op = op.into();
        let types = op.rule().outputs(&self.types(inputs))?;
        if let Some(huge) = types.iter().find(|t| t.len() >= MOST_ELEMENTS) {
            let reason = format!("its result {huge} has {} elements; no tensor may have 2^40 or more", huge.len());
            return Err(ShapeError { op: op.rule().name(), reason });
        }
        let node = NodeId::at(self.nodes.len());
        let outputs: Vec<ValueId> = types
            .into_iter()
            .enumerate()
            .map(|(i, ty)| {
                self.values.push(Value {
                    ty,
                    role: Role::Activation,
                    label: self.label.clone(),
                    home: None,
                    producer: Some((node, i)),
                });
                ValueId::at(self.values.len() - 1)
            })
            .collect();
        self.read.extend(inputs);
        let site = Site { inputs: inputs.to_vec(), outputs: outputs.clone() };
        self.nodes.push(Node { op, site, label: self.label.clone() });
        self.programs.last_mut().expect("`begin` comes before the first op").nodes.push(node);
        Ok(outputs)
    }

    /// Applies an op of which only the first output is of interest.
    pub fn apply_one(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, ShapeError> {
        Ok(self.apply(op, inputs)?[0])
    }

    /// Has `value` lie in `slot` from the moment it is made, so that it outlives the program.
    ///
    /// A value that already lies somewhere is copied.
    pub fn store(&mut self, value: ValueId, slot: SlotId, offset: u64) -> ValueId {
        let value = if self[value].home.is_some() { self.emit(Copy.into(), &[value])[0] } else { value };
        let role = self[slot].role;
        let stored = &mut self.values[value.index()];
        stored.home = Some(Home { slot, offset });
        stored.role = role;
        self.stored.insert(Home { slot, offset }, value);
        value
    }

    /// Adds `value` to what `slot` holds, within the op that makes it where that op can and no
    /// other reads the value.
    pub fn accumulate(&mut self, value: ValueId, slot: SlotId, offset: u64) -> ValueId {
        let (ty, label) = (self[value].ty.clone(), self[value].label.clone());
        let stored = self.stored.get(&Home { slot, offset }).copied();
        let old = stored.unwrap_or_else(|| self.content(slot, offset, ty, label));
        let read = self.read.contains(&value);
        if let Some((node, 0)) = self[value].producer
            && self[value].home.is_none()
            && !read
            && let Some(op) = self[node].op.rule().accumulating()
        {
            let node = &mut self.nodes[node.index()];
            node.op = op;
            node.site.inputs.push(old);
            self.read.insert(old);
            return self.store(value, slot, offset);
        }
        let sum = self.emit(Binary::Add.into(), &[value, old])[0];
        self.store(sum, slot, offset)
    }

    /// The same for a value that is needed elsewhere as it is, be it by a node that is yet to come.
    pub fn accumulate_apart(&mut self, value: ValueId, slot: SlotId, offset: u64) -> ValueId {
        let (ty, label) = (self[value].ty.clone(), self[value].label.clone());
        let stored = self.stored.get(&Home { slot, offset }).copied();
        let old = stored.unwrap_or_else(|| self.content(slot, offset, ty, label));
        let sum = self.emit(Binary::Add.into(), &[value, old])[0];
        self.store(sum, slot, offset)
    }

    /// Every program, in the order they were begun.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// Nodes of the program being written.
    pub fn current_nodes(&self) -> &[NodeId] {
        self.programs.last().map_or(&[], |p| &p.nodes)
    }

    /// The type of the values that lie at the start of `slot`, if there is any.
    pub fn type_in(&self, slot: SlotId) -> Option<&TensorType> {
        let start = Some(Home { slot, offset: 0 });
        self.values.iter().find(|v| v.home == start).map(|v| &v.ty)
    }

    /// Ids of all slots.
    pub fn slot_ids(&self) -> impl Iterator<Item = SlotId> + use<> {
        ids(0..self.slots.len()).map(SlotId)
    }

    /// Ids of all values.
    pub fn value_ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        ids(0..self.values.len()).map(ValueId)
    }

    /// The types of `values`.
    pub fn types(&self, values: &[ValueId]) -> Vec<TensorType> {
        values.iter().map(|&v| self[v].ty.clone()).collect()
    }
}

fn ids(range: Range<usize>) -> impl Iterator<Item = u32> {
    (0u32..).take(range.len())
}

impl Index<ValueId> for Graph {
    type Output = Value;
    fn index(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }
}

impl Index<NodeId> for Graph {
    type Output = Node;
    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}

impl Index<SlotId> for Graph {
    type Output = Slot;
    fn index(&self, id: SlotId) -> &Slot {
        &self.slots[id.index()]
    }
}
