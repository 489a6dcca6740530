//! The texture that kernels read from: how large a plan's is, and that every copy has its place.

use std::ops::Range;

use super::{Arena, Plan};
use crate::graph::Role;
use crate::ids::{ArenaId, ValueId};
use crate::schedule::{Access, Schedule, Step};
use crate::shader::texture::{BLOCK_ROWS, ROW_BYTES, TEXEL_BYTES, rows};

/// A plan's texture, whose rows are `4096` texels of 16 bytes; see [`shader::texture`](crate::shader::texture).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Texture {
    /// The arena that it is, instead of a buffer; `None` where no dispatch reads from one.
    pub arena: Option<ArenaId>,
    /// Its rows.
    pub rows: u64,
}

impl Texture {
    /// One that has room for what any dispatch of `schedule` reads from it.
    pub(super) fn new(schedule: &Schedule) -> Self {
        let ends = schedule.steps.iter().flat_map(Step::textured).map(|(access, row)| row + rows(access.bound_bytes()));
        Self { arena: None, rows: ends.max().unwrap_or(0).next_multiple_of(BLOCK_ROWS) }
    }

    /// Takes an arena of its own, if there is one.
    pub(super) fn lie_in(&mut self, arenas: &mut Vec<Arena>) {
        if self.rows > 0 {
            self.arena = Some(ArenaId::at(arenas.len()));
            arenas.push(Arena { role: Role::Texture, bytes: self.bytes() });
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.rows.saturating_mul(ROW_BYTES)
    }
}

impl Step {
    /// What it reads from the texture, and the row where each begins.
    pub(crate) fn textured(&self) -> impl Iterator<Item = (&Access, u64)> {
        self.accesses.iter().filter_map(|access| Some((access, u64::from(access.texture_row?))))
    }

    /// What of that is copied there before it.
    pub(crate) fn copied(&self) -> impl Iterator<Item = (&Access, u64)> {
        self.textured().filter(|(access, _)| !access.texture_kept)
    }
}

impl Access {
    /// Whole texels of what is copied to the texture, from where it is bound.
    pub(crate) fn copied_bytes(&self) -> u64 {
        self.bound_bytes().next_multiple_of(TEXEL_BYTES)
    }
}

/// What lies in some rows of the texture: these bytes of a value.
struct Lying {
    rows: Range<u64>,
    value: ValueId,
    bytes: Range<u64>,
}

impl Lying {
    /// What `access` reads there, from `row` on, if it is one to read.
    fn of(access: &Access, row: u64) -> Option<Self> {
        let value = access.reads.filter(|_| access.writes.is_none())?;
        let start = access.bytes.start.checked_sub(access.slack)?;
        let bytes = start..start + access.copied_bytes();
        Some(Self { rows: row..row + rows(access.bound_bytes()), value, bytes })
    }

    fn shares_rows(&self, other: &Self) -> bool {
        self.rows.start < other.rows.end && other.rows.start < self.rows.end
    }

    /// Whether it begins and ends with a texel within its buffer, at the first copy of the value and at the last.
    fn is_whole(&self, plan: &Plan) -> bool {
        [0, u32::MAX].into_iter().all(|copy| {
            plan.value(self.value, copy).is_some_and(|place| {
                let (from, to) = (place.offset + self.bytes.start, place.offset + self.bytes.end);
                from.is_multiple_of(TEXEL_BYTES) && to <= plan.arenas[place.arena.index()].bytes
            })
        })
    }
}

/// The first of these steps of a program that would find something else in the texture than it reads, or nothing: every
/// copy is whole, within the texture and apart from the others of its step, and what is kept was copied before, and
/// neither it nor what lies there was written since.
pub(super) fn not_found(plan: &Plan, steps: Range<usize>) -> Option<usize> {
    let mut filled: Vec<Lying> = Vec::new();
    let mut finds = |step: &Step| {
        let read: Option<Vec<(Lying, bool)>> =
            step.textured().map(|(access, row)| Some((Lying::of(access, row)?, access.texture_kept))).collect();
        let Some(read) = read else { return false };
        let fits = read.iter().enumerate().all(|(at, (lying, _))| {
            lying.rows.end <= plan.texture.rows && read[..at].iter().all(|(other, _)| !other.shares_rows(lying))
        });
        for (new, _) in read.iter().filter(|(_, kept)| !kept) {
            filled.retain(|old| !old.shares_rows(new));
        }
        let is_there = read.into_iter().all(|(new, kept)| {
            if !kept {
                let is_whole = new.is_whole(plan);
                filled.push(new);
                return is_whole;
            }
            let is_same = |old: &Lying| (&old.rows, old.value, &old.bytes) == (&new.rows, new.value, &new.bytes);
            filled.iter().any(is_same)
        });
        filled.retain(|old| step.accesses.iter().all(|access| access.writes != Some(old.value)));
        fits && is_there
    };
    steps.into_iter().find(|at| !finds(&plan.schedule.steps[*at]))
}
