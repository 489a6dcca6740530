//! Doubts a plan by running it on names alone. Knows nothing of lifetimes or of how places were found.
//!
//! Every byte of every arena carries the name of the content it holds. A step that reads must
//! find the content it wants in every byte; a step that writes puts its name there. wgpu accepts
//! overlapping read-write bindings without a word, so this is what stands between a wrong plan
//! and silently wrong numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Arena, Place, Plan, SlotPlace, texture};
use crate::graph::Graph;
use crate::ids::{ArenaId, SlotId, ValueId};
use crate::ops::{InPlace, Operand};
use crate::schedule::{Access, Schedule, Step};

/// What is wrong with a plan. Always a fault of the engine, never of its user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A step reads a value whose bytes hold something else.
    #[error("step {step} ({shader}) reads {value} and finds {found}")]
    Overwritten {
        /// The step that reads.
        step: usize,
        /// Its shader.
        shader: &'static str,
        /// The value it wants.
        value: ValueId,
        /// What is there instead.
        found: String,
    },
    /// A step writes bytes that it also reads, and the op does not allow that.
    #[error("step {step} ({shader}) writes {output} over {input}, which it reads")]
    Alias {
        /// The step that writes.
        step: usize,
        /// Its shader.
        shader: &'static str,
        /// The value written.
        output: ValueId,
        /// The value read.
        input: ValueId,
    },
    /// A binding begins where the device lets none begin.
    #[error("step {step} ({shader}) binds {value} at byte {offset}, no multiple of {align}")]
    Misaligned {
        /// The step that binds.
        step: usize,
        /// Its shader.
        shader: &'static str,
        /// The value bound.
        value: ValueId,
        /// Where, in its arena.
        offset: u64,
        /// What the offset should be a multiple of.
        align: u64,
    },
    /// A binding ends outside its arena.
    #[error("step {step} ({shader}) binds bytes up to {end} of an arena of {arena_bytes}")]
    Outside {
        /// The step that binds.
        step: usize,
        /// Its shader.
        shader: &'static str,
        /// One past the last byte.
        end: u64,
        /// The arena's size.
        arena_bytes: u64,
    },
    /// A value that steps touch has no place.
    #[error("{value} has no place")]
    Homeless {
        /// The value.
        value: ValueId,
    },
    /// A slot does not keep its content to the end of a program.
    #[error("after program {program}, slot {slot} holds {found}")]
    Lost {
        /// The program.
        program: &'static str,
        /// The slot.
        slot: SlotId,
        /// What it holds.
        found: String,
    },
    /// A dispatch that cannot carry its parameters would find others where it looks for them, or nothing.
    #[error("step {step} ({shader}) reads parameters that are not its own")]
    Parameters {
        /// The step that reads.
        step: usize,
        /// Its shader.
        shader: &'static str,
    },
    /// A dispatch that reads from the texture would find something else there, or nothing.
    #[error("step {step} ({shader}) reads from the texture what is not copied there")]
    Copies {
        /// The step that reads.
        step: usize,
        /// Its shader.
        shader: &'static str,
    },
    /// Two slots share bytes, or one ends outside its arena.
    #[error("slot {slot} is not alone in its bytes")]
    Crowded {
        /// The slot.
        slot: SlotId,
    },
}

/// What a byte holds: a value's content, or a slot's as the program found it.
///
/// `base` is where in the arena the content's first byte lies, so that content in the wrong
/// position is not taken for the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Value { id: ValueId, base: u64 },
    Slot { id: SlotId, base: u64 },
}

/// Names for the bytes of one arena: each key begins a range that ends at the next.
type Bytes = BTreeMap<u64, Content>;

/// The places a plan has given, as the replay is told them.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Every buffer.
    pub arenas: &'a [Arena],
    /// Where each slot lies.
    pub slots: &'a [SlotPlace],
    /// Where each value lies, by its id; `None` for one no step touches.
    pub values: &'a [Option<Place>],
    /// What every binding's offset must be a multiple of.
    pub align: u64,
}

/// Runs each program of `schedule`, noting which content each byte holds, and fails at the first
/// wrong read, forbidden overlap, misplaced binding or lost slot.
pub fn replay(graph: &Graph, schedule: &Schedule, layout: Layout) -> Result<(), Fault> {
    let fresh = slots_filled(graph, layout)?;
    for program in &schedule.programs {
        let mut memory = fresh.clone();
        for now in program.steps.clone() {
            let step = &schedule.steps[now];
            Replay { graph, layout, now, step }.run(&mut memory)?;
        }
        slots_kept(graph, layout, program.name, &memory)?;
    }
    Ok(())
}

/// Fails at the first dispatch that would not find its own parameters, by what will be written.
pub(super) fn parameters(plan: &Plan) -> Result<(), Fault> {
    let (uniforms, align) = (&plan.uniforms, u64::from(plan.target.limits.min_uniform_buffer_offset_alignment));
    let room = uniforms.arena.map_or(0, |arena| plan.arenas[arena.index()].bytes);
    let mut memory = Vec::new();
    for (place, bytes) in (0..).map_while(|piece| uniforms.content(&plan.schedule, piece)) {
        let is_next = uniforms.arena == Some(place.arena) && place.offset == memory.len() as u64;
        memory.extend(bytes.into_iter().filter(|_| is_next));
    }
    for (step, Step { dispatch, .. }) in plan.schedule.steps.iter().enumerate() {
        let params = &dispatch.params;
        let holds = match uniforms.offset(step) {
            None => !plan.target.wants_uniforms(params.len()),
            Some(offset) => {
                let found = usize::try_from(offset).ok().and_then(|from| memory.get(from..)?.get(..params.len()));
                let is_seen = params.len() as u64 <= uniforms.stride && offset.saturating_add(uniforms.stride) <= room;
                is_seen && offset.is_multiple_of(align) && found == Some(params)
            }
        };
        if !holds {
            return Err(Fault::Parameters { step, shader: dispatch.shader.name });
        }
    }
    Ok(())
}

/// Fails at the first dispatch that would not find what is copied for it to the texture.
pub(super) fn copies(plan: &Plan) -> Result<(), Fault> {
    let mut programs = plan.schedule.programs.iter();
    match programs.find_map(|program| texture::not_found(plan, program.steps.clone())) {
        Some(step) => Err(Fault::Copies { step, shader: plan.schedule.steps[step].dispatch.shader.name }),
        None => Ok(()),
    }
}

/// All arenas empty but for the slots, each alone in its bytes.
fn slots_filled(graph: &Graph, layout: Layout) -> Result<Vec<Bytes>, Fault> {
    let mut memory = vec![Bytes::from([(0, Content::Nothing)]); layout.arenas.len()];
    for slot in graph.slot_ids() {
        let place = layout.slots[slot.index()];
        let range = place.all_copies();
        let bytes = &mut memory[place.place.arena.index()];
        let alone = parts(bytes, &range).all(|(_, content)| content == Content::Nothing);
        if !alone || range.end > layout.arenas[place.place.arena.index()].bytes {
            return Err(Fault::Crowded { slot });
        }
        fill(bytes, &range, Content::Slot { id: slot, base: range.start });
    }
    Ok(memory)
}

/// Whether each slot holds what it held, or values that were stored in it, each in its place.
fn slots_kept(graph: &Graph, layout: Layout, program: &'static str, memory: &[Bytes]) -> Result<(), Fault> {
    for slot in graph.slot_ids() {
        let place = layout.slots[slot.index()];
        for (_, content) in parts(&memory[place.place.arena.index()], &place.all_copies()) {
            let kept = match content {
                Content::Slot { id, base } => id == slot && base == place.place.offset,
                Content::Value { id, base } => {
                    let home = graph[id].home;
                    home.is_some_and(|h| h.slot == slot && place.place.offset + h.offset == base)
                }
                Content::Nothing => false,
            };
            if !kept {
                let found = format!("{content:?}");
                return Err(Fault::Lost { program, slot, found });
            }
        }
    }
    Ok(())
}

struct Replay<'a> {
    graph: &'a Graph,
    layout: Layout<'a>,
    now: usize,
    step: &'a Step,
}

impl Replay<'_> {
    fn run(&self, memory: &mut [Bytes]) -> Result<(), Fault> {
        let accesses = &self.step.accesses;
        for access in accesses {
            self.bound_well(access)?;
            let Some(value) = access.reads else { continue };
            self.finds(memory, value, &access.bytes)?;
        }
        for (at, written) in accesses.iter().enumerate().filter_map(|(at, a)| Some((at, a.writes?))) {
            self.may_write(at, written)?;
        }
        for (value, access) in accesses.iter().filter_map(|a| Some((a.writes?, a))) {
            let (arena, range) = self.bytes_of(value, &access.bytes)?;
            let base = self.place(value)?.offset;
            fill(&mut memory[arena.index()], &range, Content::Value { id: value, base });
        }
        Ok(())
    }

    fn place(&self, value: ValueId) -> Result<Place, Fault> {
        let place = self.layout.values.get(value.index()).copied().flatten();
        place.ok_or(Fault::Homeless { value })
    }

    fn bytes_of(&self, value: ValueId, bytes: &Range<u64>) -> Result<(ArenaId, Range<u64>), Fault> {
        let place = self.place(value)?;
        Ok((place.arena, place.offset + bytes.start..place.offset + bytes.end))
    }

    fn bound_well(&self, access: &Access) -> Result<(), Fault> {
        let (step, shader) = (self.now, self.step.dispatch.shader.name);
        for value in access.values() {
            let (arena, range) = self.bytes_of(value, &access.bytes)?;
            let offset = range.start.saturating_sub(access.slack);
            let align = self.layout.align;
            if !offset.is_multiple_of(align) || range.start < access.slack {
                return Err(Fault::Misaligned { step, shader, value, offset, align });
            }
            let arena_bytes = self.layout.arenas[arena.index()].bytes;
            let end = offset.saturating_add(access.bound_bytes());
            if end > arena_bytes {
                return Err(Fault::Outside { step, shader, end, arena_bytes });
            }
        }
        Ok(())
    }

    /// Whether the bytes hold what `value` stands for.
    fn finds(&self, memory: &[Bytes], value: ValueId, bytes: &Range<u64>) -> Result<(), Fault> {
        let (arena, range) = self.bytes_of(value, bytes)?;
        let base = self.place(value)?.offset;
        let wanted = match (self.graph[value].producer, self.graph[value].home) {
            (None, Some(home)) => {
                Content::Slot { id: home.slot, base: self.layout.slots[home.slot.index()].place.offset }
            }
            _ => Content::Value { id: value, base },
        };
        match parts(&memory[arena.index()], &range).find(|(_, content)| *content != wanted) {
            None => Ok(()),
            Some((_, content)) => Err(Fault::Overwritten {
                step: self.now,
                shader: self.step.dispatch.shader.name,
                value,
                found: format!("{content:?}"),
            }),
        }
    }

    /// Whether nothing this step binds otherwise is overwritten, but where the op works in place.
    fn may_write(&self, at: usize, output: ValueId) -> Result<(), Fault> {
        let access = &self.step.accesses[at];
        let (arena, range) = self.bytes_of(output, &access.bytes)?;
        let rule = self.graph[self.step.node].op.rule();
        let (pairs, rewrites) = (rule.in_place(), rule.rewrites());
        let written = self.step.dispatch.bindings[at].writes;
        for (other_at, other) in self.step.accesses.iter().enumerate() {
            let own = other_at == at;
            for (input, writes) in other.reads.map(|v| (v, false)).into_iter().chain(other.writes.map(|v| (v, true))) {
                if own && writes {
                    continue;
                }
                let (other_arena, other_range) = self.bytes_of(input, &other.bytes)?;
                let apart = other_arena != arena || other_range.end <= range.start || range.end <= other_range.start;
                // By position, not by value: an op may overwrite one of two inputs that are the same.
                let read = self.step.dispatch.bindings[other_at].reads;
                let pair = |p: &InPlace| {
                    written == Some(Operand::Output(p.output))
                        && read == Some(Operand::Input(p.input))
                        && (own || !p.must)
                };
                // A later dispatch of the same node may go on with what an earlier one wrote.
                let onward = input == output && (own || rewrites.iter().any(|&o| written == Some(Operand::Output(o))));
                // Elements of other sizes are not written where they are read.
                let alike = self.graph[input].ty.dtype == self.graph[output].ty.dtype;
                let in_place = !writes && other_range == range && (onward || alike && pairs.iter().any(pair));
                // What is read from the texture was copied there before anything is written.
                let copied = !writes && other.texture_row.is_some();
                if !apart && !in_place && !copied {
                    let (step, shader) = (self.now, self.step.dispatch.shader.name);
                    return Err(Fault::Alias { step, shader, output, input });
                }
            }
        }
        // A binding that reads one value and writes another must find both in the same bytes.
        match access.reads {
            Some(input) if self.bytes_of(input, &access.bytes)? != (arena, range) => {
                let (step, shader) = (self.now, self.step.dispatch.shader.name);
                Err(Fault::Alias { step, shader, output, input })
            }
            _ => Ok(()),
        }
    }
}

/// The contents met in `range`, with where each begins.
fn parts<'a>(bytes: &'a Bytes, range: &Range<u64>) -> impl Iterator<Item = (u64, Content)> + use<'a> {
    let first = bytes.range(..=range.start).next_back().map(|(_, &c)| (range.start, c));
    let empty = range.is_empty();
    let rest = bytes.range(range.start.saturating_add(1)..range.end.max(range.start.saturating_add(1)));
    first.into_iter().chain(rest.map(|(&at, &c)| (at, c))).filter(move |_| !empty)
}

/// Names the bytes of `range`.
fn fill(bytes: &mut Bytes, range: &Range<u64>, content: Content) {
    if range.is_empty() {
        return;
    }
    let after = bytes.range(..=range.end).next_back().map_or(Content::Nothing, |(_, &c)| c);
    let inside: Vec<u64> = bytes.range(range.clone()).map(|(&at, _)| at).collect();
    for at in inside {
        bytes.remove(&at);
    }
    bytes.insert(range.start, content);
    bytes.insert(range.end, after);
}
