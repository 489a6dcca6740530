//! What is made again for the way back, rather than kept for it.

use super::{Graph, Node, Role, Value};
use crate::ids::{NodeId, ValueId};

impl Graph {
    /// Has what is cheap to make, from what lies in memory all along, made again where the way back first reads it,
    /// so that nothing of it is kept. To be called when all programs are written.
    pub fn repeat_what_is_cheap(&mut self) {
        for program in 0..self.programs.len() {
            let Some(back) = self.programs[program].backward() else { continue };
            for id in self.programs[program].nodes.clone() {
                if id < back && self.is_cheap_again(id) {
                    self.repeat(id, program, back);
                }
            }
        }
    }

    /// Whether [`Graph::repeat_what_is_cheap`] would have node `id` make its output again.
    pub(super) fn is_cheap_again(&self, id: NodeId) -> bool {
        let Node { op, site, .. } = &self[id];
        let given = |v: &ValueId| self[*v].home.is_some() && self[*v].producer.is_none();
        op.rule().is_cheap() && site.inputs.iter().all(given) && site.outputs.iter().all(|o| self[*o].home.is_none())
    }

    /// Makes node `id` of a program again in front of the first node from `back` on that reads what it made, and
    /// has all of those read the second.
    fn repeat(&mut self, id: NodeId, program: usize, back: NodeId) {
        let made = self[id].site.outputs.clone();
        let nodes = &self.programs[program].nodes;
        let reads = |n: &NodeId| self[*n].site.inputs.iter().any(|i| made.contains(i));
        let readers: Vec<NodeId> = nodes.iter().copied().filter(|n| *n >= back && reads(n)).collect();
        let Some(first) = nodes.iter().position(|n| readers.contains(n)) else { return };
        let again = self.make_again(id);
        let remade = self[again].site.outputs.clone();
        for reader in readers {
            let inputs = &mut self.nodes[reader.index()].site.inputs;
            for input in inputs {
                if let Some(i) = made.iter().position(|m| m == input) {
                    *input = remade[i];
                }
            }
        }
        self.programs[program].nodes.insert(first, again);
    }

    /// A node, in no program yet, that does what node `id` does and makes values of its own, which are stored as
    /// those of `id` are.
    pub(super) fn make_again(&mut self, id: NodeId) -> NodeId {
        let again = NodeId::at(self.nodes.len());
        let mut node = self[id].clone();
        for (i, output) in node.site.outputs.iter_mut().enumerate() {
            let value = Value { role: Role::Activation, producer: Some((again, i)), ..self[*output].clone() };
            self.values.push(value);
            let second = ValueId::at(self.values.len() - 1);
            self.repeated.push((second, *output));
            *output = second;
        }
        self.nodes.push(node);
        again
    }

    /// Values that are made again, each with what it is once more: the two have the same numbers, and are to be
    /// stored alike.
    pub fn repeated(&self) -> &[(ValueId, ValueId)] {
        &self.repeated
    }
}
