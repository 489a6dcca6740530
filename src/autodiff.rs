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
    differentiate_scaled(graph, loss, None, wanted)
}

/// The same with all of them multiplied by `scale` f32\[1\], which lies in memory when the program begins.
pub fn differentiate_scaled(
    graph: &mut Graph,
    loss: ValueId,
    scale: Option<ValueId>,
    wanted: &[ValueId],
) -> Vec<Option<ValueId>> {
    let forward: Vec<NodeId> = graph.current_nodes().to_vec();
    let active = reached_from(graph, &forward, wanted);
    graph.turn_back();
    let seed = scale.unwrap_or_else(|| {
        let one = Fill { value: 1.0, shape: graph[loss].ty.shape.clone() };
        graph.emit(one.into(), &[])[0]
    });
    let mut gradients = HashMap::from([(loss, seed)]);
    for &id in forward.iter().rev() {
        let node = graph[id].clone();
        let outputs: Vec<_> = node.site.outputs.iter().map(|o| gradients.get(o).copied()).collect();
        let slope = Slope { outputs, wanted: node.site.inputs.iter().map(|i| active.contains(i)).collect() };
        if slope.outputs.iter().all(Option::is_none) || !slope.wanted.contains(&true) {
            continue;
        }
        graph.set_label(node.label.clone());
        let parts = node.op.rule().gradient(&node.site, &slope, &mut Once { graph, first: forward.len() });
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
