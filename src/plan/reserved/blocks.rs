//! wgpu's allocator on Vulkan, as arithmetic: gpu-allocator 0.28 as wgpu-hal 30.0 sets it up.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Role;
use crate::plan::{Plan, Staging};
use crate::target::{BufferMemory, MemoryKind};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The first and the largest block of memory that the host cannot see, and of memory that it can: those of
/// `MemoryHints::MemoryUsage`, by which devices are opened.
const DEVICE_BLOCKS: [u64; 2] = [8 * MIB, 64 * MIB];
const HOST_BLOCKS: [u64; 2] = [4 * MIB, 32 * MIB];

/// What wgpu has for itself on every device, and never gives back: zeros to clear with, the parameters of external
/// textures, and a place where indirect dispatches are checked.
const ZEROS_BYTES: u64 = 512 * KIB;
const UNIFORM_BYTES: u64 = 208;
const CHECKED_BYTES: u64 = 24;

/// The blocks that wgpu's allocator has taken from the driver, and what it has cut out of them.
///
/// It is what the device's own report says, to the byte, if it was told of every plan that was ever on the device:
/// the numbers of blocks that are gone are used again, and blocks are searched in the order of their numbers. Two
/// things are not determined once plans have been given back, and may differ: of holes of one size the allocator takes
/// one by chance; and where a kind of memory is empty, it keeps of several blocks the one that became empty last, by
/// the order in which wgpu lets go of buffers. No kind is empty that wgpu has buffers of its own in, as the device's is
/// and a software adapter's only one.
///
/// It is wrong where `WGPU_VALIDATION_INDIRECT_CALL=0` leaves out one of wgpu's own buffers (24 B), where a driver
/// refused memory, and where something other than plans has buffers on the device.
#[derive(Clone, Debug)]
pub struct Blocks {
    memory: BufferMemory,
    /// By the number of the memory type.
    kinds: BTreeMap<u32, Kind>,
}

/// What a plan has taken, to be handed to [`Blocks::give_back`].
#[derive(Debug)]
#[must_use]
pub struct Taken(Vec<Piece>);

/// A buffer: its memory type, its block, and the offset of its chunk.
type Piece = (MemoryKind, usize, u64);

impl Blocks {
    /// What wgpu has taken of a device that was just opened.
    pub fn of_fresh_device(memory: BufferMemory) -> Self {
        let mut blocks = Self { memory, kinds: BTreeMap::new() };
        let BufferMemory { device, upload, align, uniform_align, uniform_size_align, .. } = memory;
        blocks.buffer(device, ZEROS_BYTES, align);
        blocks.buffer_of(device, UNIFORM_BYTES, uniform_align, uniform_size_align);
        blocks.buffer(device, CHECKED_BYTES, align);
        // By way of this the parameters get there; it is gone after the first submission, its block is not.
        let staging = blocks.buffer(upload, UNIFORM_BYTES, align);
        blocks.free(staging);
        blocks
    }

    /// Takes the buffers of `plan`, in the order in which an engine makes them.
    pub fn take(&mut self, plan: &Plan) -> Taken {
        let BufferMemory { device, upload, readback, align, size_align, .. } = self.memory;
        let BufferMemory { uniform_align, uniform_size_align, .. } = self.memory;
        let Staging { upload_bytes, readback_bytes } = plan.staging;
        let rings = [(upload, upload_bytes), (readback, readback_bytes)];
        let buffers = plan.arenas.iter().filter(|arena| arena.role != Role::Texture);
        let arenas = buffers.map(|arena| match arena.role {
            Role::Uniforms => (device, arena.bytes, uniform_align, uniform_size_align),
            _ => (device, arena.bytes, align, size_align),
        });
        let staging = rings
            .into_iter()
            .flat_map(|(kind, bytes)| (0..Staging::RING).map(move |_| (kind, bytes, align, size_align)));
        // Of a software adapter's texture whole rows lie as a buffer does.
        let texture = plan.texture.arena.map(|_| (device, plan.texture.bytes(), align, size_align));
        let all = arenas.chain(staging).chain(texture);
        Taken(all.map(|(kind, bytes, align, size_align)| self.buffer_of(kind, bytes, align, size_align)).collect())
    }

    /// Gives back what a plan has taken, in the same order.
    pub fn give_back(&mut self, taken: Taken) {
        taken.0.into_iter().for_each(|piece| self.free(piece));
    }

    /// Bytes handed out, with what was lost to padding in front of them.
    pub fn allocated_bytes(&self) -> u64 {
        self.blocks().flat_map(|block| block.taken.values()).fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Bytes taken from the driver.
    pub fn reserved_bytes(&self) -> u64 {
        self.blocks().fold(0, |sum, block| sum.saturating_add(block.bytes))
    }

    /// Bytes of each block, and of each buffer that has none, the smallest first.
    pub fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<_> = self.blocks().map(|block| block.bytes).collect();
        sizes.sort_unstable();
        sizes
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.kinds.values().flat_map(|kind| kind.blocks.values())
    }

    /// Finds room for a buffer.
    fn buffer(&mut self, of: MemoryKind, bytes: u64, align: u64) -> Piece {
        self.buffer_of(of, bytes, align, self.memory.size_align)
    }

    /// The same for one that the driver rounds in its own way.
    fn buffer_of(&mut self, of: MemoryKind, bytes: u64, align: u64, size_align: u64) -> Piece {
        // wgpu makes buffers of whole words and none of nothing, and the driver may round further.
        let bytes = rounded(rounded(bytes.max(1), 4), size_align);
        let kind = self.kinds.entry(of.memory_type).or_default();
        let (block, offset) = kind.take(bytes, align, if of.host_visible { HOST_BLOCKS } else { DEVICE_BLOCKS });
        (of, block, offset)
    }

    fn free(&mut self, (of, block, offset): Piece) {
        self.kinds.entry(of.memory_type).or_default().free(block, offset);
    }
}

/// The memory of one type.
#[derive(Clone, Debug, Default)]
struct Kind {
    /// By their number, which a later block takes over once one is gone.
    blocks: BTreeMap<usize, Block>,
    /// Those of them that hold many buffers.
    shared: BTreeSet<usize>,
    /// Numbers below the highest ever used that no block has.
    unused: BTreeSet<usize>,
}

impl Kind {
    fn take(&mut self, bytes: u64, align: u64, [first, most]: [u64; 2]) -> (usize, u64) {
        // Each block is twice as large as the one before it.
        let next_bytes =
            first.checked_shl(u32::try_from(self.shared.len().min(7)).unwrap_or(7)).unwrap_or(most).min(most);
        if bytes > next_bytes {
            let number = self.number(self.unused.first().copied());
            let alone = Block { bytes, free: BTreeMap::new(), taken: BTreeMap::from([(0, bytes)]) };
            self.blocks.insert(number, alone);
            return (number, 0);
        }
        for number in self.shared.iter().rev() {
            let block = self.blocks.get_mut(number).expect("a shared block is a block");
            if let Some(offset) = block.take(bytes, align) {
                return (*number, offset);
            }
        }
        let number = self.number(self.unused.last().copied());
        let mut block = Block { bytes: next_bytes, free: BTreeMap::from([(0, next_bytes)]), taken: BTreeMap::new() };
        let offset = block.take(bytes, align).expect("a block has room for what it was made for");
        self.blocks.insert(number, block);
        self.shared.insert(number);
        (number, offset)
    }

    /// The number `unused`, used from now on, or else a new one.
    fn number(&mut self, unused: Option<usize>) -> usize {
        unused.inspect(|number| _ = self.unused.remove(number)).unwrap_or(self.blocks.len())
    }

    fn free(&mut self, number: usize, offset: u64) {
        let block = self.blocks.get_mut(&number).expect("what was taken lies in a block");
        block.free(offset);
        let is_shared = self.shared.contains(&number);
        // The last shared block stays for what may come.
        if block.taken.is_empty() && (!is_shared || self.shared.len() > 1) {
            self.blocks.remove(&number);
            self.shared.remove(&number);
            self.unused.insert(number);
        }
    }
}

/// What was taken from the driver at once. Its chunks, bytes by offset, cover it, and no two free ones meet.
#[derive(Clone, Debug)]
struct Block {
    bytes: u64,
    free: BTreeMap<u64, u64>,
    taken: BTreeMap<u64, u64>,
}

impl Block {
    /// Takes the smallest free chunk that has room for `bytes` at an aligned place; the chunk begins where the free
    /// one began.
    fn take(&mut self, bytes: u64, align: u64) -> Option<u64> {
        let needs = |offset: u64| rounded(offset, align) - offset + bytes;
        let fits = self.free.iter().filter(|&(&offset, &room)| needs(offset) <= room);
        let (offset, room) = fits.min_by_key(|(_, room)| **room).map(|(offset, room)| (*offset, *room))?;
        let needs = needs(offset);
        self.free.remove(&offset);
        if room > needs {
            self.free.insert(offset + needs, room - needs);
        }
        self.taken.insert(offset, needs);
        Some(offset)
    }

    /// Frees the chunk at `offset`, and joins it to the free ones beside it.
    fn free(&mut self, offset: u64) {
        let bytes = self.taken.remove(&offset).expect("what is freed was taken");
        let (mut start, mut end) = (offset, offset + bytes);
        if let Some(after) = self.free.remove(&end) {
            end += after;
        }
        if let Some((&before, _)) = self.free.range(..offset).next_back().filter(|&(at, room)| at + room == offset) {
            start = before;
        }
        self.free.insert(start, end - start);
    }
}

/// `bytes` up to a multiple of `align`, or to the most there is.
fn rounded(bytes: u64, align: u64) -> u64 {
    bytes.div_ceil(align).saturating_mul(align)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIKE: BufferMemory = BufferMemory {
        device: MemoryKind { memory_type: 0, host_visible: true },
        upload: MemoryKind { memory_type: 0, host_visible: true },
        readback: MemoryKind { memory_type: 0, host_visible: true },
        align: 64,
        uniform_align: 64,
        size_align: 4,
        uniform_size_align: 4,
    };

    /// A card with memory of its own.
    const APART: BufferMemory = BufferMemory {
        device: MemoryKind { memory_type: 1, host_visible: false },
        upload: MemoryKind { memory_type: 2, host_visible: true },
        readback: MemoryKind { memory_type: 0, host_visible: true },
        ..ALIKE
    };

    impl Blocks {
        fn take_on_device(&mut self, bytes: u64) -> Taken {
            Taken(vec![self.buffer(self.memory.device, bytes, self.memory.align)])
        }
    }

    #[test]
    fn a_fresh_device_has_a_block_of_each_kind_that_wgpu_has_used() {
        let alike = Blocks::of_fresh_device(ALIKE);
        // The third buffer has 48 B in front of it, to begin at a multiple of 64.
        assert_eq!((alike.allocated_bytes(), alike.sizes()), (512 * KIB + 208 + 24 + 48, vec![4 * MIB]));
        let apart = Blocks::of_fresh_device(APART);
        assert_eq!((apart.allocated_bytes(), apart.sizes()), (alike.allocated_bytes(), vec![4 * MIB, 8 * MIB]));
    }

    #[test]
    fn each_block_is_twice_the_one_before_and_what_is_larger_lies_alone() {
        let mut blocks = Blocks::of_fresh_device(ALIKE);
        let grown: Vec<u64> = (0..5)
            .map(|at| {
                let _taken = blocks.take_on_device((4 * MIB) << at.min(3));
                *blocks.sizes().last().unwrap()
            })
            .collect();
        assert_eq!(grown, [8, 16, 32, 32, 32].map(|mib| mib * MIB));
        let _alone = blocks.take_on_device(32 * MIB + 4);
        assert_eq!(blocks.sizes().last(), Some(&(32 * MIB + 4)));
    }

    #[test]
    fn what_is_given_back_is_as_if_it_had_never_been() {
        for memory in [ALIKE, APART] {
            let mut blocks = Blocks::of_fresh_device(memory);
            let fresh = (blocks.allocated_bytes(), blocks.sizes());
            let taken: Vec<_> = [100, 5 * MIB, 7, 300 * MIB, 4 * MIB].map(|b| blocks.take_on_device(b)).into();
            assert_ne!((blocks.allocated_bytes(), blocks.sizes()), fresh);
            let (odd, even): (Vec<_>, Vec<_>) = (0..).zip(taken).partition(|(at, _)| at % 2 == 1);
            odd.into_iter().chain(even).for_each(|(_, taken)| blocks.give_back(taken));
            assert_eq!((blocks.allocated_bytes(), blocks.sizes()), fresh);
        }
    }

    #[test]
    fn a_hole_is_filled_by_what_fits_it_best() {
        let mut blocks = Blocks::of_fresh_device(ALIKE);
        let [small, _between, large, _after] = [4 * KIB, 64, 64 * KIB, 64].map(|bytes| blocks.take_on_device(bytes));
        blocks.give_back(small);
        blocks.give_back(large);
        let before = blocks.kinds[&0].blocks[&0].free.clone();
        let _taken = blocks.take_on_device(3 * KIB);
        let after = &blocks.kinds[&0].blocks[&0].free;
        let changed: Vec<_> = before.iter().filter(|(at, room)| after.get(at) != Some(room)).collect();
        assert_eq!(changed.len(), 1);
        assert!(*changed[0].1 < 5 * KIB, "the smaller hole: {changed:?}");
    }

    #[test]
    fn a_plan_of_impossible_size_is_told_as_it_is() {
        let mut blocks = Blocks::of_fresh_device(ALIKE);
        let _taken = [u64::MAX, u64::MAX - 3, 0].map(|bytes| blocks.take_on_device(bytes));
        assert_eq!(blocks.reserved_bytes(), u64::MAX);
    }

    #[test]
    fn a_plans_uniforms_are_placed_as_uniforms_are() {
        let mut target = crate::target::Target::profile("lavapipe").unwrap();
        target.limits.max_immediate_size = 0;
        let model = crate::nn::Model::new().linear(3).output();
        let training = crate::training::Training::new(model, crate::nn::Task::regression(2, 1), 4);
        let plan = training.plan(&target).unwrap().plan;
        let allocated = |uniform_align, uniform_size_align| {
            let memory = BufferMemory { align: 4, uniform_align, uniform_size_align, ..APART };
            let (fresh, mut blocks) = (Blocks::of_fresh_device(memory), Blocks::of_fresh_device(memory));
            let _taken = blocks.take(&plan);
            blocks.allocated_bytes() - fresh.allocated_bytes()
        };
        assert_eq!(allocated(4, 4), plan.planned_bytes());
        let rounded = plan.uniforms.bytes().next_multiple_of(4096);
        assert_eq!(allocated(4, 4096), plan.planned_bytes() - plan.uniforms.bytes() + rounded);
        assert!(allocated(1 << 16, 4) > plan.planned_bytes(), "padding in front of it");
    }

    #[test]
    fn uniforms_are_rounded_in_a_way_of_their_own() {
        let allocated = |size_align, uniform_size_align| {
            // Without padding in front of any.
            let memory = BufferMemory { align: 4, uniform_align: 4, size_align, uniform_size_align, ..APART };
            Blocks::of_fresh_device(memory).allocated_bytes()
        };
        let plain = allocated(4, 4);
        assert_eq!(plain, ZEROS_BYTES + UNIFORM_BYTES + CHECKED_BYTES);
        assert_eq!(allocated(4, 256), plain - UNIFORM_BYTES + 256);
        assert_eq!(allocated(64, 4), plain - CHECKED_BYTES + 64);
    }
}
