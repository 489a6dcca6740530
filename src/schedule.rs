//! The graph as an ordered list of dispatches. Nothing here touches a device.

use std::collections::HashMap;
use std::ops::Range;

use crate::graph::{Base, Graph};
use crate::ids::{NodeId, ValueId};
use crate::ops::{Binding, Dispatch, Lowering, Operand, keep_in_texture};
use crate::target::Target;

/// One dispatch and the values it binds.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node it belongs to.
    pub node: NodeId,
    /// What runs.
    pub dispatch: Dispatch,
    /// What is bound, in binding order.
    pub accesses: Vec<Access>,
}

/// A range of values that a step binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The value whose content is read; never a view.
    pub reads: Option<ValueId>,
    /// The value whose content is made.
    pub writes: Option<ValueId>,
    /// Which bytes of the value, from its own start.
    pub bytes: Range<u64>,
    /// Bytes bound in front of those, so that the binding starts where the device lets one start.
    pub slack: u64,
    /// The row of the plan's texture that it is copied to and read from, if it is.
    pub texture_row: Option<u32>,
    /// Whether it lies there already, where an earlier step of the node had it copied.
    pub texture_kept: bool,
}

impl Access {
    /// Whether both are the same bytes of the same values, wherever they are read from.
    pub(crate) fn is_of_what(&self, other: &Self) -> bool {
        (self.reads, self.writes, &self.bytes) == (other.reads, other.writes, &other.bytes)
    }

    /// Whether `copied` is what this one changes in place, read from the texture.
    pub(crate) fn is_read_by(&self, copied: &Self) -> bool {
        copied.texture_row.is_some()
            && self.reads == copied.reads
            && self.writes.is_some()
            && self.bytes == copied.bytes
    }

    /// Bytes that are bound: whole words, of which the half beside the last belongs to what comes next, or to
    /// nobody.
    pub fn bound_bytes(&self) -> u64 {
        let bytes = (self.bytes.end - self.bytes.start).saturating_add(self.slack);
        bytes.checked_next_multiple_of(4).unwrap_or(u64::MAX)
    }

    /// The values it touches.
    pub fn values(&self) -> impl Iterator<Item = ValueId> {
        self.reads.into_iter().chain(self.writes)
    }
}

/// A program's steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The program's name.
    pub name: &'static str,
    /// Which steps of the schedule are its own.
    pub steps: Range<usize>,
}

/// Every program's steps, one program after the other.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// All steps.
    pub steps: Vec<Step>,
    /// Which of them belong to which program.
    pub programs: Vec<Span>,
    /// The values that have no bytes of their own, and whose they show. No step names them.
    pub views: HashMap<ValueId, Base>,
}

impl Schedule {
    /// Whose bytes `value` shows: its own, unless it is a view.
    pub fn base(&self, value: ValueId) -> Base {
        self.views.get(&value).copied().unwrap_or(Base { value, offset: 0 })
    }
}

/// Lowers every node that something depends on.
pub fn schedule(graph: &Graph, target: &Target) -> Schedule {
    lowered(graph, target, true)
}

/// The same with a copy for every view, which tells what views save.
pub(crate) fn schedule_of_copies(graph: &Graph, target: &Target) -> Schedule {
    lowered(graph, target, false)
}

fn lowered(graph: &Graph, target: &Target, views: bool) -> Schedule {
    let mut all = Schedule::default();
    for program in graph.programs() {
        let Needed { nodes, wanted } = needed(graph, &program.nodes);
        let start = all.steps.len();
        for node in nodes {
            match view(graph, target, node, |value| all.base(value)).filter(|_| views) {
                Some((view, base)) => drop(all.views.insert(view, base)),
                None => {
                    let of_node = steps_of(graph, target, node, |value| wanted[value.index()], |value| all.base(value));
                    all.steps.extend(of_node);
                }
            }
        }
        all.programs.push(Span { name: program.name, steps: start..all.steps.len() });
    }
    all
}

/// What of a program is run.
pub(crate) struct Needed {
    /// The nodes whose outputs are stored, or read by such nodes, in running order.
    pub(crate) nodes: Vec<NodeId>,
    /// By value, whether it is stored, or read by one of these.
    pub(crate) wanted: Vec<bool>,
}

/// What of a program of these `nodes` is run.
pub(crate) fn needed(graph: &Graph, nodes: &[NodeId]) -> Needed {
    let mut wanted: Vec<bool> = graph.value_ids().map(|value| graph[value].home.is_some()).collect();
    let mut needed = Vec::with_capacity(nodes.len());
    for &id in nodes.iter().rev() {
        let site = &graph[id].site;
        if site.outputs.iter().any(|output| wanted[output.index()]) {
            site.inputs.iter().for_each(|input| wanted[input.index()] = true);
            needed.push(id);
        }
    }
    needed.reverse();
    Needed { nodes: needed, wanted }
}

/// The output of `id` and whose bytes it shows, where it is a view that begins where a value may.
pub(crate) fn view(
    graph: &Graph,
    target: &Target,
    id: NodeId,
    base: impl Fn(ValueId) -> Base,
) -> Option<(ValueId, Base)> {
    let output = graph[id].site.outputs[0];
    let of = graph.viewed(output)?;
    let base = base(of.value);
    // What is viewed begins well itself, so only the way from there counts.
    let begins_well = of.offset.is_multiple_of(target.place_align());
    begins_well.then_some((output, Base { offset: base.offset + of.offset, ..base }))
}

/// The steps of node `id`, where that is `wanted` of what it makes, and these are the bases of what it reads.
pub(crate) fn steps_of(
    graph: &Graph,
    target: &Target,
    id: NodeId,
    wanted: impl Fn(ValueId) -> bool,
    base: impl Fn(ValueId) -> Base,
) -> Vec<Step> {
    let node = &graph[id];
    let at = Lowering {
        inputs: &graph.types(&node.site.inputs),
        outputs: &graph.types(&node.site.outputs),
        wanted: &node.site.outputs.iter().map(|&output| wanted(output)).collect::<Vec<_>>(),
        target,
    };
    let value = |operand: Operand| match operand {
        Operand::Input(i) => node.site.inputs[i],
        Operand::Output(i) => node.site.outputs[i],
    };
    let access = |b: &Binding| {
        let base = b.reads.map(|operand| base(value(operand)));
        let offset = base.map_or(0, |b| b.offset);
        Access {
            reads: base.map(|b| b.value),
            writes: b.writes.map(value),
            bytes: b.bytes.start + offset..b.bytes.end + offset,
            slack: b.slack,
            texture_row: b.texture_row,
            texture_kept: b.texture_kept,
        }
    };
    let mut dispatches = node.op.rule().lower(&at);
    keep_in_texture(&mut dispatches);
    dispatches
        .into_iter()
        .map(|dispatch| Step { node: id, accesses: dispatch.bindings.iter().map(access).collect(), dispatch })
        .collect()
}

/// For each value, the first and one past the last step that touches it.
pub fn touched(steps: &[Step]) -> HashMap<ValueId, Range<u32>> {
    let mut spans: HashMap<ValueId, Range<u32>> = HashMap::new();
    for (now, step) in (0u32..).zip(steps) {
        for value in step.accesses.iter().flat_map(Access::values) {
            let span = spans.entry(value).or_insert(now..now + 1);
            span.end = now + 1;
        }
    }
    spans
}
