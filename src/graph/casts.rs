//! Parameters that are read in halves, from a copy that each program makes of what lies in memory in full, or that one
//! finds as another has made it.

use std::collections::{HashMap, HashSet};

use super::{Graph, Home, Node, Program, Role, Value};
use crate::ids::{NodeId, ValueId};
use crate::ops::{Cast, Op, Operand, Site};

impl Graph {
    /// Has products of the `programs` chosen that can have a parameter in halves by itself, as a factor, read a copy of
    /// it, which the program makes once, where it is read first, and which can be narrowed. What the optimizer updates
    /// stays in full. To be called when all programs are written.
    pub fn cast_parameters(&mut self, programs: impl Fn(&Program) -> bool) {
        for program in 0..self.programs.len() {
            if programs(&self.programs[program]) {
                let nodes = std::mem::take(&mut self.programs[program].nodes);
                self.programs[program].nodes = self.with_casts(&nodes);
            }
        }
    }

    /// Has what program `reader` copies of parameters, if program `maker`, which runs before it with no update between
    /// them, copies it too, lie in a slot from the one to the other and be made no more than once. To be called when
    /// parameters are cast and before anything is narrowed.
    pub fn keep_copies(&mut self, maker: &str, reader: &str) {
        let made: HashMap<_, _> = self.casts_of(maker).into_iter().collect();
        let mut gone = HashSet::new();
        for (of, node) in self.casts_of(reader) {
            let Some(first) = made.get(&of) else { continue };
            let [copy, found] = [*first, node].map(|node| self[node].site.outputs[0]);
            let (name, bytes) = (&self[self[node].site.inputs[0]].label, self[copy].ty.bytes());
            let slot = self.slot(format!("{name}, copied"), Role::Activation, bytes, 1);
            for value in [copy, found] {
                self.values[value.index()].home = Some(Home { slot, offset: 0 });
            }
            self.values[found.index()].producer = None;
            gone.insert(node);
        }
        let reader = self.programs.iter_mut().find(|program| program.name == reader);
        reader.into_iter().for_each(|program| program.leave_out(&gone));
    }

    /// The nodes of a program that copy parameters, each behind what it copies.
    fn casts_of(&self, program: &str) -> Vec<((Home, Vec<u32>), NodeId)> {
        let program = self.programs.iter().find(|other| other.name == program);
        let casts = program.into_iter().flat_map(|program| &program.nodes);
        let casts = casts.filter(|&&node| matches!(self[node].op, Op::Cast(_)));
        let of = |&node: &NodeId| {
            let parameter = &self[self[node].site.inputs[0]];
            Some(((parameter.home?, parameter.ty.shape.clone()), node))
        };
        casts.filter_map(of).collect()
    }

    fn with_casts(&mut self, nodes: &[NodeId]) -> Vec<NodeId> {
        // Each use of a parameter is a value of its own; where it lies tells which one it is.
        let mut copies: HashMap<(Home, Vec<u32>), ValueId> = HashMap::new();
        let mut all = Vec::with_capacity(nodes.len());
        for &node in nodes {
            for input in self.castable(node) {
                let parameter = self[node].site.inputs[input];
                let Some(home) = self[parameter].home else { continue };
                let copy = *copies.entry((home, self[parameter].ty.shape.clone())).or_insert_with(|| {
                    let (cast, copy) = self.cast(parameter, node);
                    all.push(cast);
                    copy
                });
                self.nodes[node.index()].site.inputs[input] = copy;
            }
            all.push(node);
        }
        all
    }

    /// The inputs of `node`, if it is a product, that are parameters as they began and can be in halves whatever its other
    /// operands are.
    fn castable(&self, node: NodeId) -> Vec<usize> {
        let Node { op, site, .. } = &self[node];
        if op.rule().flops(&self.types(&site.inputs)) == 0 {
            return Vec::new();
        }
        let groups = op.rule().halves(site.inputs.len());
        let alone = groups.into_iter().filter_map(|group| match group[..] {
            [Operand::Input(i)] => Some(i),
            _ => None,
        });
        let value = |i: usize| &self[site.inputs[i]];
        alone.filter(|&i| value(i).role == Role::Parameter && value(i).producer.is_none()).collect()
    }

    /// A node that makes a copy of `parameter` for the layer of `reader`, in no program yet, and the copy.
    fn cast(&mut self, parameter: ValueId, reader: NodeId) -> (NodeId, ValueId) {
        let (node, copy) = (NodeId::at(self.nodes.len()), ValueId::at(self.values.len()));
        let (of, label) = (self[parameter].clone(), self[reader].label.clone());
        let site = Site { inputs: vec![parameter], outputs: vec![copy] };
        self.nodes.push(Node { op: Cast.into(), site, label: label.clone() });
        self.values.push(Value { role: Role::Activation, label, home: None, producer: Some((node, 0)), ..of });
        (node, copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::narrow::narrow;
    use crate::ops::{Binary, Layout, Matmul};
    use crate::tensor::{DType, TensorType};

    #[test]
    fn a_parameter_is_copied_once_a_program_and_only_products_read_the_copy() {
        let mut graph = Graph::default();
        let slot = graph.slot("w", Role::Parameter, 64, 1);
        let mut read = Vec::new();
        for name in ["first", "sample"] {
            graph.begin(name);
            let x = graph.held("x", Role::Input, TensorType::f32(&[3, 4]), 1);
            for _ in 0..2 {
                let w = graph.content(slot, 0, TensorType::f32(&[4, 4]), "w");
                let h = graph.apply_one(Matmul::new(Layout::Nt), &[x, w]).unwrap();
                read.push((graph[h].producer.unwrap().0, w));
            }
            // A sum of a parameter with what is stored as it is.
            let w = read.last().unwrap().1;
            graph.apply_one(Binary::Sub, &[w, w]).unwrap();
        }
        graph.cast_parameters(|program| program.name == "first");
        narrow(&mut graph, |_, _| false);
        let factor = |(node, _): &(NodeId, ValueId)| graph[*node].site.inputs[1];
        let copies: Vec<ValueId> = read.iter().map(factor).collect();
        assert_eq!(copies[0], copies[1], "one copy for both");
        assert_eq!(graph[copies[0]].ty, TensorType::new(&[4, 4], DType::F16));
        assert_eq!(copies[2..], [read[2].1, read[3].1], "the other program reads what is in full");
        let nodes = &graph.programs()[0].nodes;
        assert_eq!(nodes.iter().filter(|n| matches!(graph[**n].op, Op::Cast(_))).count(), 1);
        assert_eq!(graph[nodes[0]].op, Cast.into(), "made before it is read");
        let difference = nodes.last().unwrap();
        let [a, b] = graph[*difference].site.inputs[..] else { panic!("two inputs") };
        assert_eq!([a, b].map(|v| graph[v].ty.dtype), [DType::F32; 2], "no product");
    }

    #[test]
    fn a_copy_that_is_kept_is_made_once_for_two_programs_and_anew_by_a_third() {
        let mut graph = Graph::default();
        let slot = graph.slot("w", Role::Parameter, 60, 1);
        for name in ["first", "next", "evaluate"] {
            graph.begin(name);
            let x = graph.held("x", Role::Input, TensorType::f32(&[4, 3]), 1);
            let w = graph.content(slot, 0, TensorType::f32(&[5, 3]), "layer.w");
            graph.apply_one(Matmul::new(Layout::Nt), &[x, w]).unwrap();
        }
        graph.cast_parameters(|_| true);
        graph.keep_copies("first", "next");
        narrow(&mut graph, |graph, slot| graph[slot].role == Role::Activation);
        assert_eq!(["first", "next", "evaluate"].map(|name| graph.casts_of(name).len()), [1, 0, 1]);
        let read = |program: usize| {
            let product = *graph.programs()[program].nodes.last().unwrap();
            &graph[graph[product].site.inputs[1]]
        };
        let (first, next, evaluate) = (read(0), read(1), read(2));
        assert!(first.home.is_some() && first.home == next.home && evaluate.home.is_none());
        assert!(first.producer.is_some() && next.producer.is_none() && evaluate.producer.is_some());
        assert_eq!([first, next, evaluate].map(|copy| copy.ty.dtype), [DType::F16; 3]);
        // Fifteen halves, in whole words.
        let kept = &graph[first.home.unwrap().slot];
        assert_eq!((&kept.name[..], kept.role, kept.bytes), ("layer.w, copied", Role::Activation, 32));
    }
}
