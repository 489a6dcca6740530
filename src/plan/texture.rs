//! The texture that kernels read from: how large a plan's is, and that every copy has its place.

use super::{Arena, Plan};
use crate::graph::Role;
use crate::ids::ArenaId;
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
        let ends = schedule.steps.iter().flat_map(Step::copied).map(|(access, row)| row + rows(access.bound_bytes()));
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
    /// What is copied to the texture before it, and the row where each begins.
    pub(crate) fn copied(&self) -> impl Iterator<Item = (&Access, u64)> {
        self.accesses.iter().filter_map(|access| Some((access, u64::from(access.texture_row?))))
    }
}

impl Access {
    /// Whole texels of what is copied to the texture, from where it is bound.
    pub(crate) fn copied_bytes(&self) -> u64 {
        self.bound_bytes().next_multiple_of(TEXEL_BYTES)
    }
}

/// Whether all that `step` has copied is read where it was copied, begins and ends with a texel, within its buffer and the
/// texture, and leaves what else it has copied alone.
pub(super) fn is_sound(plan: &Plan, step: &Step) -> bool {
    // The first copy of what is read, and the last.
    let is_whole = |access: &Access, copy: u32| {
        let Some(place) = access.reads.and_then(|value| plan.value(value, copy)) else { return false };
        let Some(from) = (place.offset + access.bytes.start).checked_sub(access.slack) else { return false };
        let ends_within = from + access.copied_bytes() <= plan.arenas[place.arena.index()].bytes;
        ends_within && from.is_multiple_of(TEXEL_BYTES)
    };
    let mut taken = 0;
    step.copied().all(|(access, row)| {
        let is_next = row >= taken;
        taken = row + rows(access.bound_bytes());
        let is_read = access.writes.is_none() && is_whole(access, 0) && is_whole(access, u32::MAX);
        is_next && taken <= plan.texture.rows && is_read
    })
}
