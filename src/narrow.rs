//! Which values are kept in halves, where a run asks for it: every float whose kernels all can.
//!
//! Arithmetic stays in `f32`; what changes is how results are stored between dispatches. An op says which of
//! its operands its kernels can have in halves, and which of them only together ([`Rule::halves`]). Values
//! that are bytes of one another are stored alike: views, what must be overwritten in place, and the content
//! of one slot in all programs. Of values tied to each other so, either all are narrowed or none.
//!
//! ```text
//! x (fed) --matmul--> xp ==lstm==> gates ~~> dgates   classes, of which each may be halves
//!        w (a parameter)                          never
//! dgates, x --matmul--> dw                         never: sums over a batch are kept in full
//! ```
//!
//! [`Rule::halves`]: crate::ops::Rule::halves

use std::collections::HashMap;

use crate::graph::Graph;
use crate::ids::{NodeId, SlotId, ValueId};
use crate::ops::{Op, Operand};
use crate::tensor::DType;

/// Keeps in halves whatever of `graph`, all of whose programs are written, can be. `slots` says whether what
/// outlives a program in a slot may be; what lives within one always may.
pub fn narrow(graph: &mut Graph, slots: impl Fn(&Graph, SlotId) -> bool) {
    let mut classes = Classes::new(graph.value_ids().count());
    let mut of_slot: HashMap<SlotId, ValueId> = HashMap::new();
    for value in graph.value_ids() {
        let floats = graph[value].ty.dtype == DType::F32;
        let home = graph[value].home;
        let stays = home.is_some_and(|h| !alone(graph, value) || !slots(graph, h.slot));
        if !floats || stays {
            classes.exclude(value);
        }
        if let Some(home) = home {
            classes.tie(value, *of_slot.entry(home.slot).or_insert(value));
        }
        if let Some(base) = graph.viewed(value) {
            classes.tie(value, base.value);
        }
    }
    // What is made again has the numbers that it had.
    graph.repeated().iter().for_each(|&(again, first)| classes.tie(again, first));
    let nodes: Vec<NodeId> = graph.programs().iter().flat_map(|p| p.nodes.iter().copied()).collect();
    nodes.into_iter().for_each(|node| classes.hear(graph, node));
    let narrowed: Vec<ValueId> = graph.value_ids().filter(|&v| classes.may(v)).collect();
    for value in narrowed {
        graph.keep_as(value, DType::F16);
    }
}

/// Those of `slots` whose content is read by products, and, under whatever name, by nothing else.
pub fn only_multiplied(graph: &Graph, slots: &[SlotId]) -> Vec<SlotId> {
    // By slot: whether a product reads it, and whether anything else does.
    let mut readers: HashMap<SlotId, [bool; 2]> = slots.iter().map(|&slot| (slot, [false; 2])).collect();
    for &node in graph.programs().iter().flat_map(|program| &program.nodes) {
        let site = &graph[node].site;
        // What shows a value under another name does not read it.
        if site.outputs.iter().all(|&output| graph.viewed(output).is_some()) {
            continue;
        }
        let multiplies = matches!(graph[node].op, Op::Matmul(_) | Op::LinearCrossEntropy(_) | Op::GradientBound(_));
        for &input in &site.inputs {
            let home = graph[graph.base(input).value].home;
            if let Some(found) = home.and_then(|home| readers.get_mut(&home.slot)) {
                found[usize::from(!multiplies)] = true;
            }
        }
    }
    slots.iter().copied().filter(|slot| readers[slot] == [true, false]).collect()
}

/// Whether `value` is all that its slot holds.
fn alone(graph: &Graph, value: ValueId) -> bool {
    graph[value].home.is_none_or(|h| h.offset == 0 && graph[h.slot].bytes == graph[value].ty.bytes())
}

/// Values tied to each other: a forest, whose roots know whether their class may be narrowed.
struct Classes {
    parent: Vec<usize>,
    excluded: Vec<bool>,
}

impl Classes {
    fn new(values: usize) -> Self {
        Self { parent: (0..values).collect(), excluded: vec![false; values] }
    }

    fn root(&mut self, value: ValueId) -> usize {
        let mut at = value.index();
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    fn tie(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a] = b;
        self.excluded[b] |= self.excluded[a];
    }

    fn exclude(&mut self, value: ValueId) {
        let root = self.root(value);
        self.excluded[root] = true;
    }

    fn may(&mut self, value: ValueId) -> bool {
        let root = self.root(value);
        !self.excluded[root]
    }

    /// Notes what the op of `node` says of its operands.
    fn hear(&mut self, graph: &Graph, node: NodeId) {
        let (site, rule) = (&graph[node].site, graph[node].op.rule());
        let value = |operand: &Operand| match operand {
            Operand::Input(i) => site.inputs[*i],
            Operand::Output(i) => site.outputs[*i],
        };
        let groups = rule.halves(site.inputs.len());
        for group in &groups {
            group.iter().for_each(|operand| self.tie(value(operand), value(&group[0])));
        }
        for pair in rule.in_place().into_iter().filter(|p| p.must) {
            self.tie(site.outputs[pair.output], site.inputs[pair.input]);
        }
        let all = (0..site.inputs.len()).map(Operand::Input).chain((0..site.outputs.len()).map(Operand::Output));
        for operand in all.filter(|operand| !groups.iter().flatten().any(|o| o == operand)) {
            self.exclude(value(&operand));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Role;
    use crate::ops::{Activation, Binary, Function, Layout, Matmul, Sum};
    use crate::tensor::TensorType;

    fn tanh() -> Activation {
        Activation { function: Function::Tanh }
    }

    #[test]
    fn what_a_program_makes_is_narrowed_and_what_it_is_given_or_sums_over_rows_is_not() {
        let mut graph = Graph::default();
        graph.begin("p");
        let x = graph.held("x", Role::Input, TensorType::f32(&[5, 4]), 1);
        let w = graph.held("w", Role::Parameter, TensorType::f32(&[3, 4]), 1);
        let h = graph.apply_one(Matmul::new(Layout::Nt), &[x, w]).unwrap();
        let y = graph.apply_one(tanh(), &[h]).unwrap();
        let dw = graph.apply_one(Matmul::new(Layout::Tn), &[y, x]).unwrap();
        let loss = graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[y]).unwrap();
        narrow(&mut graph, |_, _| false);
        let dtype = |v: ValueId| graph[v].ty.dtype;
        assert_eq!([h, y].map(dtype), [DType::F16; 2]);
        assert_eq!([x, w, dw, loss].map(dtype), [DType::F32; 4]);
    }

    #[test]
    fn values_tied_to_one_that_cannot_be_narrowed_are_not_either() {
        let mut graph = Graph::default();
        graph.begin("p");
        let w = graph.held("w", Role::Parameter, TensorType::f32(&[3, 4]), 1);
        // The sum of a parameter and a value has to be of one storage with it.
        let x = graph.held("x", Role::Input, TensorType::f32(&[3, 4]), 1);
        let h = graph.apply_one(tanh(), &[x]).unwrap();
        let sum = graph.apply_one(Binary::Add, &[w, h]).unwrap();
        narrow(&mut graph, |_, _| false);
        assert_eq!([w, x, h, sum].map(|v| graph[v].ty.dtype), [DType::F32; 4]);
    }

    #[test]
    fn a_slot_is_narrowed_in_all_programs_or_in_none() {
        let mut graph = Graph::default();
        let slot = graph.slot("state", Role::CarriedState, 20, 2);
        for _ in 0..2 {
            graph.begin("p");
            let state = graph.content(slot, 0, TensorType::f32(&[5]), "state");
            let next = graph.apply_one(tanh(), &[state]).unwrap();
            graph.store(next, slot, 0);
        }
        let mut kept = graph.clone();
        let of = |graph: &Graph| graph.value_ids().map(|v| graph[v].ty.dtype).collect::<Vec<_>>();
        narrow(&mut graph, |_, _| true);
        assert_eq!((of(&graph), graph[slot].bytes), (vec![DType::F16; 4], 12), "10 bytes, in whole words");
        kept.begin("q");
        let state = kept.content(slot, 0, TensorType::f32(&[5]), "state");
        kept.apply_one(Matmul::new(Layout::Tn), &[state, state]).unwrap();
        let row = kept.content(slot, 4, TensorType::f32(&[1]), "a part of it");
        kept.apply_one(tanh(), &[row]).unwrap();
        narrow(&mut kept, |_, _| true);
        assert_eq!(kept[slot].bytes, 20, "what is seen in parts keeps its form");
    }
}
