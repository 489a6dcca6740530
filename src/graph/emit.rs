//! A graph as what gradient rules add nodes to.

use super::{Derived, Graph, Role};
use crate::ids::ValueId;
use crate::ops::{Derivation, Emit, Op, clamp};
use crate::tensor::TensorType;

impl Emit for Graph {
    fn emit(&mut self, op: Op, inputs: &[ValueId]) -> Vec<ValueId> {
        self.apply(op, inputs).expect("a gradient rule emits ops that fit")
    }

    fn type_of(&self, value: ValueId) -> &TensorType {
        &self[value].ty
    }

    fn made_by(&self, value: ValueId) -> Option<&Op> {
        self[value].producer.map(|(node, _)| &self[node].op)
    }

    fn refit(&mut self, made: ValueId, op: Op, at: usize, input: ValueId) {
        let (node, _) = self[made].producer.expect("what is refitted was made");
        let node = &mut self.nodes[node.index()];
        node.op = op;
        node.site.inputs.insert(at, input);
        self.read.insert(input);
    }

    fn derive(&mut self, from: ValueId, how: Derivation) -> ValueId {
        let base = self.base(from);
        let home = self[base.value].home.expect("only what the host supplies can be worked out by the host");
        let len = self[from].ty.len();
        let count = |n: u64| usize::try_from(n).expect("what the host supplies fits in its memory");
        let first = count((home.offset + base.offset) / self[from].ty.dtype.bytes());
        let derived = Derived { from: home.slot, elements: first..first + count(len), how };
        let ty = how.output(clamp(len));
        let known = self.slot_ids().find(|&s| self[s].derived.as_ref() == Some(&derived));
        let slot = known.unwrap_or_else(|| {
            let part = if first == 0 { String::new() } else { format!(", from element {first} on") };
            let name = format!("{} ({}{part})", self[base.value].label, how.name());
            let slot = self.slot(name, Role::Input, ty.bytes(), 1);
            self.slots[slot.index()].derived = Some(derived);
            slot
        });
        let label = self[slot].name.clone();
        self.content(slot, 0, ty, label)
    }
}
