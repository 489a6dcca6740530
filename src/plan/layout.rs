//! From slots and tenants to buffers: which arena each lies in, and where.
//!
//! Slots of one role stand side by side; tenants are packed over one another where their lives do
//! not meet. What would outgrow the device's largest buffer is spread over several.

use super::lifetime::Tenant;
use super::place::{Interval, lower_bound, place};
use super::{Arena, Place, Placed, SlotPlace};
use crate::graph::{Graph, Role};
use crate::ids::{ArenaId, ValueId};
use crate::target::Target;

/// Every place of a plan.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The buffers.
    pub arenas: Vec<Arena>,
    /// By slot id.
    pub slots: Vec<SlotPlace>,
    /// By value id.
    pub values: Vec<Option<Place>>,
    /// The tenants with their places.
    pub tenants: Vec<Placed>,
    /// The greatest sum of tenants alive at once, and the first step where it occurs.
    pub tenants_bound: (u64, u32),
}

/// Gives every slot and every tenant its place.
pub fn lay_out(graph: &Graph, tenants: &[Tenant], target: &Target) -> Layout {
    let align = alignment(target);
    let mut arenas = Vec::new();
    let slots = lay_out_slots(graph, target, align, &mut arenas);
    let intervals: Vec<Interval> = tenants.iter().map(|t| t.interval).collect();
    let places = pack(&intervals, target, align, &mut arenas);
    let tenants: Vec<Placed> =
        tenants.iter().zip(places).map(|(tenant, place)| Placed { tenant: tenant.clone(), place }).collect();
    let values = places_of_values(graph, &slots, &tenants);
    Layout { arenas, slots, values, tenants, tenants_bound: lower_bound(&intervals, align) }
}

/// Bytes of the buffers that hold the slots.
pub fn kept_bytes(graph: &Graph, target: &Target) -> u64 {
    let mut arenas = Vec::new();
    lay_out_slots(graph, target, alignment(target), &mut arenas);
    arenas.iter().map(|arena| arena.bytes).fold(0, u64::saturating_add)
}

/// What places are multiples of.
pub fn alignment(target: &Target) -> u64 {
    target.place_align()
}

fn lay_out_slots(graph: &Graph, target: &Target, align: u64, arenas: &mut Vec<Arena>) -> Vec<SlotPlace> {
    let mut places = vec![None; graph.slot_ids().count()];
    for role in Role::ALL {
        let mut open: Option<ArenaId> = None;
        for id in graph.slot_ids().filter(|&s| graph[s].role == role) {
            let slot = &graph[id];
            let stride = round_up(slot.bytes.max(4), align);
            let all = stride.saturating_mul(u64::from(slot.copies));
            let arena = match open {
                Some(a) if arenas[a.index()].bytes.saturating_add(all) <= target.limits.max_buffer_size => a,
                _ => {
                    arenas.push(Arena { role, bytes: 0 });
                    ArenaId::at(arenas.len() - 1)
                }
            };
            open = Some(arena);
            let offset = arenas[arena.index()].bytes;
            arenas[arena.index()].bytes = offset.saturating_add(all);
            let place = Place { arena, offset, bytes: slot.bytes };
            places[id.index()] = Some(SlotPlace { place, stride, copies: slot.copies });
        }
    }
    places.into_iter().map(|p| p.expect("every slot has one of the roles")).collect()
}

/// Packs `intervals` into as few new arenas as hold them.
fn pack(intervals: &[Interval], target: &Target, align: u64, arenas: &mut Vec<Arena>) -> Vec<Place> {
    let limit = target.limits.max_buffer_size;
    let largest = intervals.iter().map(|i| i.bytes).max().unwrap_or(0);
    // One value larger than a buffer fits in no number of them; the check will name it.
    let most = if largest > limit { 1 } else { 64 };
    (1..=most)
        .find_map(|count| pack_into(count, intervals, limit, align, arenas))
        .unwrap_or_else(|| pack_into(1, intervals, u64::MAX, align, arenas).expect("no limit, no refusal"))
}

fn pack_into(
    count: usize,
    intervals: &[Interval],
    limit: u64,
    align: u64,
    arenas: &mut Vec<Arena>,
) -> Option<Vec<Place>> {
    let mut by_size: Vec<usize> = (0..intervals.len()).collect();
    by_size.sort_by_key(|&i| (std::cmp::Reverse(intervals[i].bytes), i));
    let mut places = vec![None; intervals.len()];
    let mut heights = Vec::new();
    for part in 0..count {
        let members: Vec<usize> = by_size.iter().copied().skip(part).step_by(count).collect();
        let members_intervals: Vec<Interval> = members.iter().map(|&i| intervals[i]).collect();
        // What cannot fit is not searched for.
        if lower_bound(&members_intervals, align).0 > limit {
            return None;
        }
        let packing = place(&members_intervals, align);
        if packing.arena_bytes > limit {
            return None;
        }
        let arena = ArenaId::at(arenas.len() + part);
        for (&i, at) in members.iter().zip(&packing.placements) {
            places[i] = Some(Place { arena, offset: at.offset, bytes: at.bytes });
        }
        heights.push(packing.arena_bytes);
    }
    if !intervals.is_empty() {
        arenas.extend(heights.into_iter().map(|bytes| Arena { role: Role::Activation, bytes }));
    }
    Some(places.into_iter().map(|p| p.expect("every interval is in one part")).collect())
}

fn places_of_values(graph: &Graph, slots: &[SlotPlace], tenants: &[Placed]) -> Vec<Option<Place>> {
    let in_slot = |v: ValueId| {
        let home = graph[v].home?;
        let slot = slots[home.slot.index()].place;
        Some(Place { offset: slot.offset + home.offset, bytes: graph[v].ty.bytes(), ..slot })
    };
    let mut places: Vec<Option<Place>> = graph.value_ids().map(in_slot).collect();
    for placed in tenants {
        for value in &placed.tenant.values {
            places[value.index()] = Some(placed.place);
        }
    }
    places
}

/// `bytes` rounded up to a multiple of `align`, at most `u64::MAX`.
pub fn round_up(bytes: u64, align: u64) -> u64 {
    bytes.checked_next_multiple_of(align).unwrap_or(u64::MAX)
}
