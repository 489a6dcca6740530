//! An order of steps that lowers the peak: nodes that do not depend on one another, in another order than written.
//!
//! ```text
//! written   x ======== dx  dw     while `dx` is made, `x` waits for `dw`, its last reader
//! ordered   x === dw  dx          x is gone before `dx` comes
//! ```
//!
//! What is alive at the worst moment is looked at: who reads it last may run before, with all it needs, and what has
//! made it may run after, with all that need it. No node passes a turn between forward and back.

use std::collections::HashMap;
use std::ops::Range;

use super::{Graph, Home};
use crate::ids::{NodeId, ValueId};

/// Nodes that may be looked at in one program: this is what bounds the time, a few milliseconds.
const VISITS: usize = 1 << 19;

/// Nodes that are moved at once, at most.
const FEW: usize = 32;

/// Nodes of a program, at most. A bargain writes hundreds of programs, those of long windows in segments with tens of
/// thousands of nodes, and each of them would be searched.
const MOST_NODES: usize = 1024;

impl Graph {
    /// Puts the nodes of programs that learn in an order in which less is alive at the worst moment, by bytes of whole
    /// nodes. Returns whether that was found for any. The same ops on the same values: no bit changes. To be called when
    /// nothing else will be done on the graph.
    pub fn order_for_memory(&mut self) -> bool {
        let mut changed = false;
        for program in 0..self.programs.len() {
            if self.programs[program].turns.is_empty() || self.programs[program].nodes.len() > MOST_NODES {
                continue;
            }
            let nodes = self.programs[program].nodes.clone();
            let begins = |at: usize| self.programs[program].turns.contains(&nodes[at]);
            let bounds: Vec<usize> = (0..nodes.len()).filter(|&at| begins(at)).chain([nodes.len()]).collect();
            let Some(order) = Order::new(self, &nodes).lowered(&bounds) else { continue };
            changed = true;
            let program = &mut self.programs[program];
            program.nodes = order.iter().map(|&at| nodes[at]).collect();
            // A part still begins where it began, be it with another node.
            for turn in &mut program.turns {
                let Some(at) = nodes.iter().position(|node| node == turn) else { continue };
                *turn = program.nodes[at];
            }
        }
        changed
    }
}

/// What has bytes of its own for a while.
#[derive(Clone, Debug)]
struct Kept {
    bytes: u64,
    maker: usize,
    readers: Vec<usize>,
}

/// The nodes of a program, by the position at which each was written.
struct Order {
    /// Who has to run before each.
    before: Vec<Vec<usize>>,
    /// Who has to run after each.
    after: Vec<Vec<usize>>,
    kept: Vec<Kept>,
    /// What each node makes and reads, as positions in `kept`.
    makes: Vec<Vec<usize>>,
    reads: Vec<Vec<usize>>,
    /// Pairs of what a node makes and what it reads, on which the first may lie.
    over: Vec<Vec<(usize, usize)>>,
}

/// What an order takes: bytes at the worst moment, and how many moments are as bad.
type Cost = (u64, usize);

impl Order {
    fn new(graph: &Graph, nodes: &[NodeId]) -> Self {
        let none = || vec![Vec::new(); nodes.len()];
        let (mut makes, mut reads, mut over) = (none(), none(), vec![Vec::new(); nodes.len()]);
        let (mut kept, mut known) = (Vec::new(), HashMap::<ValueId, usize>::new());
        for (at, &id) in nodes.iter().enumerate() {
            let site = &graph[id].site;
            let of_inputs: Vec<Option<usize>> =
                site.inputs.iter().map(|i| known.get(&graph.base(*i).value).copied()).collect();
            for &value in of_inputs.iter().flatten() {
                let Kept { readers, .. }: &mut Kept = &mut kept[value];
                if readers.last() != Some(&at) {
                    readers.push(at);
                    reads[at].push(value);
                }
            }
            for (position, &output) in site.outputs.iter().enumerate() {
                if graph[output].home.is_some() || graph.viewed(output).is_some() {
                    continue;
                }
                kept.push(Kept { bytes: graph[output].ty.bytes(), maker: at, readers: Vec::new() });
                known.insert(output, kept.len() - 1);
                makes[at].push(kept.len() - 1);
                for pair in graph[id].op.rule().in_place().iter().filter(|pair| pair.output == position) {
                    let Some(Some(input)) = of_inputs.get(pair.input) else { continue };
                    let (from, to) = (&graph[site.inputs[pair.input]].ty, &graph[output].ty);
                    if kept[*input].bytes == to.bytes() && from.dtype == to.dtype {
                        over[at].push((kept.len() - 1, *input));
                    }
                }
            }
        }
        let before = dependencies(graph, nodes);
        let mut after = none();
        before.iter().enumerate().for_each(|(at, all)| all.iter().for_each(|&b: &usize| after[b].push(at)));
        Self { before, after, kept, makes, reads, over }
    }

    /// An order that takes less, if one is found. Nodes stay between the `bounds` that they stand between.
    fn lowered(&self, bounds: &[usize]) -> Option<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.before.len()).collect();
        let mut found = false;
        let mut left = VISITS;
        let (mut cost, mut worst) = self.cost(&order, &mut left);
        while left > 0 {
            let start = bounds.iter().rev().find(|b| **b <= worst).copied().unwrap_or(0);
            let end = bounds.iter().find(|b| **b > worst).copied().unwrap_or(order.len());
            let mut better = None;
            left = left.saturating_sub(order.len());
            for moved in self.moves(&order, worst, &(start..end)) {
                left = left.saturating_sub(FEW);
                let Some(moved) = moved else {
                    if left == 0 {
                        break;
                    }
                    continue;
                };
                let (its_cost, its_worst) = self.cost(&moved, &mut left);
                if its_cost < cost {
                    better = Some((moved, its_cost, its_worst));
                }
                if better.is_some() || left == 0 {
                    break;
                }
            }
            let Some(better) = better else { break };
            (order, cost, worst) = better;
            found = true;
        }
        found.then_some(order)
    }

    /// The cost of an order, and the first of its worst moments.
    fn cost(&self, order: &[usize], left: &mut usize) -> (Cost, usize) {
        *left = left.saturating_sub(order.len());
        let mut unread: Vec<usize> = self.kept.iter().map(|kept| kept.readers.len()).collect();
        let mut handed = vec![false; self.kept.len()];
        let (mut live, mut cost, mut worst) = (0u64, (0u64, 0usize), 0);
        for (at, &node) in order.iter().enumerate() {
            self.reads[node].iter().for_each(|&value| unread[value] -= 1);
            for &made in &self.makes[node] {
                let heir = self.over[node].iter().find(|(to, on)| *to == made && unread[*on] == 0 && !handed[*on]);
                match heir {
                    Some(&(_, on)) => handed[on] = true,
                    None => live += self.kept[made].bytes,
                }
            }
            if live > cost.0 {
                (cost, worst) = ((live, 0), at);
            }
            cost.1 += usize::from(live == cost.0);
            let gone = self.reads[node].iter().filter(|&&value| unread[value] == 0 && !handed[value]);
            let never = self.makes[node].iter().filter(|&&made| self.kept[made].readers.is_empty());
            live -= gone.chain(never).map(|&value| self.kept[value].bytes).sum::<u64>();
        }
        (cost, worst)
    }

    /// Orders in which something that is alive at position `worst` may be gone by then, or not yet there; `None` for each
    /// that there is not.
    fn moves<'a>(
        &'a self,
        order: &'a [usize],
        worst: usize,
        part: &Range<usize>,
    ) -> impl Iterator<Item = Option<Vec<usize>>> + use<'a> {
        let mut at = vec![0; order.len()];
        order.iter().enumerate().for_each(|(position, &node)| at[node] = position);
        let alive = self.kept.iter().filter(|kept| {
            let last = kept.readers.iter().map(|r| at[*r]).max().unwrap_or(at[kept.maker]);
            at[kept.maker] <= worst && last >= worst
        });
        let mut alive: Vec<&Kept> = alive.collect();
        alive.sort_by_key(|kept| (std::cmp::Reverse(kept.bytes), kept.maker));
        let part = part.clone();
        alive.into_iter().flat_map(move |kept| {
            let earlier = self.earlier(order, &at, kept, worst, &part);
            let later = self.later(order, &at, kept, worst, &part);
            [earlier, later]
        })
    }

    /// All who read it after `worst`, and what they need, run in front of that.
    fn earlier(
        &self,
        order: &[usize],
        at: &[usize],
        kept: &Kept,
        worst: usize,
        part: &Range<usize>,
    ) -> Option<Vec<usize>> {
        let readers = kept.readers.iter().copied().filter(|r| at[*r] > worst);
        let moved = closure(readers, &self.before, |node| at[node] > worst || node == order[worst])?;
        let fits = !moved.is_empty() && moved.iter().all(|m| at[*m] < part.end && *m != order[worst]);
        fits.then(|| {
            let rest = order[worst..].iter().filter(|n| !moved.contains(n));
            let ahead = order[worst..].iter().filter(|n| moved.contains(n));
            order[..worst].iter().chain(ahead).chain(rest).copied().collect()
        })
    }

    /// What makes it, and all before `worst` that need that, run behind that.
    fn later(
        &self,
        order: &[usize],
        at: &[usize],
        kept: &Kept,
        worst: usize,
        part: &Range<usize>,
    ) -> Option<Vec<usize>> {
        let moved = closure([kept.maker].into_iter(), &self.after, |node| at[node] <= worst)?;
        let fits = moved.iter().all(|m| at[*m] >= part.start && at[*m] < worst);
        fits.then(|| {
            let rest = order[..=worst].iter().filter(|n| !moved.contains(n));
            let behind = order[..=worst].iter().filter(|n| moved.contains(n));
            rest.chain(behind).chain(&order[worst + 1..]).copied().collect()
        })
    }
}

/// Nodes reached from those of `from` by `next` within `inside`, which are few; `None` where they are not.
fn closure(
    from: impl Iterator<Item = usize>,
    next: &[Vec<usize>],
    inside: impl Fn(usize) -> bool,
) -> Option<std::collections::BTreeSet<usize>> {
    let mut todo: Vec<usize> = from.collect();
    let mut reached = std::collections::BTreeSet::new();
    while let Some(node) = todo.pop() {
        if reached.insert(node) {
            todo.extend(next[node].iter().copied().filter(|n| inside(*n)));
        }
        if reached.len() > FEW {
            return None;
        }
    }
    Some(reached)
}

/// Who has to run before each node: who makes what it reads, who reads or stores what it overwrites in a slot, who
/// stores what it finds there, and who reads the bytes that it has to work over.
fn dependencies(graph: &Graph, nodes: &[NodeId]) -> Vec<Vec<usize>> {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut maker: HashMap<ValueId, usize> = HashMap::new();
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    let mut slots: HashMap<u32, Vec<(Home, u64, bool, usize)>> = HashMap::new();
    for (at, &id) in nodes.iter().enumerate() {
        let site = &graph[id].site;
        let bases: Vec<ValueId> = site.inputs.iter().map(|i| graph.base(*i).value).collect();
        let needs = &mut before[at];
        needs.extend(site.inputs.iter().chain(&bases).filter_map(|value| maker.get(value)));
        for pair in graph[id].op.rule().in_place().into_iter().filter(|pair| pair.must) {
            needs.extend(readers.get(&bases[pair.input]).into_iter().flatten());
        }
        let read = bases.iter().map(|value| (*value, false));
        for (value, stores) in read.chain(site.outputs.iter().map(|value| (*value, true))) {
            let Some(home) = graph[value].home else { continue };
            let bytes = graph[value].ty.bytes();
            let touched = slots.entry(home.slot.0).or_default();
            let meets = |(other, len, stored, _): &&(Home, u64, bool, usize)| {
                let apart = other.offset + len <= home.offset || home.offset + bytes <= other.offset;
                (stores || *stored) && !apart
            };
            needs.extend(touched.iter().filter(meets).map(|(.., who)| *who).filter(|who| *who != at));
            touched.push((home, bytes, stores, at));
        }
        needs.sort_unstable();
        needs.dedup();
        site.outputs.iter().for_each(|output| {
            maker.insert(*output, at);
        });
        bases.into_iter().for_each(|base| readers.entry(base).or_default().push(at));
    }
    before
}
