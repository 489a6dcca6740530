//! Packs values into one arena: those alive at the same step never share a byte.
//!
//! Quick ways come first: values are stacked along a skyline in several orders, until one needs no more than what is
//! alive at the fullest step, which nothing beats. Steps that train are done by then. What is left is searched, as long
//! as one likes: a [`Packer`] keeps the best it has found, and says when there is none better.

mod judge;
mod meetings;
mod packer;
mod part;
mod problem;
mod search;
mod skyline;

pub use judge::{Clash, judge};
pub use packer::Packer;
pub use part::Way;

use problem::Problem;

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
    /// Size of the arena, a multiple of an alignment that all share.
    pub arena_bytes: u64,
    /// What is alive at the fullest step: no arena is smaller.
    pub lower_bound_bytes: u64,
}

/// The greatest sum of bytes alive at once, each rounded up to `align`, and the first step with it.
pub fn lower_bound(intervals: &[Interval], align: u64) -> (u64, u32) {
    let parts = Problem::parts(&rounded(intervals, align), |_| 1);
    // Of equals, `max_by_key` takes the last.
    parts.iter().rev().map(|part| part.fullest).max_by_key(|fullest| fullest.0).unwrap_or((0, 0))
}

/// Effort for a plan whose values do not fit into what is alive at once: some milliseconds.
const EFFORT: u64 = 5000;

/// Places every interval at a multiple of `align`, a power of two, in as small an arena as is soon found.
///
/// Up to 16,384 intervals it is never larger than with the largest first, each at its lowest free offset.
pub fn place(intervals: &[Interval], align: u64) -> Packing {
    let mut packer = Packer::new(intervals, align);
    packer.improve(EFFORT);
    packer.packing()
}

/// The intervals with their sizes rounded up to multiples of `align`.
fn rounded(intervals: &[Interval], align: u64) -> Vec<Interval> {
    let round = |bytes: u64| bytes.checked_next_multiple_of(align).expect("a size can be rounded up");
    intervals.iter().map(|i| Interval { bytes: round(i.bytes), ..*i }).collect()
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

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
            let parts = Problem::parts(&intervals, |_| 1);
            let largest_first = |part: &Problem| part.largest_first(u64::MAX).map(|layout| layout.0);
            assert_eq!(parts.iter().map(largest_first).max(), Some(Some(greedy)));
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
