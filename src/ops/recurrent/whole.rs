//! Timesteps of a window in one dispatch: a workgroup makes some rows, which need nothing of one another, and goes
//! through their timesteps by itself.
//!
//! | family | for | a workgroup | each sum |
//! |---|---|---|---|
//! | subgroup | processors whose subgroups have one known size | one subgroup, for the rows of a tile | one accumulator, in ascending order |
//! | shared | graphics processors | as many threads as there may be, for one row | in parts that threads add up at the end |
//!
//! It takes no dispatch for each timestep, and reads the weight for each of them with few rows at a time, so that it wins
//! where there are few units. Which of both is quicker is told by [`Rates`]. Those of software adapters make the same
//! bits as a dispatch for each timestep does, and read the weight from the plan's texture where products do.

use std::ops::Range;

use bytemuck::cast_slice;

use super::Window;
use super::cell::{Cell, DOWN, Step, kernels, start_at_quads, with_cell};
use super::textured::{WEIGHT, with_factors_in_texture};
use crate::ops::matmul::Layout;
use crate::ops::matmul::kernel::{Product, Tile, Variant, Width, put_in_texture};
use crate::ops::{Binding, Dispatch, Lowering, clamp};
use crate::target::{DeviceKind, Rates, Target, Windows};

/// Seconds that such a dispatch is not to take longer than: nothing can be cut within it.
const LONGEST: f64 = 0.05;
/// Threads of a workgroup that makes one row, at most.
const MOST_THREADS: u32 = 1024;
/// Threads that share a sum, at most.
const MOST_PARTS: u32 = 32;

/// Some timesteps of a window, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// Each of them, with a product as deep as any but the first has; its `t` is not read.
    each: Step,
    /// How many of the window are made before them.
    since: u32,
    /// How many they are.
    steps: u32,
    /// How many the window has.
    time: u32,
}

impl Steps {
    /// All of a window, from which states follow.
    pub(super) fn forward(e: Window, each: Step) -> Self {
        Self::of(e, each, 0, e.time, e.reverse)
    }

    /// Those of the way back that are in `times`.
    pub(super) fn backward(e: Window, each: Step, times: &Range<u32>) -> Self {
        Self::of(e, each, e.made_before(times), times.end - times.start, !e.reverse)
    }

    fn of(e: Window, each: Step, since: u32, steps: u32, down: bool) -> Self {
        let each = Step { flags: each.flags + u32::from(down) * DOWN, ..each };
        Self { each, since, steps, time: e.time }
    }
}

/// A kernel for them, and how many workgroups of it.
#[derive(Clone, Copy, Debug)]
struct Whole {
    family: Family,
    groups: u32,
    tile: Tile,
    /// Bytes of the weight, where it is copied to the texture and read there.
    copied: Option<u64>,
}

impl Whole {
    /// How long it takes.
    fn seconds(&self, rates: &Rates) -> f64 {
        let copying = rates.textures.zip(self.copied).map_or(0.0, |(textures, bytes)| textures.seconds_of(bytes));
        self.tile.seconds(self.groups.into(), rates) + copying
    }
}

#[derive(Clone, Copy, Debug)]
enum Family {
    /// With the loop of this product's kernel.
    Subgroup(Variant),
    /// Of so many threads side by side, each of whose sums so many share.
    Shared { across: u32, parts: u32, width: Width },
}

impl Family {
    /// Rows that a workgroup makes.
    fn rows(self) -> u32 {
        match self {
            Self::Subgroup(variant) => variant.tile()[1],
            Self::Shared { .. } => 1,
        }
    }
}

impl Cell {
    /// The dispatch of all of `steps`, with what the cell binds, in that order, where that is quicker than a dispatch
    /// for each, which would be like `single`, or where it is asked for.
    pub(super) fn window<const N: usize>(
        &self,
        at: &Lowering,
        steps: Steps,
        single: &Dispatch,
        bindings: [Binding; N],
    ) -> Option<Dispatch> {
        let (target, asked) = (at.target, at.target.windows);
        let rates = match asked {
            Windows::Stepwise => return None,
            Windows::Quicker => target.known_rates()?,
            Windows::Whole => target.known_rates().unwrap_or(Rates::assumed()),
        };
        let limits = &target.limits;
        let seen = |b: &Binding| b.bytes.end - b.bytes.start <= limits.max_storage_buffer_binding_size;
        let counted = |b: &Binding| b.bytes.end <= u64::from(u32::MAX);
        let bound = bindings.len() <= limits.max_storage_buffers_per_shader_stage as usize;
        if steps.steps == 0 || !bound || !bindings.iter().all(|b| seen(b) && counted(b)) {
            return None;
        }
        let whole = self.best(at, steps, &rates, start_at_quads(at, &bindings))?;
        let seconds = whole.seconds(&rates);
        let one_by_one = single.tile.map_or(0.0, |tile| {
            let groups = single.groups.iter().map(|&n| f64::from(n)).product();
            // All timesteps but the first find the weight in the texture.
            let mut later = single.clone();
            later.bindings.iter_mut().skip(WEIGHT).take(1).for_each(|w| w.texture_kept = w.texture_row.is_some());
            let begun = rates.begun_seconds(single) + rates.begun_seconds(&later) * f64::from(steps.steps - 1);
            tile.seconds(groups, &rates) * f64::from(steps.steps) + begun
        });
        // Of a single timestep there is nothing to be gained but a kernel to compile.
        let quicker = seconds + rates.dispatch_seconds < one_by_one;
        if asked == Windows::Quicker && !(quicker && steps.steps > 1 && seconds < LONGEST) {
            return None;
        }
        let Step { batch, hidden, depth, stride, flags, .. } = steps.each;
        let mut bound = bindings.map(|binding| at.aligned(binding));
        if let Some((weight, start)) = whole.copied.and(bound.get_mut(WEIGHT)) {
            let element_bytes = at.type_bound(weight).dtype.bytes();
            put_in_texture([(weight, start, element_bytes)]);
        }
        let mut params = vec![batch, hidden, depth, stride, flags, steps.since, steps.steps, steps.time];
        params.extend(bound.iter().map(|(_, start)| start));
        let (shader, mut constants) = match whole.family {
            Family::Subgroup(variant) => (&self.window_subgroup, variant.constants(self.layout)),
            Family::Shared { across, parts, width } => {
                (&self.window_shared, vec![("X", across), ("S", parts), ("V", width as u32)])
            }
        };
        let factors: &[&str] = if whole.copied.is_some() { &["HB"] } else { &[] };
        constants.extend(with_factors_in_texture(&self.constants(at, flags), factors));
        constants.push(("W", 1));
        constants.extend(self.changed.map(|_| ("HG", 0)));
        if self.columns() > 1 {
            constants.push(("UNITS", 1));
        }
        if self.keeps_state() {
            // Columns that a unit takes, and the rows and units that the state is kept of.
            constants.extend([("C", self.columns()), ("R", whole.family.rows()), ("N", units(hidden))]);
        }
        Some(Dispatch {
            shader: shader.clone().with(&constants),
            params: cast_slice(&params).to_vec(),
            groups: [whole.groups, 1, 1],
            bindings: bound.map(|(binding, _)| binding).to_vec(),
            tile: Some(whole.tile),
        })
    }

    /// The quickest kernel of those made for the target.
    fn best(&self, at: &Lowering, steps: Steps, rates: &Rates, at_quads: bool) -> Option<Whole> {
        let product = self.product(steps.each, 0);
        let of_subgroups = kernels(at.target).into_iter().filter_map(|variant| {
            let (Variant::Subgroup { rows, .. } | Variant::Textured { rows, .. }) = variant else { return None };
            let fits = variant.fits(&product) && (at_quads || variant.width() == Width::One);
            let textured = variant.is_textured();
            let has_room = || variant.share(at.target).is_some() && self.has_room(variant, steps.each, at.target);
            (fits && (!textured || has_room())).then(|| {
                // The state is in no texture.
                let one = with_cell(variant.work_of_right_on(at.target, steps.each.depth));
                let tiles = u64::from(product.n.div_ceil(variant.tile()[0])) * u64::from(steps.steps);
                let tile = Tile { cost: clamp(u64::from(one.cost) * tiles), ..one };
                let copied = textured.then(|| at.type_of(self.weight).bytes());
                Whole { family: Family::Subgroup(variant), groups: steps.each.batch.div_ceil(rows), tile, copied }
            })
        });
        // What was not measured is not chosen, only had where it is asked for.
        let asked = at.target.windows == Windows::Whole || rates.turns.is_some();
        let is_software = at.target.device_kind == DeviceKind::Cpu;
        let shared = (asked && !is_software).then(|| self.shared(at, &product, steps, at_quads));
        let most = at.target.limits.max_compute_workgroups_per_dimension;
        let all = of_subgroups.chain(shared).filter(|w| w.groups <= most && self.fits(w, steps.each.hidden, at.target));
        all.min_by(|a, b| a.seconds(rates).total_cmp(&b.seconds(rates)))
    }

    /// A workgroup for each row, of as many threads as there may be and find something to do.
    fn shared(&self, at: &Lowering, product: &Product, steps: Steps, at_quads: bool) -> Whole {
        let Step { batch, hidden, depth, .. } = steps.each;
        let most = at.target.limits.max_compute_invocations_per_workgroup;
        let threads = power_of_two_within(most.min(at.target.limits.max_compute_workgroup_size_x).min(MOST_THREADS));
        let quads = product.n.div_ceil(4);
        let across = quads.next_power_of_two().min(threads);
        let parts = power_of_two_within(depth.div_ceil(4)).min(threads / across).clamp(1, MOST_PARTS);
        let width = if at_quads && hidden.is_multiple_of(4) { Width::Four } else { Width::One };
        let turns = clamp(u64::from(quads.div_ceil(across)) * u64::from(steps.steps));
        let weights = at.type_of(self.weight).len().saturating_mul(steps.steps.into());
        let tile = Tile { terms: depth, cost: 0, turns, weights };
        Whole { family: Family::Shared { across, parts, width }, groups: batch, tile, copied: None }
    }

    /// Whether a workgroup keeps the state in shared memory: on the way forward. Back, what a timestep leaves is kept
    /// for all of them anyway.
    fn keeps_state(&self) -> bool {
        self.layout == Layout::Nt
    }

    /// Whether its workgroups have the shared memory on `target`.
    fn fits(&self, whole: &Whole, hidden: u32, target: &Target) -> bool {
        let parts = match whole.family {
            Family::Subgroup(_) => 0,
            Family::Shared { across, parts, .. } => across * parts,
        };
        let state = 8 * u64::from(whole.family.rows()) * u64::from(units(hidden));
        let state = if self.keeps_state() { state } else { 0 };
        state + 16 * u64::from(parts) <= target.limits.max_compute_workgroup_storage_size.into()
    }
}

/// Units that a workgroup keeps the state of, in as few different kernels as do not waste much.
fn units(hidden: u32) -> u32 {
    hidden.max(16).checked_next_power_of_two().unwrap_or(1 << 31)
}

/// The greatest power of two that is no more than `n`, which is 1 at least.
fn power_of_two_within(n: u32) -> u32 {
    1 << n.max(1).ilog2()
}
