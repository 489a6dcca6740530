//! Gradients that are worked out in pieces, as they are read.

use std::collections::HashMap;

use super::Graph;
use crate::ids::{NodeId, ValueId};
use crate::ops::{Layout, Matmul, PiecewiseGradient};
use crate::target::Target;

impl Graph {
    /// Has recurrences going backward work out what a layer behind them would hand them for all timesteps at once
    /// in pieces, where that takes less memory on `target`. To be called when all programs are written.
    pub fn work_out_in_pieces(&mut self, target: &Target) {
        let all: Vec<NodeId> = self.programs.iter().flat_map(|program| program.nodes.iter().copied()).collect();
        let mut readers: HashMap<ValueId, Vec<NodeId>> = HashMap::new();
        for &id in &all {
            self[id].site.inputs.iter().for_each(|input| readers.entry(*input).or_default().push(id));
        }
        for &id in &all {
            if !self[id].op.rule().is_stepwise() {
                continue;
            }
            let dy = self[id].site.inputs[0];
            let Some(factors) = self.plain_product(dy, &readers) else { continue };
            let (a, dy) = (&self[factors[0]].ty, &self[dy].ty);
            let Some(steps) = PiecewiseGradient::steps_for(a, dy, target) else { continue };
            self.read_in_pieces(id, factors, steps);
        }
    }

    /// The factors of the product that `value` is, if that is all and it is read once.
    fn plain_product(&self, value: ValueId, readers: &HashMap<ValueId, Vec<NodeId>>) -> Option<[ValueId; 2]> {
        let (node, _) = self[value].producer.filter(|_| self[value].home.is_none())?;
        // Once for each time that it is read.
        let once = readers.get(&value).is_some_and(|all| all.len() == 1);
        let plain = self[node].op == Matmul::new(Layout::Nn).into();
        (once && plain).then(|| [self[node].site.inputs[0], self[node].site.inputs[1]])
    }

    /// Has node `id` read `factors` in place of their product. Nobody reads that any more, so it is not made.
    fn read_in_pieces(&mut self, id: NodeId, factors: [ValueId; 2], steps: u32) {
        let node = &self[id];
        let op = PiecewiseGradient { of: Box::new(node.op.clone()), steps };
        let inputs = [&factors[..], &node.site.inputs[1..]].concat();
        let types = crate::ops::Rule::outputs(&op, &self.types(&inputs)).expect("the product fitted the recurrence");
        let made = node.site.outputs.len();
        let piece = super::Value {
            ty: types[made].clone(),
            role: super::Role::Activation,
            label: node.label.clone(),
            home: None,
            producer: Some((id, made)),
        };
        self.values.push(piece);
        let piece = ValueId::at(self.values.len() - 1);
        let node = &mut self.nodes[id.index()];
        node.op = op.into();
        node.site.inputs = inputs;
        node.site.outputs.push(piece);
    }
}
