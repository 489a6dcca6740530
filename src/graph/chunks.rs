//! Logits that are worked out in chunks of rows, with what is learnt from each before the next.

use std::collections::{HashMap, HashSet};

use super::{Graph, Role, Value};
use crate::ids::{NodeId, ValueId};
use crate::ops::{CrossEntropy, Function, Layout, LinearCrossEntropy, Matmul, Op};
use crate::target::Target;

/// A linear layer whose output is read by its loss alone, and what is made of that on the way back.
struct Head {
    product: NodeId,
    linear: Matmul,
    loss: CrossEntropy,
    hits: Option<NodeId>,
    dx: Option<NodeId>,
    dw: Option<NodeId>,
    db: Option<NodeId>,
}

/// Who reads each value of a program, once for each time.
type Readers = HashMap<ValueId, Vec<NodeId>>;

impl Graph {
    /// Has linear layers whose output only a cross entropy reads worked out in chunks of rows, where that takes less
    /// memory on `target` and no more time. To be called when programs are written.
    pub fn work_out_logits_in_chunks(&mut self, target: &Target) {
        for program in 0..self.programs.len() {
            let nodes = self.programs[program].nodes.clone();
            let mut gone: HashSet<NodeId> = HashSet::new();
            for (id, head, chunk) in self.heads(&nodes, target) {
                gone.insert(head.product);
                gone.extend([head.hits, head.dx, head.dw, head.db].into_iter().flatten());
                self.chunk(id, &head, chunk);
            }
            self.programs[program].leave_out(&gone);
        }
    }

    /// What of the program being written will never lie in memory as a whole once logits are worked out in chunks:
    /// those, and their gradients.
    pub fn never_whole(&self, target: &Target) -> HashSet<ValueId> {
        let heads = self.heads(self.current_nodes(), target).into_iter();
        heads.flat_map(|(loss, ..)| [self[loss].site.inputs[0], self[loss].site.outputs[1]]).collect()
    }

    /// The losses among `nodes` that can be worked out in chunks, what each is the loss of, and rows of a chunk.
    fn heads(&self, nodes: &[NodeId], target: &Target) -> Vec<(NodeId, Head, u32)> {
        let mut readers = Readers::new();
        for &id in nodes {
            self[id].site.inputs.iter().for_each(|input| readers.entry(*input).or_default().push(id));
        }
        let places: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let losses = nodes.iter().enumerate();
        let heads = losses.filter_map(|(at, &id)| {
            Some((id, self.head(id, &readers, &|node| places.get(&node).is_some_and(|&place| place < at))?))
        });
        let chunked = heads.filter_map(|(id, head)| {
            let factors = &self[head.product].site.inputs;
            let [(rows, inputs), (classes, _)] = [factors[0], factors[1]].map(|v| self[v].ty.as_matrix());
            let chunk = LinearCrossEntropy::rows_at_once(rows, inputs, classes, target)?;
            Some((id, head, chunk))
        });
        chunked.collect()
    }

    /// What node `id` is the loss of, if that can be worked out in chunks; `before` tells of a node whether it is in front.
    fn head(&self, id: NodeId, readers: &Readers, before: &dyn Fn(NodeId) -> bool) -> Option<Head> {
        let Op::CrossEntropy(loss) = &self[id].op else { return None };
        let site = &self[id].site;
        let (logits, dlogits, rows) = (site.inputs[0], site.outputs[1], site.outputs[2]);
        let none = Vec::new();
        let of = |value: ValueId| readers.get(&value).unwrap_or(&none);
        let (product, _) = self[logits].producer.filter(|(node, _)| before(*node))?;
        let Op::Matmul(linear) = &self[product].op else { return None };
        let plain = Matmul::linear(linear.bias, Function::Identity) == *linear;
        let apart = [logits, dlogits, rows].iter().all(|value| self[*value].home.is_none());
        if !plain || !apart || !of(rows).is_empty() {
            return None;
        }
        let mut head =
            Head { product, linear: linear.clone(), loss: loss.clone(), hits: None, dx: None, dw: None, db: None };
        let factors = &self[product].site.inputs;
        for &reader in of(logits).iter().filter(|reader| **reader != id) {
            let counts = matches!(self[reader].op, Op::Hits(_)) && self[reader].site.inputs[1] == site.inputs[1];
            head.hits =
                Some(reader).filter(|_| counts && head.hits.is_none() && of(self[reader].site.outputs[1]).is_empty());
            head.hits?;
        }
        for &reader in of(dlogits) {
            let inputs = &self[reader].site.inputs;
            // What it is added to has to be there when the loss is worked out.
            let old = inputs.get(2).or(inputs.get(1).filter(|_| matches!(self[reader].op, Op::ColumnSum(_))));
            let there = old.is_none_or(|old| self[*old].producer.is_none_or(|(node, _)| before(node)));
            let plain =
                |matmul: &Matmul, layout| Matmul { accumulate: matmul.accumulate, ..Matmul::new(layout) } == *matmul;
            let place = match &self[reader].op {
                Op::Matmul(m) if plain(m, Layout::Tn) && inputs[..2] == [dlogits, factors[0]] => &mut head.dw,
                Op::Matmul(m) if *m == Matmul::new(Layout::Nn) && inputs[..2] == [dlogits, factors[1]] => &mut head.dx,
                Op::ColumnSum(_) => &mut head.db,
                _ => return None,
            };
            if !there || place.replace(reader).is_some() {
                return None;
            }
        }
        Some(head)
    }

    /// Has the loss `id` make all that `head` is, in chunks of so many rows.
    fn chunk(&mut self, id: NodeId, head: &Head, chunk: u32) {
        let adds = |node: Option<NodeId>, added: usize| node.map(|node| self[node].site.inputs.len() > added);
        let op = LinearCrossEntropy {
            loss: head.loss.clone(),
            bias: head.linear.bias,
            chunk,
            dx: head.dx.is_some(),
            dw: adds(head.dw, 2),
            db: adds(head.db, 1),
            hits: head.hits.is_some(),
        };
        let old = |node: Option<NodeId>, added: usize| node.and_then(|node| self[node].site.inputs.get(added).copied());
        let [of_loss, factors] = [id, head.product].map(|node| self[node].site.inputs.clone());
        let old = old(head.dw, 2).into_iter().chain(old(head.db, 1));
        let inputs: Vec<ValueId> = factors.into_iter().chain(of_loss[1..].iter().copied()).chain(old).collect();
        let types = crate::ops::Rule::outputs(&op, &self.types(&inputs)).expect("each part fitted the others");
        let label = self[head.product].label.clone();
        let made = |node: Option<NodeId>, output: usize| node.map(|node| self[node].site.outputs[output]);
        let (loss, rows) = (self[id].site.outputs[0], self[id].site.outputs[2]);
        let behind: Vec<ValueId> = [made(head.dx, 0), made(head.dw, 0), made(head.db, 0)]
            .into_iter()
            .chain([made(head.hits, 0), made(head.hits, 1)])
            .flatten()
            .collect();
        let ty = types[2].clone();
        self.values.push(Value { ty, role: Role::Activation, label: label.clone(), home: None, producer: None });
        let piece = ValueId::at(self.values.len() - 1);
        let outputs: Vec<ValueId> = [loss, rows, piece].into_iter().chain(behind).collect();
        for (i, output) in outputs.iter().enumerate() {
            self.values[output.index()].producer = Some((id, i));
        }
        let node = &mut self.nodes[id.index()];
        (node.op, node.label) = (op.into(), label);
        (node.site.inputs, node.site.outputs) = (inputs, outputs);
    }
}
