//! Values that share bytes: views of another value, and outputs that lie on an input.

use std::collections::HashMap;

use super::Graph;
use crate::ids::{NodeId, ValueId};
use crate::ops::{Copy, Emit};

/// Where the bytes of a view are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The value that is seen.
    pub value: ValueId,
    /// Bytes from its start.
    pub offset: u64,
}

impl Graph {
    /// What `value` is a view of; `None` for one with bytes of its own, such as a stored one.
    pub fn viewed(&self, value: ValueId) -> Option<Base> {
        let (node, _) = self[value].producer.filter(|_| self[value].home.is_none())?;
        // What is bytes of one input has no other.
        let [of] = self[node].site.inputs[..] else { return None };
        let offset = self[node].op.rule().view(std::slice::from_ref(&self[of].ty))?;
        Some(Base { value: of, offset })
    }

    /// Whether `value` is a slot's content as a program finds it, or a part of one.
    pub fn is_supplied(&self, value: ValueId) -> bool {
        let base = &self[self.base(value).value];
        base.home.is_some() && base.producer.is_none()
    }

    /// What `value` shows when views are followed to their end; itself, if it is no view.
    ///
    /// A device may demand that some of them be copies.
    pub(crate) fn base(&self, value: ValueId) -> Base {
        let mut base = Base { value, offset: 0 };
        while let Some(of) = self.viewed(base.value) {
            base = Base { value: of.value, offset: base.offset + of.offset };
        }
        base
    }

    /// Puts copies where an op must take the bytes of a value that it reads elsewhere too, that is
    /// needed afterwards, that is a part of another, or that lies in other memory than the output.
    /// To be called when a program is written.
    pub fn protect(&mut self) {
        let nodes = std::mem::take(&mut self.programs.last_mut().expect("a program was begun").nodes);
        let bases = |n: &NodeId| self[*n].site.inputs.iter().map(|i| self.base(*i).value).collect();
        let read: Vec<Vec<ValueId>> = nodes.iter().map(bases).collect();
        let all = read.iter().enumerate().flat_map(|(at, values)| values.iter().map(move |value| (*value, at)));
        let last_read: HashMap<ValueId, usize> = all.collect();
        for (at, &id) in nodes.iter().enumerate() {
            for pair in self[id].op.rule().in_place().into_iter().filter(|p| p.must) {
                let (input, output) = (self[id].site.inputs[pair.input], self[id].site.outputs[pair.output]);
                let base = self.base(input).value;
                // A view that is read later shows what the op would have overwritten.
                let later = last_read.get(&base).is_some_and(|last| *last > at);
                let twice = self[id].site.inputs.iter().filter(|i| self.base(**i).value == base).count() > 1;
                let part = self[input].ty.bytes() != self[base].ty.bytes();
                if later || twice || part || self[base].home != self[output].home {
                    self.copy_for(id, pair.input, output);
                }
            }
            self.programs.last_mut().expect("a program was begun").nodes.push(id);
        }
    }

    /// Has node `id` read a copy of its input at `position` that lies where `output` will.
    fn copy_for(&mut self, id: NodeId, position: usize, output: ValueId) {
        self.set_label(self[id].label.clone());
        let copy = self.emit(Copy.into(), &[self[id].site.inputs[position]])[0];
        if let Some(home) = self[output].home {
            self.store(copy, home.slot, home.offset);
        }
        self.nodes[id.index()].site.inputs[position] = copy;
    }
}
