//! Packs values into one arena: those alive at the same step never share a byte.
//!
//! The arena fills from below. The lowest stretch of its skyline takes the foremost value, in some order, that lives
//! within it and no longer; where there is none, it rises to its lower neighbour. No order is best for all, so several
//! are tried until one needs no more than what is alive at the fullest step, which nothing beats.
//!
//! ```text
//! offset 2 | [ activation ====== ]| whoever lives only here |[ gradient ]
//!        0 | [ weights ================================================ ]
//!          +-------------------------------------------------------------> step
//! ```

use std::{cmp::Reverse, collections::BinaryHeap};

/// When a value is alive, half-open in steps, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First step that needs it; half-open with `end`.
    pub start: u32,
    /// One past the last step that needs it.
    pub end: u32,
    /// Size, which may be 0.
    pub bytes: u64,
}

/// Where a value lies in its arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Distance from the arena's start.
    pub offset: u64,
    /// Size, not rounded up.
    pub bytes: u64,
}

/// A packing: a placement for each interval, and the arena's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// One for each interval, in their order.
    pub placements: Vec<Placement>,
    /// Size of the arena, a multiple of the alignment.
    pub arena_bytes: u64,
    /// What is alive at the fullest step: no arena is smaller.
    pub lower_bound_bytes: u64,
}

/// The greatest sum of bytes alive at once, each rounded up to `align`, and the first step with it.
pub fn lower_bound(intervals: &[Interval], align: u64) -> (u64, u32) {
    Problem::new(intervals, align).fullest
}

/// Places every interval at a multiple of `align`, a power of two, in as small an arena as is found.
///
/// It is never larger than with the largest first, each at its lowest free offset.
pub fn place(intervals: &[Interval], align: u64) -> Packing {
    let problem = Problem::new(intervals, align);
    let (lower_bound_bytes, _) = problem.fullest;
    let (arena_bytes, offsets) = problem.solve(lower_bound_bytes);
    let mut placements: Vec<_> = intervals.iter().map(|i| Placement { offset: 0, bytes: i.bytes }).collect();
    for (item, offset) in problem.items.iter().zip(offsets) {
        placements[item.index].offset = offset;
    }
    Packing { placements, arena_bytes, lower_bound_bytes }
}

/// A value to place, alive from one moment to another; its size is rounded up.
struct Item {
    from: usize,
    to: usize,
    bytes: u64,
    /// The most that is alive at any moment of its life.
    crowd: u64,
    /// Its place among the intervals.
    index: usize,
}

/// What decides which item goes first: the greatest.
type Key = fn(&Item) -> (u64, usize);

/// The orders in which the skyline is offered items, those that most often reach the bound first.
const KEYS: [Key; 5] = [
    |item| (item.crowd, item.to),
    |item| (item.crowd, usize::MAX - item.from),
    |item| (item.crowd, item.to - item.from),
    |item| (u64::MAX - item.from as u64, item.to),
    |item| (item.to as u64, item.to - item.from),
];

/// The arena's size and the offset of each item.
type Layout = (u64, Vec<u64>);

/// Time counted in moments, the steps where a value is born: two values that are ever alive at once are so when the
/// younger is born.
struct Problem {
    /// By birth, without those of no size, which are in nobody's way.
    items: Vec<Item>,
    moments: usize,
    /// The most that is alive at once, and the first step where it is.
    fullest: (u64, u32),
}

impl Problem {
    fn new(intervals: &[Interval], align: u64) -> Problem {
        let sized = || intervals.iter().enumerate().filter(|(_, i)| i.bytes > 0);
        let mut moments: Vec<u32> = sized().map(|(_, i)| i.start).collect();
        moments.sort_unstable();
        moments.dedup();
        let mut items = Vec::with_capacity(intervals.len());
        let (mut loads, mut deaths, mut total) = (vec![0; moments.len()], vec![0; moments.len() + 1], 0);
        for (index, i) in sized() {
            assert!(i.start < i.end, "a value is alive for at least a step");
            let [from, to] = [i.start, i.end].map(|step| moments.partition_point(|&m| m < step));
            let bytes = i.bytes.checked_next_multiple_of(align).expect("a size can be rounded up");
            total = bytes.checked_add(total).expect("the sizes of all values can be added up");
            loads[from] += bytes;
            deaths[to] += bytes;
            items.push(Item { from, to, bytes, crowd: 0, index });
        }
        items.sort_by_key(|item| item.from);
        for m in 1..loads.len() {
            loads[m] += loads[m - 1] - deaths[m];
        }
        // At `[k][m]`, the most that is alive at any of the 2^k moments from m on.
        let mut most = vec![loads.clone()];
        for k in 0..loads.len().max(1).ilog2() as usize {
            most.push((1 << k..most[k].len()).map(|m| most[k][m].max(most[k][m - (1 << k)])).collect());
        }
        for item in &mut items {
            let k = (item.to - item.from).ilog2() as usize;
            item.crowd = most[k][item.from].max(most[k][item.to - (1 << k)]);
        }
        let fullest = loads.into_iter().zip(moments.iter().map(|&step| Reverse(step))).max();
        let fullest = fullest.map_or((0, 0), |(load, Reverse(step))| (load, step));
        Problem { items, moments: moments.len(), fullest }
    }

    fn solve(&self, bound: u64) -> Layout {
        let mut best = (u64::MAX, Vec::new());
        for key in KEYS {
            if best.0 > bound {
                best = best.min(self.skyline(key));
            }
        }
        if best.0 > bound { self.largest_first(best.0).unwrap_or(best) } else { best }
    }

    /// The items, foremost first; ties go to the interval that was given first.
    fn order<K: Ord>(&self, key: impl Fn(&Item) -> K) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|&k| (Reverse(key(&self.items[k])), self.items[k].index));
        order
    }

    fn skyline(&self, key: Key) -> Layout {
        let order = self.order(key);
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
            let (from, to, offset, beside) = skyline.lowest();
            let first = self.items.partition_point(|item| item.from < from);
            let Some(rank) = waiting.foremost(first, to) else {
                skyline.settle(from, to, beside);
                continue;
            };
            let (k, item) = (order[rank], &self.items[order[rank]]);
            waiting.set(k, Waiting::NOBODY);
            skyline.settle(from, item.from, offset);
            skyline.settle(item.from, item.to, offset + item.bytes);
            skyline.settle(item.to, to, offset);
            offsets[k] = offset;
            height = height.max(offset + item.bytes);
        }
        (height, offsets)
    }

    /// Puts each at its lowest free offset; `None` if the arena gets as large as `limit`.
    fn largest_first(&self, limit: u64) -> Option<Layout> {
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
                offset = offset.max(if meets { end } else { 0 });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: u32, end: u32, bytes: u32) -> Interval {
        Interval { start, end, bytes: bytes.into() }
    }

    fn random(mut seed: u64) -> Vec<Interval> {
        let len = 5 + seed % 40;
        let mut below = |limit| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u32::try_from((seed >> 33) % limit).expect("the limit is small")
        };
        let next = |_| (below(30), 1 + below(20), below(99).saturating_sub(9));
        (0..len).map(next).map(|(start, steps, bytes)| interval(start, start + steps, bytes)).collect()
    }

    /// A step that trains many layers, or one over time, whose weights and gradient are there once.
    fn training(layers: u32, once: bool, width: fn(u32) -> u32) -> Vec<Interval> {
        let (mut lives, end) = (Vec::new(), 4 * layers + 1);
        for now in (0..2 * layers).step_by(2) {
            let (back, width) = (end - 3 - now, width(now));
            let weights = if once && now > 0 { 0 } else { width * width };
            lives.extend([interval(0, end, weights), interval(now, now + 2, 4 * width)]);
            lives.extend([interval(now + 1, back + 1, 4 * width), interval(now + 1, back + 2, width)]);
            lives.extend([interval(back, back + 2, 4 * width), interval(back, back + 3, width)]);
            lives.push(interval(if once { end / 2 } else { back }, end, weights));
        }
        lives
    }

    /// Looks at every pair, and knows nothing of how they were placed.
    fn judged(intervals: &[Interval], align: u64) -> Packing {
        let packing = place(intervals, align);
        assert_eq!(packing, place(intervals, align), "the same again");
        assert!(packing.lower_bound_bytes <= packing.arena_bytes);
        let placed: Vec<_> = intervals.iter().zip(&packing.placements).collect();
        for (k, (a, p)) in placed.iter().enumerate() {
            assert_eq!((p.offset % align, p.bytes), (0, a.bytes));
            assert!(p.offset + p.bytes <= packing.arena_bytes);
            for (b, q) in &placed[..k] {
                let apart = p.offset + p.bytes <= q.offset || q.offset + q.bytes <= p.offset;
                assert!(apart || a.end <= b.start || b.end <= a.start, "{a:?} {p:?} {b:?} {q:?}");
            }
        }
        packing
    }

    /// The largest first, each at the lowest offset that is 0 or an end and hits nothing.
    fn greedy_by_size(mut intervals: Vec<Interval>) -> u64 {
        intervals.sort_by_key(|i| Reverse(i.bytes));
        let mut placed: Vec<(Interval, u64)> = Vec::new();
        for a in intervals {
            let met = placed.iter().filter(|(b, _)| a.start < b.end && b.start < a.end);
            let met: Vec<_> = met.map(|&(b, offset)| (offset, offset + b.bytes)).collect();
            let free = |at: &u64| met.iter().all(|&(start, end)| at + a.bytes <= start || end <= *at);
            let offset = met.iter().map(|m| m.1).chain([0]).filter(free).min();
            placed.push((a, offset.expect("above all others it is free")));
        }
        placed.iter().map(|(a, offset)| offset + a.bytes).max().unwrap_or(0)
    }

    #[test]
    fn values_alive_at_once_share_no_byte() {
        for seed in 0..200 {
            judged(&random(seed), 1 << (seed % 9));
        }
    }

    #[test]
    fn no_arena_is_larger_than_with_the_largest_first() {
        for seed in 0..2000 {
            let (intervals, greedy) = (random(seed), greedy_by_size(random(seed)));
            assert!(place(&intervals, 1).arena_bytes <= greedy, "seed {seed}");
            assert_eq!(Problem::new(&intervals, 1).largest_first(u64::MAX).map(|layout| layout.0), Some(greedy));
        }
    }

    #[test]
    fn training_steps_need_no_more_than_is_alive_at_once() {
        for (layers, align) in [(1, 4), (3, 256), (40, 256), (150, 32), (2200, 256)] {
            for intervals in [training(layers, true, |_| 51), training(layers, false, |now| 1 + now * 7919 % 293)] {
                let packing = if layers < 1000 { judged(&intervals, align) } else { place(&intervals, align) };
                assert_eq!(packing.arena_bytes, packing.lower_bound_bytes, "{layers} layers");
            }
        }
    }

    #[test]
    fn the_bound_is_what_the_first_of_the_fullest_steps_needs_rounded_up() {
        assert_eq!((lower_bound(&[], 4), judged(&[], 4).arena_bytes), ((0, 0), 0));
        assert_eq!((lower_bound(&[interval(2, 3, 0)], 4), judged(&[interval(2, 3, 0)], 4).arena_bytes), ((0, 0), 0));
        assert_eq!((lower_bound(&[interval(2, 3, 1)], 4), judged(&[interval(2, 3, 1)], 4).arena_bytes), ((4, 2), 4));
        let [a, b, c] = [interval(0, 9, 5), interval(3, 5, 1), interval(6, 7, 3)];
        assert_eq!((lower_bound(&[c, a, b], 4), judged(&[c, a, b], 4).arena_bytes), ((12, 3), 12));
    }
}
