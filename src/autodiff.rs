//! Reverse-mode differentiation: a program in, the same program with gradient nodes out.

use std::collections::{HashMap, HashSet};

use crate::graph::Graph;
use crate::ids::{NodeId, ValueId};
use crate::ops::{Binary, Emit, Fill, Slope};

/// Appends to the program being written the nodes that compute `d loss / d x` for each `x` of
/// `wanted`, and returns those values; `None` for one the loss does not depend on.
///
/// `loss` has one element. Nodes that only serve inputs no one asks the gradient of are left out.
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
        let parts = node.op.rule().gradient(&node.site, &slope, graph);
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
