//! A plan: which dispatches run, where every byte lies, and what that costs. Data, made with no device.

pub mod check;
mod digest;
pub mod kept;
pub mod layout;
pub mod lifetime;
mod order;
mod outline;
mod picture;
pub mod place;
pub mod replay;
pub mod report;
pub mod reserved;
mod sketch;
mod texture;
mod thin;
mod thrift;
mod time;
mod uniforms;

use crate::graph::{Graph, Role};
use crate::ids::{ArenaId, SlotId, ValueId};
use crate::schedule::{Schedule, Step, schedule};
use crate::target::Target;

pub use crate::target::Rates;
use check::{Violation, check};
use lifetime::{Tenant, tenants};
pub use order::ordered;
pub(crate) use order::{outlined_in_order, sketched_in_order};
pub use outline::Outline;
pub use picture::Rectangle;
use replay::{Fault, replay};
pub(crate) use sketch::{Lowered, Sketch};
pub use texture::Texture;
pub use thrift::Saving;
pub use uniforms::Uniforms;

/// One device buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arena {
    /// What it is for.
    pub role: Role,
    /// Its size.
    pub bytes: u64,
}

/// Where something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The buffer.
    pub arena: ArenaId,
    /// Bytes from its start.
    pub offset: u64,
    /// Size.
    pub bytes: u64,
}

impl Place {
    /// The `bytes` of it, counted from its own start.
    pub(crate) fn within(self, bytes: &std::ops::Range<u64>) -> Self {
        Self { offset: self.offset + bytes.start, bytes: bytes.end - bytes.start, ..self }
    }
}

/// Where a slot lies, with all its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPlace {
    /// The first copy.
    pub place: Place,
    /// Bytes from one copy to the next.
    pub stride: u64,
    /// How many copies there are.
    pub copies: u32,
}

impl SlotPlace {
    /// The bytes of all copies together, padding between them included.
    pub fn all_copies(&self) -> std::ops::Range<u64> {
        let start = self.place.offset;
        start..start.saturating_add(self.stride.saturating_mul(u64::from(self.copies)))
    }

    /// Where copy `copy` lies.
    pub fn copy(&self, copy: u32) -> Place {
        let offset = self.place.offset + self.stride * u64::from(copy);
        Place { offset, ..self.place }
    }
}

/// A tenant of the shared memory and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The values and when they are alive.
    pub tenant: Tenant,
    /// Where they lie.
    pub place: Place,
}

/// The buffers through which the host writes to the device and reads from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staging {
    /// Size of one upload buffer.
    pub upload_bytes: u64,
    /// Size of one readback buffer.
    pub readback_bytes: u64,
}

impl Staging {
    /// How many buffers there are each way: the host fills one while the device reads the other.
    pub const RING: u32 = 2;

    /// The least worth having, and the most that weights, which travel in pieces, are given.
    const PIECE_BYTES: [u64; 2] = [4 << 10, 1 << 20];

    /// Buffers that hold what one submission uploads and what is read back at once, as far as
    /// `max_buffer_size` goes; what is larger travels in pieces.
    ///
    /// Weights of `kept_bytes` are moved in 64 pieces, or in fewer if those would be tiny.
    pub fn for_traffic(upload_bytes: u64, readback_bytes: u64, kept_bytes: u64, max_buffer_size: u64) -> Self {
        let most = (max_buffer_size / 256 * 256).max(256);
        let [least, enough] = Self::PIECE_BYTES;
        let piece = (kept_bytes / 64).clamp(least, enough);
        let sized = |bytes: u64| layout::round_up(bytes.max(piece), 256).min(most);
        Self { upload_bytes: sized(upload_bytes), readback_bytes: sized(readback_bytes) }
    }

    /// The same, or as much smaller as it takes for all of them together to have `bytes`: what is larger than a
    /// buffer travels in pieces, for each of which the host waits. No smaller than is worth having.
    fn within(self, bytes: u64) -> Self {
        let least = |of: u64| of.min(Self::PIECE_BYTES[0]);
        let each = bytes / u64::from(Self::RING);
        if self.upload_bytes.saturating_add(self.readback_bytes) <= each {
            return self;
        }
        // What is read back after each step is little; weights, which are much, are read now and then.
        let readback_bytes = least(self.readback_bytes);
        let room = each.saturating_sub(readback_bytes) / 256 * 256;
        Self { upload_bytes: self.upload_bytes.min(room).max(least(self.upload_bytes)), readback_bytes }
    }

    /// Bytes of all of them together.
    pub fn bytes(&self) -> u64 {
        self.upload_bytes.saturating_add(self.readback_bytes).saturating_mul(u64::from(Self::RING))
    }
}

/// Everything a run will do and every byte it will use.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The computation.
    pub graph: Graph,
    /// The device it is planned for.
    pub target: Target,
    /// What runs.
    pub schedule: Schedule,
    /// The device buffers that shaders bind.
    pub arenas: Vec<Arena>,
    /// Where each slot lies, by its id.
    pub slots: Vec<SlotPlace>,
    /// Where each value lies, by its id; `None` for one that no step touches, and for views.
    pub values: Vec<Option<Place>>,
    /// Who shares the activation memory, and when.
    pub tenants: Vec<Placed>,
    /// The host's buffers.
    pub staging: Staging,
    /// Where parameters lie that dispatches do not carry.
    pub uniforms: Uniforms,
    /// What kernels read from, where that is quicker than from buffers.
    pub texture: Texture,
    /// The greatest sum of tenants alive at once, and the first step where it occurs.
    pub tenants_bound: (u64, u32),
}

impl Plan {
    /// Plans `graph` for `target`. Whether it fits is asked by [`Plan::violations`].
    pub fn new(graph: Graph, target: &Target, staging: Staging) -> Self {
        let schedule = schedule(&graph, target);
        Self::scheduled(graph, schedule, target, staging)
    }

    /// The same, of a graph whose `schedule` for `target` is known.
    pub(crate) fn scheduled(graph: Graph, schedule: Schedule, target: &Target, staging: Staging) -> Self {
        let tenants = tenants(&graph, &schedule);
        let mut layout = layout::lay_out(&graph, &tenants, target);
        let mut uniforms = Uniforms::new(&schedule, target);
        uniforms.lie_in(&mut layout.arenas);
        let mut texture = Texture::new(&schedule);
        texture.lie_in(&mut layout.arenas);
        Self {
            graph,
            target: target.clone(),
            schedule,
            arenas: layout.arenas,
            slots: layout.slots,
            values: layout.values,
            tenants: layout.tenants,
            staging,
            uniforms,
            texture,
            tenants_bound: layout.tenants_bound,
        }
    }

    /// The same running these `steps` as its first program, and no other: what no op lowers itself to, so that kernels can
    /// be tried one by one.
    #[doc(hidden)]
    pub fn running(mut self, steps: Vec<Step>) -> Self {
        self.schedule.programs.truncate(1);
        self.schedule.programs[0].steps = 0..steps.len();
        self.schedule.steps = steps;
        self.equipped()
    }

    /// The same with the uniforms and the texture that its steps want, should they have been changed.
    #[doc(hidden)]
    pub fn equipped(mut self) -> Self {
        // These are the last, and nothing else lies in them.
        self.arenas.retain(|arena| !arena.role.is_seldom());
        self.uniforms = Uniforms::new(&self.schedule, &self.target);
        self.uniforms.lie_in(&mut self.arenas);
        self.texture = Texture::new(&self.schedule);
        self.texture.lie_in(&mut self.arenas);
        self
    }

    /// The same with smaller staging, where that alone brings all of it within `bytes`.
    pub fn with_staging_within(mut self, bytes: u64) -> Self {
        let rest = self.planned_bytes().saturating_sub(self.staging.bytes());
        let smaller = self.staging.within(bytes.saturating_sub(rest));
        if rest.saturating_add(smaller.bytes()) <= bytes {
            self.staging = smaller;
        }
        self
    }

    /// Bytes of every device buffer together.
    pub fn planned_bytes(&self) -> u64 {
        let arenas = self.arenas.iter().map(|a| a.bytes);
        arenas.chain([self.staging.bytes()]).fold(0, u64::saturating_add)
    }

    /// The fewest bytes any placement of the same values could take.
    pub fn lower_bound_bytes(&self) -> u64 {
        let kept = self.arenas.iter().filter(|a| a.role != Role::Activation).map(|a| a.bytes);
        kept.chain([self.staging.bytes(), self.tenants_bound.0]).fold(0, u64::saturating_add)
    }

    /// Bytes by role, in the order of [`Role::ALL`]; uniforms and the texture only where there are any.
    pub fn roles(&self) -> Vec<(Role, u64)> {
        let of = |role| {
            let arenas = self.arenas.iter().filter(|a| a.role == role).map(|a| a.bytes);
            arenas.fold(0, u64::saturating_add)
        };
        let all = Role::ALL.map(|role| (role, if role == Role::Staging { self.staging.bytes() } else { of(role) }));
        all.into_iter().filter(|(role, bytes)| !role.is_seldom() || *bytes > 0).collect()
    }

    /// Whether the plan exceeds no limit of the device it was made for, nor `memory` in bytes. No device is asked.
    pub fn fits(&self, memory: Option<u64>) -> bool {
        self.violations(memory).is_empty()
    }

    /// Every limit of the device, or of the caller's `memory` in bytes, that the plan exceeds.
    pub fn violations(&self, memory: Option<u64>) -> Vec<Violation> {
        check(self, memory)
    }

    /// Doubts the plan; see [`replay()`]. Done before any device memory is asked for.
    pub fn replay(&self) -> Result<(), Fault> {
        replay::parameters(self)?;
        replay::copies(self)?;
        let layout = replay::Layout {
            arenas: &self.arenas,
            slots: &self.slots,
            values: &self.values,
            align: self.target.align(),
        };
        replay(&self.graph, &self.schedule, layout)
    }

    /// The program called `name`, as a position in the schedule's list.
    pub fn program(&self, name: &str) -> Option<usize> {
        self.schedule.programs.iter().position(|p| p.name == name)
    }

    /// Dispatches of the program called `name`.
    pub fn dispatches(&self, name: &str) -> usize {
        self.program(name).map_or(0, |p| self.schedule.programs[p].steps.len())
    }

    /// Where copy `copy` of `slot` lies.
    pub fn slot(&self, slot: SlotId, copy: u32) -> Place {
        self.slots[slot.index()].copy(copy)
    }

    /// Where `value` lies when its program runs for micro-step `copy`; a view, within what it shows.
    pub fn value(&self, value: ValueId, copy: u32) -> Option<Place> {
        let base = self.schedule.base(value);
        let place = self.values[base.value.index()]?;
        let bytes = self.graph[value].ty.bytes();
        let place = Place { offset: place.offset + base.offset, bytes, ..place };
        let Some(home) = self.graph[base.value].home else { return Some(place) };
        let slot = self.slots[home.slot.index()];
        let shift = slot.stride * u64::from(copy.min(slot.copies - 1));
        Some(Place { offset: place.offset + shift, ..place })
    }
}
