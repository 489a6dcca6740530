//! Parameters of dispatches in a buffer, for devices that take none, or too few of them, as immediates.
//!
//! ```text
//! step         0        1        2        3          parameters of 2 are those of 0, byte for byte
//! offset       0      stride     0      2 stride
//!              [ p0 .. | p1 .... | p3 .. ]           each range that is bound has `stride` bytes
//! ```
//!
//! They are a plan's constants: written once, before anything runs, by way of the plan's staging.

use std::collections::HashMap;

use super::layout::round_up;
use super::{Arena, Place};
use crate::graph::Role;
use crate::ids::ArenaId;
use crate::schedule::{Schedule, Step};
use crate::target::Target;

/// Parameters of so many dispatches are one piece of what is written.
const AT_ONCE: usize = 256;

/// Where the parameters of dispatches lie that do not carry them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uniforms {
    /// The buffer; `None` where every dispatch carries its own.
    pub arena: Option<ArenaId>,
    /// Bytes from one dispatch's parameters to another's, and of each range that is bound.
    pub stride: u64,
    /// The first step of each that are not alike, in the order in which they lie.
    distinct: Vec<usize>,
    /// For each step, which of these it reads; empty where every dispatch carries its own.
    of_step: Vec<Option<u32>>,
}

impl Uniforms {
    /// Finds room for what `schedule` dispatches on `target`.
    pub(super) fn new(schedule: &Schedule, target: &Target) -> Self {
        let is_stored = |step: &Step| target.wants_uniforms(step.dispatch.params.len());
        let stored = || schedule.steps.iter().filter(|step| is_stored(step));
        let longest = stored().map(|step| step.dispatch.params.len() as u64).max().unwrap_or(0);
        let align = u64::from(target.limits.min_uniform_buffer_offset_alignment).max(16);
        let mut found =
            Self { arena: None, stride: round_up(longest, align), distinct: Vec::new(), of_step: Vec::new() };
        if longest == 0 {
            return found;
        }
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        for (at, step) in schedule.steps.iter().enumerate() {
            let number = is_stored(step).then(|| {
                *known.entry(&step.dispatch.params).or_insert_with(|| {
                    found.distinct.push(at);
                    crate::ops::clamp(found.distinct.len() as u64 - 1)
                })
            });
            found.of_step.push(number);
        }
        found
    }

    /// Those of `schedule`, which it was made of, that are not alike.
    pub(super) fn parameters<'a>(&'a self, schedule: &'a Schedule) -> impl Iterator<Item = &'a [u8]> {
        self.distinct.iter().filter_map(|&step| schedule.steps.get(step)).map(|step| &step.dispatch.params[..])
    }

    /// Takes an arena of its own, if it needs one.
    pub(super) fn lie_in(&mut self, arenas: &mut Vec<Arena>) {
        if !self.distinct.is_empty() {
            self.arena = Some(ArenaId::at(arenas.len()));
            arenas.push(Arena { role: Role::Uniforms, bytes: self.bytes() });
        }
    }

    /// Bytes of the buffer.
    pub fn bytes(&self) -> u64 {
        self.stride.saturating_mul(self.distinct.len() as u64)
    }

    /// Where the parameters of `step` begin, unless its dispatch carries them.
    pub fn offset(&self, step: usize) -> Option<u64> {
        let number = self.of_step.get(step).copied().flatten()?;
        Some(self.stride * u64::from(number))
    }

    /// What is to be written before anything runs, and where, in pieces, as there may be much of it: the one of that
    /// number, if there are so many.
    pub fn content(&self, schedule: &Schedule, piece: usize) -> Option<(Place, Vec<u8>)> {
        let (arena, steps) = (self.arena?, self.distinct.chunks(AT_ONCE).nth(piece)?);
        let stride = usize::try_from(self.stride).expect("what a kernel takes, rounded up");
        let mut bytes = vec![0; steps.len() * stride];
        for (room, &step) in bytes.chunks_exact_mut(stride).zip(steps) {
            let params = schedule.steps.get(step).map_or(&[][..], |step| &step.dispatch.params);
            room.iter_mut().zip(params).for_each(|(to, from)| *to = *from);
        }
        let offset = (piece * AT_ONCE) as u64 * self.stride;
        Some((Place { arena, offset, bytes: bytes.len() as u64 }, bytes))
    }
}
