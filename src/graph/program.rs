//! A list of nodes, and where in it differentiation begins and ends.

use std::collections::HashSet;

use crate::ids::NodeId;

/// A list of nodes that runs as a whole.
#[derive(Clone, Debug)]
pub struct Program {
    /// What messages call it.
    pub name: &'static str,
    /// Its nodes in running order.
    pub nodes: Vec<NodeId>,
    /// The first node of differentiation, the first that goes forward again after it, and so on in turn; none
    /// where nothing is learnt.
    pub turns: Vec<NodeId>,
}

impl Program {
    /// Its first node of differentiation; none where nothing is learnt.
    pub fn backward(&self) -> Option<NodeId> {
        self.turns.first().copied()
    }

    /// Whether `node`, one of its own, is part of differentiation: by where it stands, as what is put in front of
    /// another has a later number.
    pub fn is_backward(&self, node: NodeId) -> bool {
        let before = self.nodes.iter().take_while(|other| **other != node).chain([&node]);
        before.filter(|other| self.turns.contains(other)).count() % 2 == 1
    }

    /// Leaves out those of `gone`, which others have taken over; where differentiation began with one of them, it
    /// begins with what was written next.
    pub(super) fn leave_out(&mut self, gone: &HashSet<NodeId>) {
        self.nodes.retain(|node| !gone.contains(node));
        for turn in self.turns.iter_mut().filter(|turn| gone.contains(turn)) {
            *turn = self.nodes.iter().copied().filter(|node| *node > *turn).min().unwrap_or(*turn);
        }
    }
}
