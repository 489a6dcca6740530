//! Packs better the longer it may, in rounds whose sequence never changes.

use super::part::{Part, Way};
use super::problem::Problem;
use super::{Interval, Packing, Placement, rounded};

/// Innermost comparisons in a unit of effort, which takes about a microsecond.
const TOUCHES: u64 = 1000;

/// A packing that gets better with the effort spent on it, and never worse.
///
/// The same intervals and the same effort give the same packing, on every machine: effort is counted, not timed. When
/// nothing better is possible, no more is spent.
///
/// ```
/// use plimsoll::plan::place::{Interval, Packer};
///
/// let lives = [(0, 4, 3), (2, 6, 5), (5, 9, 3), (4, 7, 1), (0, 2, 4)];
/// let intervals = lives.map(|(start, end, bytes)| Interval { start, end, bytes });
/// let mut packer = Packer::new(&intervals, 1);
/// packer.improve(1000);
/// assert_eq!(packer.packing().arena_bytes, packer.proved_bytes());
/// ```
pub struct Packer {
    parts: Vec<Part>,
    sizes: Vec<u64>,
    /// An arena of this size is as good as a smaller one.
    enough: u64,
    spent: u64,
}

impl Packer {
    /// Packs `intervals` at multiples of `align`, in the quick ways.
    ///
    /// # Panics
    /// If an interval is empty, `align` is 0, or all sizes together exceed a `u64`.
    pub fn new(intervals: &[Interval], align: u64) -> Packer {
        // With sizes that are multiples of it, all offsets are too.
        Packer::of(Problem::parts(&rounded(intervals, align), |_| 1), intervals)
    }

    /// Packs `intervals`, each at a multiple of an alignment of its own, in the quick ways.
    ///
    /// # Panics
    /// If an interval is empty, an alignment is 0, or all sizes and alignments together exceed a `u64`.
    pub fn aligned(intervals: &[Interval], aligns: &[u64]) -> Packer {
        assert_eq!(intervals.len(), aligns.len(), "each interval has an alignment");
        Packer::of(Problem::parts(intervals, |k| aligns[k]), intervals)
    }

    fn of(problems: Vec<Problem>, intervals: &[Interval]) -> Packer {
        let bound = problems.iter().map(|p| p.fullest.0).max().unwrap_or(0);
        let parts = problems.into_iter().map(|p| Part::new(p, bound)).collect();
        Packer { parts, sizes: intervals.iter().map(|i| i.bytes).collect(), enough: 0, spent: 0 }
    }

    /// The same, but content with an arena of `bytes`, and looking for one of that size first of all.
    pub fn content_with(self, bytes: u64) -> Packer {
        Packer { enough: bytes, ..self }
    }

    /// Goes on until `effort` has been spent since the beginning, or nothing better is possible. Says whether there is
    /// more to do.
    pub fn improve(&mut self, effort: u64) -> bool {
        while let Some(part) = self.open() {
            if self.next_effort() > effort {
                return true;
            }
            let bound = self.proved_bytes().max(self.enough);
            self.spent += self.parts[part].round(bound).div_ceil(TOUCHES);
        }
        false
    }

    /// The effort spent up to now.
    pub fn effort(&self) -> u64 {
        self.spent
    }

    /// The effort that the next round needs, at most. Rounds get longer as they go on in vain.
    pub fn next_effort(&self) -> u64 {
        self.open().map_or(self.spent, |part| self.spent.saturating_add(self.parts[part].cost().div_ceil(TOUCHES)))
    }

    /// No arena is smaller than this: what is alive at once, or more where searches have shown it.
    pub fn proved_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bound).max().unwrap_or(0)
    }

    /// How the largest part's places were found.
    pub fn found(&self) -> Way {
        self.tallest().map_or(Way::Skyline, |part| self.parts[part].found)
    }

    /// The best packing up to now.
    pub fn packing(&self) -> Packing {
        let mut placements: Vec<_> = self.sizes.iter().map(|&bytes| Placement { offset: 0, bytes }).collect();
        for part in &self.parts {
            for (item, offset) in part.problem.items.iter().zip(&part.best.1) {
                placements[item.index].offset = *offset;
            }
        }
        let arena_bytes = self.tallest().map_or(0, |part| self.parts[part].best.0);
        let lower_bound_bytes = self.parts.iter().map(|part| part.problem.fullest.0).max().unwrap_or(0);
        Packing { placements, arena_bytes, lower_bound_bytes }
    }

    /// The first of the parts that need the largest arena.
    fn tallest(&self) -> Option<usize> {
        (0..self.parts.len()).rev().max_by_key(|&part| self.parts[part].best.0)
    }

    /// The part that makes the arena larger than it need be, for all that is known.
    fn open(&self) -> Option<usize> {
        self.tallest().filter(|&part| self.parts[part].best.0 > self.proved_bytes().max(self.enough))
    }
}
