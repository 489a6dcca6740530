//! Reverse-mode differentiation: a program in, the same program with gradient nodes out.

use std::collections::{HashMap, HashSet};

use crate::graph::Graph;
use crate::ids::{NodeId, ValueId};
use crate::ops::{Binary, Derivation, Emit, Fill, Op, Slope};
use crate::tensor::TensorType;

/// A graph to which gradient rules add nodes, none twice in a row: two biases that are added to the same
/// sum have the same gradient.
struct Once<'a> {
    graph: &'a mut Graph,
    /// The node that differentiation begins with.
    first: usize,
}

impl Emit for Once<'_> {
    fn emit(&mut self, op: Op, inputs: &[ValueId]) -> Vec<ValueId> {
        // Rules that may emit the same node belong to neighbours; to look further would take long.
        const NEAR: usize = 16;
        let made = self.graph.current_nodes()[self.first..].iter().map(|n| &self.graph[*n]);
        let known = made.rev().take(NEAR).find(|node| node.op == op && node.site.inputs == inputs);
        if let Some(outputs) = known.map(|node| node.site.outputs.clone()) {
            return outputs;
        }
        self.graph.emit(op, inputs)
    }

    fn type_of(&self, value: ValueId) -> &TensorType {
        self.graph.type_of(value)
    }

    fn made_by(&self, value: ValueId) -> Option<&Op> {
        self.graph.made_by(value)
    }

    fn derive(&mut self, from: ValueId, how: Derivation) -> ValueId {
        self.graph.derive(from, how)
    }

    fn refit(&mut self, value: ValueId, op: Op, at: usize, input: ValueId) {
        self.graph.refit(value, op, at, input);
    }
}

/// Appends to the program being written the nodes that compute `d loss / d x` for each `x` of
/// `wanted`, and returns those values; `None` for one the loss does not depend on.
///
/// Gradients that are plainly the same are one value. `loss` has one element. Nodes that only serve inputs
/// no one asks the gradient of are left out.
pub fn differentiate(graph: &mut Graph, loss: ValueId, wanted: &[ValueId]) -> Vec<Option<ValueId>> {
    graph.turn_back();
    let one = Fill { value: 1.0, shape: graph[loss].ty.shape.clone() };
    let seed = graph.emit(one.into(), &[])[0];
    differentiate_from(graph, 0, &[(loss, seed)], wanted)
}

/// The same of a part of the program, its nodes from position `first` on, where the loss's gradient is known
/// for several values: pairs of a value and its gradient.
pub fn differentiate_from(
    graph: &mut Graph,
    first: usize,
    known: &[(ValueId, ValueId)],
    wanted: &[ValueId],
) -> Vec<Option<ValueId>> {
    graph.turn_back();
    let forward: Vec<NodeId> = graph.current_nodes()[first..].to_vec();
    let behind = graph.current_nodes().len();
    let active = reached_from(graph, &forward, wanted);
    let mut gradients: HashMap<ValueId, ValueId> = known.iter().copied().collect();
    for &id in forward.iter().rev() {
        let node = graph[id].clone();
        let outputs: Vec<_> = node.site.outputs.iter().map(|o| gradients.get(o).copied()).collect();
        let slope = Slope { outputs, wanted: node.site.inputs.iter().map(|i| active.contains(i)).collect() };
        if slope.outputs.iter().all(Option::is_none) || !slope.wanted.contains(&true) {
            continue;
        }
        graph.set_label(node.label.clone());
        let parts = node.op.rule().gradient(&node.site, &slope, &mut Once { graph, first: behind });
        for ((&input, part), wanted) in node.site.inputs.iter().zip(parts).zip(slope.wanted) {
            let Some(part) = part.filter(|_| wanted) else { continue };
            let sum = match gradients.get(&input) {
                Some(&so_far) => graph.emit(Binary::Add.into(), &[so_far, part])[0],
                None => part,
            };
            gradients.insert(input, sum);
        }
    }
    wanted.iter().map(|x| gradients.get(x).copied()).collect()
}

/// Values that depend on one of `from`, themselves among them.
fn reached_from(graph: &Graph, nodes: &[NodeId], from: &[ValueId]) -> HashSet<ValueId> {
    let mut reached: HashSet<ValueId> = from.iter().copied().collect();
    for &id in nodes {
        let site = &graph[id].site;
        if site.inputs.iter().any(|i| reached.contains(i)) {
            reached.extend(&site.outputs);
        }
    }
    reached
}
