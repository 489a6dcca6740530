//! Two quick ways to pack: along a skyline, in some order, and the largest first.
//!
//! The arena fills from below. The lowest stretch of its skyline takes the foremost value, in some order, that lives
//! within it and no longer; where there is none, it rises to its lower neighbour.
//!
//! ```text
//! offset 2 | [ activation ====== ]| whoever lives only here |[ gradient ]
//!        0 | [ weights ================================================ ]
//!          +-------------------------------------------------------------> step
//! ```

use std::{cmp::Reverse, collections::BinaryHeap};

use super::problem::{Item, Problem};

/// What decides which item goes first: the greatest.
pub(super) type Key = fn(&Item) -> (u64, usize);

/// The orders in which the skyline is offered items, those that most often reach the bound first.
pub(super) const KEYS: [Key; 5] = [
    |item| (item.crowd, item.to),
    |item| (item.crowd, usize::MAX - item.from),
    |item| (item.crowd, item.to - item.from),
    |item| (u64::MAX - item.from as u64, item.to),
    |item| (item.to as u64, item.to - item.from),
];

/// The arena's size and the offset of each item.
pub(super) type Layout = (u64, Vec<u64>);

impl Problem {
    /// Fills the skyline with items in `order`, foremost first.
    pub(super) fn skyline(&self, order: &[usize]) -> Layout {
        let mut waiting = Waiting(vec![Waiting::NOBODY; 2 * order.len().next_power_of_two()]);
        for (rank, &k) in order.iter().enumerate() {
            waiting.set(k, (rank, self.items[k].to));
        }
        // Left of the first stretch is the one that starts past the last moment, and never does.
        let (starts, ends) = (vec![(Skyline::NONE, 0); self.moments + 1], vec![self.moments; self.moments + 1]);
        let mut skyline = Skyline { starts, ends, queue: BinaryHeap::new() };
        skyline.settle(0, self.moments, 0);
        let (mut height, mut offsets) = (0, vec![0; order.len()]);
        while waiting.0[1] != Waiting::NOBODY {
            let (from, to, floor, beside) = skyline.lowest();
            let first = self.items.partition_point(|item| item.from < from);
            let Some(rank) = waiting.foremost(first, to) else {
                skyline.settle(from, to, beside);
                continue;
            };
            let (k, item) = (order[rank], &self.items[order[rank]]);
            let offset = item.at_or_above(floor);
            waiting.set(k, Waiting::NOBODY);
            skyline.settle(from, item.from, floor);
            skyline.settle(item.from, item.to, offset + item.bytes);
            skyline.settle(item.to, to, floor);
            offsets[k] = offset;
            height = height.max(offset + item.bytes);
        }
        (height, offsets)
    }

    /// Puts each at its lowest free offset; `None` if the arena gets as large as `limit`.
    pub(super) fn largest_first(&self, limit: u64) -> Option<Layout> {
        let (mut height, mut offsets) = (0, vec![0; self.items.len()]);
        // By offset. To go through all of them is slow, but no input makes it slower than that.
        let mut placed: Vec<(u64, u64, usize, usize)> = Vec::with_capacity(self.items.len());
        for k in self.order(|item| item.bytes) {
            let (item, mut offset) = (&self.items[k], 0);
            for &(start, end, from, to) in &placed {
                if offset + item.bytes <= start {
                    break;
                }
                let meets = (from < item.to) & (item.from < to);
                offset = item.at_or_above(offset.max(if meets { end } else { 0 }));
            }
            let end = offset + item.bytes;
            if end >= limit {
                return None;
            }
            placed.insert(placed.partition_point(|p| p.0 < offset), (offset, end, item.from, item.to));
            offsets[k] = offset;
            height = height.max(end);
        }
        Some((height, offsets))
    }
}

/// A tree over the items, by birth: the foremost rank and the earliest death of those not placed.
struct Waiting(Vec<(usize, usize)>);

impl Waiting {
    const NOBODY: (usize, usize) = (usize::MAX, usize::MAX);

    /// Nodes read before a search takes the best so far, lest some input take quadratic time. A first find costs few:
    /// below every node with a death early enough, there is one.
    const READS: usize = 1 << 10;

    fn set(&mut self, k: usize, leaf: (usize, usize)) {
        let mut node = k + self.0.len() / 2;
        self.0[node] = leaf;
        while node > 1 {
            node /= 2;
            let (a, b) = (self.0[2 * node], self.0[2 * node + 1]);
            self.0[node] = (a.0.min(b.0), a.1.min(b.1));
        }
    }

    /// The foremost rank among the items from `first` on that are dead by `to`.
    fn foremost(&self, first: usize, to: usize) -> Option<usize> {
        let (mut best, mut reads, mut node) = (usize::MAX, 0, first + self.0.len() / 2);
        self.search(node, to, &mut best, &mut reads);
        while node > 1 {
            if node % 2 == 0 {
                self.search(node + 1, to, &mut best, &mut reads);
            }
            node /= 2;
        }
        (best < usize::MAX).then_some(best)
    }

    fn search(&self, node: usize, to: usize, best: &mut usize, reads: &mut usize) {
        let (rank, death) = self.0[node];
        *reads += 1;
        if death > to || rank >= *best || *reads > Waiting::READS && *best < usize::MAX {
            return;
        }
        if 2 * node >= self.0.len() {
            *best = rank;
            return;
        }
        // The child with the foremost item goes first, as that may spare us the other.
        let near = 2 * node + usize::from(self.0[2 * node].0 > self.0[2 * node + 1].0);
        self.search(near, to, best, reads);
        self.search(near ^ 1, to, best, reads);
    }
}

/// How high the arena is filled: stretches of moments, no two neighbours of one height.
struct Skyline {
    /// Height and end of the stretch that starts at each moment; `NONE` if none does.
    starts: Vec<(u64, usize)>,
    /// Start of the stretch that ends at each moment.
    ends: Vec<usize>,
    /// Every stretch, lowest first, among some that are no more.
    queue: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Skyline {
    const NONE: u64 = u64::MAX;

    /// Takes out the first of the lowest stretches: start, end, height, and the lower neighbour's.
    fn lowest(&mut self) -> (usize, usize, u64, u64) {
        loop {
            let Reverse((height, start)) = self.queue.pop().expect("some stretch is lowest");
            let (current, end) = self.starts[start];
            if current == height {
                return (start, end, height, self.starts[self.ends[start]].0.min(self.starts[end].0));
            }
        }
    }

    /// Makes a stretch, one with the neighbours that have its height.
    fn settle(&mut self, mut start: usize, mut end: usize, height: u64) {
        if start == end {
            return;
        }
        if self.starts[self.ends[start]].0 == height {
            self.starts[start].0 = Skyline::NONE;
            start = self.ends[start];
        }
        if self.starts[end].0 == height {
            self.starts[end].0 = Skyline::NONE;
            end = self.starts[end].1;
        }
        self.starts[start] = (height, end);
        self.ends[end] = start;
        self.queue.push(Reverse((height, start)));
    }
}
