//! Doubts a packing, and knows nothing of how it was found.
//!
//! Walks over the steps and keeps, by offset, what is alive. Whatever is born must lie between its neighbours there.

use std::collections::BTreeMap;

use super::{Interval, Placement};

/// What is wrong with a packing. Always a fault of who packed, never of who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// Two that are alive at once share bytes.
    #[error("buffers {first} and {second} are both alive at step {step} and both have byte {byte}")]
    Shared {
        /// One of them, by its place among the intervals.
        first: usize,
        /// The other.
        second: usize,
        /// When.
        step: u32,
        /// Where.
        byte: u64,
    },
    /// An offset is not aligned.
    #[error("buffer {buffer} is at offset {offset}, no multiple of {align}")]
    Misaligned {
        /// Which, by its place among the intervals.
        buffer: usize,
        /// Where it is.
        offset: u64,
        /// What that should be a multiple of.
        align: u64,
    },
    /// One ends outside the arena.
    #[error("buffer {buffer} ends at byte {end} of an arena of {arena_bytes}")]
    Outside {
        /// Which, by its place among the intervals.
        buffer: usize,
        /// Where it ends.
        end: u64,
        /// The arena's size.
        arena_bytes: u64,
    },
    /// One has another size than was asked for.
    #[error("buffer {buffer} has {placed} bytes and needs {needed}")]
    Resized {
        /// Which, by its place among the intervals.
        buffer: usize,
        /// The bytes it has.
        placed: u64,
        /// The bytes it needs.
        needed: u64,
    },
}

/// Looks whether `placements` give each of `intervals` its bytes, at multiples of `aligns`, within `arena_bytes`, and
/// no byte to two that are alive at once. In time that grows as `n log n`.
///
/// # Errors
/// The first [`Clash`] that is seen.
///
/// # Panics
/// If the three lists are not of one length.
pub fn judge(intervals: &[Interval], aligns: &[u64], placements: &[Placement], arena_bytes: u64) -> Result<(), Clash> {
    assert!(intervals.len() == placements.len() && aligns.len() == placements.len(), "each interval has a place");
    for (buffer, (at, needed)) in placements.iter().zip(intervals.iter().map(|i| i.bytes)).enumerate() {
        let (offset, align) = (at.offset, aligns[buffer]);
        if at.bytes != needed {
            return Err(Clash::Resized { buffer, placed: at.bytes, needed });
        }
        if !offset.is_multiple_of(align) {
            return Err(Clash::Misaligned { buffer, offset, align });
        }
        let end = offset.saturating_add(at.bytes);
        if end > arena_bytes || offset.checked_add(at.bytes).is_none() {
            return Err(Clash::Outside { buffer, end, arena_bytes });
        }
    }
    // At one step, deaths come before births.
    let sized = (0..intervals.len()).filter(|&b| intervals[b].bytes > 0);
    let mut events: Vec<(u32, bool, usize)> =
        sized.flat_map(|b| [(intervals[b].start, true, b), (intervals[b].end, false, b)]).collect();
    events.sort_unstable();
    let mut alive: BTreeMap<u64, usize> = BTreeMap::new();
    for (step, born, second) in events {
        let at = placements[second];
        if !born {
            alive.remove(&at.offset);
            continue;
        }
        let below = alive.range(..at.offset + at.bytes).next_back();
        if let Some((&offset, &first)) = below.filter(|(offset, b)| **offset + placements[**b].bytes > at.offset) {
            return Err(Clash::Shared { first, second, step, byte: offset.max(at.offset) });
        }
        alive.insert(at.offset, second);
    }
    Ok(())
}
