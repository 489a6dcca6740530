//! Gradients that can be made after it is known whether they will be finite.
//!
//! ```text
//! first   forward, loss | dx, dx, dx | the bound, of x and dy | dW1, update of W1 | dW2, update of W2 | ..
//! ```
//!
//! What bounds a gradient is there until the gradient is made, and the gradient no longer than its update takes. So it is
//! for those that are larger than what has to be kept for them; any other is made where it was written and bounds itself.

use std::collections::{HashMap, HashSet};

use super::Graph;
use crate::ids::{NodeId, ValueId};
use crate::ops::{Fill, GradientBound, Operand, Term};

/// What is known of gradients before they are made.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The factor that they are to be multiplied by, as their norm would tell it, `f32[2]`.
    pub norm: ValueId,
    /// The gradients in the order in which they are there: those that were made before, then the others, from the
    /// smallest to the largest.
    pub order: Vec<ValueId>,
}

/// What gradients are bounded by.
#[derive(Default)]
struct Bounded {
    /// Of these the sum is no less than that of the squares of all gradients.
    terms: Vec<Summand>,
    order: Vec<ValueId>,
    /// Nodes that only the last of these need, in running order.
    late: Vec<NodeId>,
}

/// A number times the sum of the squares of one value, or the product of those of two.
type Summand = (f64, Vec<ValueId>);

/// A gradient told from what it is made of.
struct Told {
    terms: Vec<Summand>,
    /// Nodes that nothing else needs.
    nodes: HashSet<NodeId>,
}

/// Who reads what in a program.
struct Reading<'a> {
    graph: &'a Graph,
    readers: HashMap<ValueId, Vec<NodeId>>,
    /// What else will be read by what is still to be written.
    gradients: HashSet<ValueId>,
    /// Whether values may be kept in halves.
    halves: bool,
}

impl Graph {
    /// Judges these `gradients` of the program being written, given its loss and the scale that they are of, and has
    /// those that can be told beforehand, and are larger than what that takes, made behind the judgement. They are to be
    /// read in full by what is still to be written; with `halves` other values may be kept so.
    pub fn judge(&mut self, gradients: &[ValueId], [loss, scaler]: [ValueId; 2], halves: bool) -> Judged {
        let fit = "what bounds gradients are floats";
        let mut bounded = self.bounded(gradients, halves);
        if bounded.terms.is_empty() {
            let zero = self.apply_one(Fill { value: 0.0, shape: vec![1] }, &[]).expect(fit);
            bounded.terms.push((1.0, vec![zero]));
        }
        let mut values: Vec<ValueId> = Vec::new();
        let mut place = |value: &ValueId| {
            values.iter().position(|known| known == value).unwrap_or_else(|| {
                values.push(*value);
                values.len() - 1
            })
        };
        #[expect(clippy::cast_possible_truncation, reason = "the device computes in f32")]
        let term = |(times, factors): &Summand| Term {
            times: *times as f32,
            factors: factors.iter().map(&mut place).collect(),
        };
        let op = GradientBound { terms: bounded.terms.iter().map(term).collect() };
        values.extend([loss, scaler]);
        let norm = self.apply_one(op, &values).expect(fit);
        self.run_last(&bounded.late);
        Judged { norm, order: bounded.order }
    }

    /// What bounds these `gradients`.
    fn bounded(&self, gradients: &[ValueId], halves: bool) -> Bounded {
        let nodes = self.current_nodes();
        let mut readers: HashMap<ValueId, Vec<NodeId>> = HashMap::new();
        for &node in nodes {
            self[node].site.inputs.iter().for_each(|input| readers.entry(*input).or_default().push(node));
        }
        let reading = Reading { graph: self, readers, gradients: gradients.iter().copied().collect(), halves };
        // Two parameters may have one gradient.
        let mut times: HashMap<ValueId, f64> = HashMap::new();
        gradients.iter().for_each(|g| *times.entry(*g).or_default() += 1.0);
        let mut seen = HashSet::new();
        let mut largest_first: Vec<ValueId> = gradients.iter().copied().filter(|g| seen.insert(*g)).collect();
        largest_first.sort_by_key(|g| std::cmp::Reverse(self[*g].ty.bytes()));
        let (mut kept, mut made) = (HashSet::new(), HashMap::new());
        let mut all = Bounded::default();
        let mut early = Vec::new();
        for gradient in largest_first {
            // What one way through its nodes is made late for, another may have ended at.
            let ends = |told: &Told| {
                let makers = told.terms.iter().flat_map(|(_, factors)| factors).filter_map(|v| self[*v].producer);
                makers.map(|(node, _)| node).all(|node| !told.nodes.contains(&node))
            };
            let told = reading.told(gradient, true, &HashSet::new()).filter(ends);
            let bases = |told: &Told| -> HashSet<ValueId> {
                let values = told.terms.iter().flat_map(|(_, factors)| factors);
                values.map(|v| self.base(*v).value).filter(|v| !self.is_supplied(*v)).collect()
            };
            let more = |told: &Told| {
                let new = bases(told).into_iter().filter(|v| !kept.contains(v));
                new.map(|v| self[v].ty.bytes() / if halves { 2 } else { 1 }).sum::<u64>()
            };
            match told.filter(|told| more(told) < self[gradient].ty.bytes()) {
                Some(told) => {
                    kept.extend(bases(&told));
                    all.terms.extend(told.terms.into_iter().map(|(n, factors)| (n * times[&gradient], factors)));
                    made.extend(told.nodes.into_iter().map(|node| (node, all.order.len())));
                    all.order.push(gradient);
                }
                None => {
                    all.terms.push((times[&gradient], vec![gradient]));
                    early.push(gradient);
                }
            }
        }
        // The last of the order are the first to have been looked at.
        let mut late: Vec<(usize, NodeId)> = nodes.iter().filter_map(|node| Some((*made.get(node)?, *node))).collect();
        late.sort_by_key(|(of, _)| std::cmp::Reverse(*of));
        all.late = late.into_iter().map(|(_, node)| node).collect();
        all.order.reverse();
        all.order.splice(0..0, early);
        all
    }

    /// Has these nodes of the program being written run behind all others that are written so far, in this order.
    fn run_last(&mut self, nodes: &[NodeId]) {
        let last: HashSet<NodeId> = nodes.iter().copied().collect();
        let program = self.programs.last_mut().expect("a program was begun");
        // Differentiation begins with the first that stays.
        for turn in &mut program.turns {
            let mut from = program.nodes.iter().skip_while(|node| *node != turn);
            *turn = from.find(|node| !last.contains(node)).copied().unwrap_or(*turn);
        }
        program.nodes.retain(|node| !last.contains(node));
        program.nodes.extend(nodes);
    }
}

impl Reading<'_> {
    /// What `value` is made of that is there anyway, where it is read by none but those of `by`, or by what is still to be
    /// written; `in_full` if it is known not to be kept in halves.
    fn told(&self, value: ValueId, in_full: bool, by: &HashSet<NodeId>) -> Option<Told> {
        let (node, position) = self.graph[value].producer.filter(|_| self.graph[value].home.is_none())?;
        let site = &self.graph[node].site;
        let mut readers = self.readers.get(&value).into_iter().flatten();
        // A gradient may be read on the way to another one.
        let inner = !by.is_empty() && self.gradients.contains(&value);
        let alone = site.outputs.len() == 1 && !inner && readers.all(|reader| by.contains(reader));
        let rule = self.graph[node].op.rule();
        let groups = rule.halves(site.inputs.len());
        let group = groups.iter().find(|group| group.contains(&Operand::Output(position)));
        // What is rounded to a half may be infinite though what it was made of is not.
        let in_full = in_full || group.is_none() || !self.halves;
        let bound = rule.bound(&self.graph.types(&site.inputs), position).filter(|_| alone && in_full)?;
        let mut nodes = by.clone();
        nodes.insert(node);
        let inner = nodes.clone();
        // No term may have more factors than two.
        let room = 3 - bound.terms.iter().map(Vec::len).max().unwrap_or(0).min(2);
        let mut told: HashMap<usize, Vec<Summand>> = HashMap::new();
        for &input in bound.terms.iter().flatten() {
            let value = site.inputs[input];
            let tied = group.is_some_and(|group| group.contains(&Operand::Input(input)));
            // One that is read twice is there for both.
            let once = site.inputs.iter().filter(|i| **i == value).count() == 1;
            let of = self.told(value, tied, &inner).filter(|told| once && told.terms.iter().all(|t| t.1.len() <= room));
            told.insert(
                input,
                of.map_or_else(
                    || vec![(1.0, vec![value])],
                    |of| {
                        nodes.extend(of.nodes);
                        of.terms
                    },
                ),
            );
        }
        let terms = bound.terms.iter().flat_map(|term| {
            let start = vec![(bound.times, Vec::new())];
            term.iter().fold(start, |so_far, input| multiplied(&so_far, &told[input]))
        });
        Some(Told { terms: terms.collect(), nodes })
    }
}

/// The product of two sums.
fn multiplied(a: &[Summand], b: &[Summand]) -> Vec<Summand> {
    let of = |(m, p): &Summand| b.iter().map(|(n, q)| (m * n, [&p[..], q].concat())).collect::<Vec<_>>();
    a.iter().flat_map(of).collect()
}
