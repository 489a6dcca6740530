//! Nodes that were written last and run as soon as they can.

use std::collections::HashMap;

use super::{Graph, Home};
use crate::ids::{NodeId, ValueId};

impl Graph {
    /// Has the nodes of the program being written, from position `first` on, run as early as what they read is
    /// there and what they overwrite in slots is no longer read by those before them. To be called before
    /// [`Graph::protect`].
    pub fn run_early(&mut self, first: usize) {
        let nodes = self.current_nodes().to_vec();
        let (before, late) = nodes.split_at(first);
        let mut made: HashMap<ValueId, usize> = HashMap::new();
        let mut read: Vec<(Home, u64, usize)> = Vec::new();
        for (at, &node) in before.iter().enumerate() {
            made.extend(self[node].site.outputs.iter().map(|&o| (o, at + 1)));
            // A view of what lies in a slot is that slot's content too.
            let homes = self[node].site.inputs.iter().filter_map(|&i| {
                let base = self.base(i).value;
                self[base].home.map(|home| (home, self[base].ty.bytes(), at + 1))
            });
            read.extend(homes);
        }
        // How many of those before have to have run, for each of the late ones.
        let mut order: Vec<(usize, NodeId)> = before.iter().enumerate().map(|(at, &node)| (at, node)).collect();
        for &node in late {
            let site = &self[node].site;
            let inputs = site.inputs.iter().map(|i| made.get(i).copied().unwrap_or(0));
            let overwritten = site.outputs.iter().filter_map(|o| Some((self[*o].home?, self[*o].ty.bytes())));
            let readers = overwritten.flat_map(|(home, bytes)| {
                let there = move |(other, len, _): &&(Home, u64, usize)| {
                    let apart = other.offset + len <= home.offset || home.offset + bytes <= other.offset;
                    other.slot == home.slot && !apart
                };
                read.iter().filter(there).map(|(.., at)| *at)
            });
            let needs = inputs.chain(readers).max().unwrap_or(0);
            made.extend(site.outputs.iter().map(|&o| (o, needs)));
            order.push((needs, node));
        }
        // Those before keep their order, and a late one comes in front of the one that need not have run.
        let mut all: Vec<(usize, bool, usize, NodeId)> = Vec::with_capacity(order.len());
        all.extend(order.into_iter().enumerate().map(|(at, (needs, node))| (needs, at < first, at, node)));
        all.sort_unstable();
        let nodes = all.into_iter().map(|(.., node)| node).collect();
        self.programs.last_mut().expect("a program was begun").nodes = nodes;
    }
}
