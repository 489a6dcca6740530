//! Activations recomputed on the way back, block by block, rather than kept for it: activation checkpointing
//! (Chen et al. 2016, *Training deep nets with sublinear memory cost*).
//!
//! ```text
//! forward   [ block 0 ]--x1--[ block 1 ]--x2--[ block 2 ]      of blocks 0 and 1 only x1 and x2 are kept
//! backward  [ of 2 ][ block 1 again, from x1 ][ of 1 ][ block 0 again ][ of 0 ]
//! ```
//!
//! Each block but the last goes forward twice, so that the way forward is gone twice at most.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::Graph;
use crate::ids::{NodeId, SlotId, ValueId};

/// Where a value that a way forward makes is read. Positions are those of the way forward.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The node that makes it.
    made: usize,
    /// The last node of the way forward that reads it; `made` where none does.
    last: usize,
    /// Whether the way back reads it.
    back: bool,
    /// What keeping it takes; nothing where it is cheap to make again anyway.
    bytes: u64,
}

impl Graph {
    /// Cuts a way forward into at most `blocks` blocks, such that the least memory is needed, and has each but the
    /// last made again right in front of where its way back begins, from what passes from block to block, which
    /// alone is kept. Returns in how many blocks the way forward then is, of which all but one are made again: with one,
    /// nothing is.
    ///
    /// The way forward is the nodes at positions `forward` of the program being written, and all behind them its way
    /// back. What will be [never whole](Graph::never_whole) takes no memory. To be called before [`Graph::protect`]. A node that stores into a slot, or reads one that the program
    /// stores into, is not made again, and what it makes is kept.
    pub fn recompute(&mut self, forward: Range<usize>, blocks: u32, never_whole: &HashSet<ValueId>) -> usize {
        let nodes = self.current_nodes();
        let (ahead, mut back) = (nodes[forward.clone()].to_vec(), nodes[forward.end..].to_vec());
        let spans = self.spans(&ahead, &back, never_whole);
        let cuts = Blocks::new(&spans, ahead.len()).cut(usize::try_from(blocks).unwrap_or(usize::MAX));
        // From the last to the first, as what is made again of one reads what is kept of those before it.
        let mut again = 0;
        for (block, &end) in cuts.iter().enumerate().rev() {
            let start = if block == 0 { 0 } else { cuts[block - 1] };
            again += usize::from(self.recompute_block(&ahead, start..end, &spans, &mut back));
        }
        let program = self.programs.last_mut().expect("a program was begun");
        program.nodes.truncate(forward.end);
        program.nodes.extend(back);
        again + 1
    }

    /// Where what `ahead` makes is read, by the value whose bytes are read.
    fn spans(&self, ahead: &[NodeId], back: &[NodeId], never_whole: &HashSet<ValueId>) -> HashMap<ValueId, Span> {
        let mut spans: HashMap<ValueId, Span> = HashMap::new();
        for (at, &id) in ahead.iter().enumerate() {
            for &input in &self[id].site.inputs {
                if let Some(span) = spans.get_mut(&self.base(input).value) {
                    span.last = at;
                }
            }
            let cheap = self.is_cheap_again(id);
            for &output in self[id].site.outputs.iter().filter(|o| self[**o].home.is_none()) {
                let nothing = cheap || never_whole.contains(&output) || self.viewed(output).is_some();
                let bytes = if nothing { 0 } else { self[output].ty.bytes() };
                spans.insert(output, Span { made: at, last: at, back: false, bytes });
            }
        }
        for &input in back.iter().flat_map(|&id| &self[id].site.inputs) {
            if let Some(span) = spans.get_mut(&self.base(input).value) {
                span.back = true;
            }
        }
        spans
    }

    /// Whether node `id` makes the same once more, later in the program being written.
    fn can_be_made_again(&self, id: NodeId, stored: &HashSet<SlotId>) -> bool {
        let site = &self[id].site;
        let lasts = |v: &ValueId| self[self.base(*v).value].home.is_none_or(|home| !stored.contains(&home.slot));
        site.outputs.iter().all(|o| self[*o].home.is_none()) && site.inputs.iter().all(lasts)
    }

    /// Has the nodes of `ahead` at positions `block` whose results are not kept made again within `back`, in front of
    /// the first that reads any of these. Returns whether any of them is one that would not be made again
    /// anyway.
    fn recompute_block(
        &mut self,
        ahead: &[NodeId],
        block: Range<usize>,
        spans: &HashMap<ValueId, Span>,
        back: &mut Vec<NodeId>,
    ) -> bool {
        let stored: HashSet<SlotId> = self.stored.keys().map(|home| home.slot).collect();
        // What is not kept: made in this block, read in no later one, and such that it can be made again.
        let dropped: HashSet<ValueId> = ahead[block.clone()]
            .iter()
            .filter(|id| self.can_be_made_again(**id, &stored))
            .flat_map(|id| self[*id].site.outputs.iter().copied())
            .filter(|o| spans.get(&self.base(*o).value).is_some_and(|s| block.contains(&s.made) && s.last < block.end))
            .collect();
        let reads_dropped = |id: &NodeId| self[*id].site.inputs.iter().any(|i| dropped.contains(i));
        let Some(first) = back.iter().position(reads_dropped) else { return false };
        let mut needed: HashSet<ValueId> = back.iter().flat_map(|id| &self[*id].site.inputs).copied().collect();
        let mut again: Vec<NodeId> = Vec::new();
        for &id in ahead[block].iter().rev() {
            let site = &self[id].site;
            if site.outputs.iter().any(|o| dropped.contains(o) && needed.contains(o)) {
                needed.extend(&site.inputs);
                again.push(id);
            }
        }
        // What is cheap to make again is made so anyway.
        let any = again.iter().any(|&id| !self.is_cheap_again(id));
        let mut second: HashMap<ValueId, ValueId> = HashMap::new();
        let copies: Vec<NodeId> = again.iter().rev().map(|&id| self.copy_reading(id, &mut second)).collect();
        for &id in &back[first..] {
            self.read_again(id, &second);
        }
        back.splice(first..first, copies);
        any
    }

    /// Node `id` once more, reading of what is made again the `second` of each, to which it adds its own.
    fn copy_reading(&mut self, id: NodeId, second: &mut HashMap<ValueId, ValueId>) -> NodeId {
        let copy = self.make_again(id);
        self.read_again(copy, second);
        second.extend(self[id].site.outputs.iter().copied().zip(self[copy].site.outputs.iter().copied()));
        self.read.extend(&self.nodes[copy.index()].site.inputs);
        copy
    }

    fn read_again(&mut self, id: NodeId, second: &HashMap<ValueId, ValueId>) {
        for input in &mut self.nodes[id.index()].site.inputs {
            if let Some(again) = second.get(input) {
                *input = *again;
            }
        }
    }
}

/// The places at which a way forward may be cut, and what that takes.
struct Blocks {
    /// Nodes of it.
    nodes: usize,
    /// For each position, bytes that the way back reads of what is made before it.
    read: Vec<u64>,
    /// For each node, what it makes: the last node of the way forward that reads it, and its bytes.
    made: Vec<Vec<(usize, u64)>>,
}

impl Blocks {
    fn new(spans: &HashMap<ValueId, Span>, nodes: usize) -> Self {
        let mut made = vec![Vec::new(); nodes];
        let mut read = vec![0u64; nodes + 1];
        for span in spans.values() {
            made[span.made].push((span.last, span.bytes));
            read[span.made + 1] = read[span.made + 1].saturating_add(if span.back { span.bytes } else { 0 });
        }
        for at in 1..read.len() {
            read[at] = read[at].saturating_add(read[at - 1]);
        }
        Self { nodes, read, made }
    }

    /// Where at most so many `blocks` end, but for the last, such that the most that is there at once of what the way
    /// back reads is least: what passes from block to block up to one of them, and all of that one.
    fn cut(&self, blocks: usize) -> Vec<usize> {
        let (mut low, mut high) = (0, self.read[self.nodes]);
        let mut best = Vec::new();
        while low < high {
            let most = low + (high - low) / 2;
            match self.cut_within(blocks, most) {
                Some(cuts) => (best, high) = (cuts, most),
                None => low = most + 1,
            }
        }
        best
    }

    /// The same such that no more than `most` bytes are there at once, if that is found: each block goes as far as it
    /// can, where little is passed on.
    fn cut_within(&self, blocks: usize, most: u64) -> Option<Vec<usize>> {
        let (mut cuts, mut start, mut kept) = (Vec::new(), 0, 0u64);
        loop {
            let room = most.checked_sub(kept)?;
            if self.read[self.nodes] - self.read[start] <= room {
                return Some(cuts);
            }
            if cuts.len() + 1 >= blocks {
                return None;
            }
            let (end, passed) = self.end(start, room)?;
            cuts.push(end);
            (start, kept) = (end, kept.saturating_add(passed));
        }
    }

    /// Where the block that begins at `start` best ends, with at most `room` bytes of it, and what it passes on.
    fn end(&self, start: usize, room: u64) -> Option<(usize, u64)> {
        let mut best: Option<(u64, usize, u64)> = None;
        // What it passes on, by the last node that reads it.
        let mut open: HashMap<usize, u64> = HashMap::new();
        let mut passed = 0u64;
        for end in start + 1..self.nodes {
            let read = self.read[end] - self.read[start];
            if read > room {
                break;
            }
            passed = passed.saturating_sub(open.remove(&(end - 1)).unwrap_or(0));
            for &(last, bytes) in self.made[end - 1].iter().filter(|(last, _)| *last >= end) {
                passed = passed.saturating_add(bytes);
                let of_last = open.entry(last).or_default();
                *of_last = of_last.saturating_add(bytes);
            }
            let gain = read.saturating_sub(passed);
            if gain > best.map_or(0, |(gain, ..)| gain) {
                best = Some((gain, end, passed));
            }
        }
        best.map(|(_, end, passed)| (end, passed))
    }
}
