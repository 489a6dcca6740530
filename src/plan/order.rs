//! Another order of a graph's nodes, taken only where its plan needs less memory.

use super::sketch::{Lowered, Sketch};
use super::{Outline, Staging};
use crate::graph::Graph;
use crate::target::Target;

/// The same graph in an order in which less is alive at once ([`Graph::order_for_memory`]), where the plan for `target`
/// then takes less; as it is, where not.
pub fn ordered(graph: Graph, target: &Target, staging: Staging) -> Graph {
    outlined_in_order(graph, target, staging).0
}

/// The same, and its outline, where that was needed to tell.
pub(crate) fn outlined_in_order(graph: Graph, target: &Target, staging: Staging) -> (Graph, Option<Outline>) {
    let mut other = graph.clone();
    if !other.order_for_memory() {
        return (graph, None);
    }
    // The order was found by whole nodes; what counts is dispatches, alignment and what lies over what.
    let [written, ordered] = [&graph, &other].map(|graph| Outline::new(graph, target, staging));
    if ordered.least_bytes() < written.least_bytes() { (other, Some(ordered)) } else { (graph, Some(written)) }
}

/// What the plan takes of the same graph, in that order if it then takes less.
pub(crate) fn sketched_in_order(mut graph: Graph, staging: Staging, lowered: &Lowered) -> Sketch {
    let written = Sketch::new(&graph, staging, lowered);
    if !graph.order_for_memory() {
        return written;
    }
    let ordered = Sketch::new(&graph, staging, lowered);
    if ordered.least_bytes() < written.least_bytes() { ordered } else { written }
}
