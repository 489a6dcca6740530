//! Vulkan's heaps, and how its driver wants buffers placed.

use ash::vk::{self, BufferUsageFlags as Usage, MemoryPropertyFlags as Flags};

use super::Told;
use crate::target::{BufferMemory, MemoryKind};

/// The largest Vulkan heap that is the device's own: its size, and what the driver says of this process and it
/// (`VK_EXT_memory_budget`), where it says so.
#[allow(unsafe_code, reason = "the driver's own query, which wgpu does not pass on")]
pub(super) fn memory(adapter: &wgpu::Adapter) -> Option<Told> {
    // SAFETY: the guard is only read from, is dropped before `adapter`, and nothing is destroyed.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = vulkan.shared_instance().raw_instance();
    let (of_instance, device) =
        (vulkan.shared_instance().instance_api_version(), vulkan.physical_device_capabilities());
    if of_instance.min(device.properties().api_version) < vk::API_VERSION_1_1 {
        // SAFETY: the physical device is of this very instance, and both are alive while `vulkan` is.
        let properties = unsafe { instance.get_physical_device_memory_properties(vulkan.raw_physical_device()) };
        return largest(properties.memory_heaps_as_slice(), None);
    }
    let tells = device.supports_extension(ash::ext::memory_budget::NAME);
    let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut properties = vk::PhysicalDeviceMemoryProperties2::default();
    if tells {
        properties = properties.push_next(&mut budget);
    }
    // SAFETY: as above; the call is of Vulkan 1.1, and what hangs on its answer is of an extension that is there.
    unsafe { instance.get_physical_device_memory_properties2(vulkan.raw_physical_device(), &mut properties) };
    let heaps = properties.memory_properties;
    largest(heaps.memory_heaps_as_slice(), tells.then_some([&budget.heap_budget, &budget.heap_usage]))
}

/// The largest of these heaps that is the device's own, beside this process's budget and usage of each.
fn largest(heaps: &[vk::MemoryHeap], of_process: Option<[&[u64]; 2]>) -> Option<Told> {
    let own = heaps.iter().enumerate().filter(|(_, h)| h.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
    let (at, heap) = own.max_by_key(|(_, heap)| heap.size)?;
    let [budget, used] = of_process.map_or([0; 2], |all| all.map(|each| each.get(at).copied().unwrap_or(0)));
    Some(Told { bytes: heap.size, budget, used })
}

#[allow(unsafe_code, reason = "the driver's own query, which wgpu does not pass on")]
pub(super) fn buffers(device: &wgpu::Device) -> Option<BufferMemory> {
    // SAFETY: the guard is only read from, is dropped before `device`, and what is destroyed was made here.
    let vulkan = unsafe { device.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let (instance, raw) = (vulkan.shared_instance().raw_instance(), vulkan.raw_device());
    // SAFETY: the physical device is of this very instance, and both are alive while `vulkan` is.
    let properties = unsafe { instance.get_physical_device_memory_properties(vulkan.raw_physical_device()) };
    let types: Vec<_> = properties.memory_types_as_slice().iter().map(|t| t.property_flags).collect();
    placed(&types, |usage, bytes| {
        let description = vk::BufferCreateInfo::default().size(bytes).usage(usage);
        // SAFETY: the buffer has no memory, is used for the one question, and is destroyed right after it.
        unsafe {
            let buffer = raw.create_buffer(&description, None).ok()?;
            let wants = raw.get_buffer_memory_requirements(buffer);
            raw.destroy_buffer(buffer, None);
            Some(wants)
        }
    })
}

/// Sizes that are asked for: some are round and some are not, and the last is larger than a block.
const SIZES: [u64; 7] = [4, 32, 44, 256, 4_100, 65_552, (96 << 20) + 4];

/// How a driver with memories of these `types` places buffers, by what it `wants` for a usage and a size; `None`
/// where a plan's buffers and wgpu's own follow no common rule.
fn placed(
    types: &[Flags],
    mut wants: impl FnMut(Usage, u64) -> Option<vk::MemoryRequirements>,
) -> Option<BufferMemory> {
    let (source, target) = (Usage::TRANSFER_SRC, Usage::TRANSFER_DST);
    let host = Flags::HOST_VISIBLE | Flags::HOST_COHERENT;
    let on_device = [Flags::DEVICE_LOCAL, Flags::DEVICE_LOCAL];
    let (written, read) = ([host | Flags::DEVICE_LOCAL, host], [host | Flags::HOST_CACHED, host]);
    let mut ask = |usage, wish| rule(types, wish, |bytes| wants(usage, bytes));
    // What plans bind and what wgpu clears by, and what it has indirect dispatches checked in.
    let device = ask(source | target | Usage::STORAGE_BUFFER, on_device)?;
    let alike = [ask(source | target, on_device)?, ask(Usage::INDIRECT_BUFFER | Usage::STORAGE_BUFFER, on_device)?];
    let uniform = ask(target | Usage::UNIFORM_BUFFER, on_device)?;
    let upload = ask(source | target, written)?;
    let staging = ask(source, written)?;
    let readback = ask(target, read)?;
    let (align, size_align) = (device.align, device.size_align);
    let plain = |rule: &Rule| rule.align == align && rule.size_align == size_align;
    let is_plain = alike.iter().all(|rule| *rule == device)
        && uniform.kind == device.kind
        && staging == upload
        && plain(&upload)
        && plain(&readback);
    if !is_plain {
        tracing::debug!(?device, ?alike, ?uniform, ?upload, ?staging, ?readback, "buffers follow no common rule");
    }
    is_plain.then_some(BufferMemory {
        device: device.kind,
        upload: upload.kind,
        readback: readback.kind,
        align,
        uniform_align: uniform.align,
        size_align,
        uniform_size_align: uniform.size_align,
    })
}

/// How buffers of one usage are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    kind: MemoryKind,
    align: u64,
    size_align: u64,
}

/// The rule behind what a driver `wants` for each of [`SIZES`], if there is one for all.
fn rule(
    types: &[Flags],
    wish: [Flags; 2],
    mut wants: impl FnMut(u64) -> Option<vk::MemoryRequirements>,
) -> Option<Rule> {
    let all: Vec<_> = SIZES.iter().map(|&bytes| wants(bytes)).collect::<Option<_>>()?;
    let (allowed, align) = (all[0].memory_type_bits, all[0].alignment);
    let told = || all.iter().map(|wants| (wants.size, wants.alignment, wants.memory_type_bits)).collect::<Vec<_>>();
    let rounds_to = |to: u64| all.iter().zip(SIZES).all(|(wants, bytes)| wants.size == bytes.next_multiple_of(to));
    let Some(size_align) = (2..=16).map(|bits| 1 << bits).find(|&to| rounds_to(to)) else {
        tracing::debug!(asked = ?SIZES, told = ?told(), "sizes of buffers follow no plain rule");
        return None;
    };
    let same = all.iter().all(|wants| (wants.memory_type_bits, wants.alignment) == (allowed, align));
    let kind = choose(types, allowed, wish)?;
    if !same {
        tracing::debug!(asked = ?SIZES, told = ?told(), "places of buffers follow no plain rule");
    }
    same.then_some(Rule { kind, align, size_align })
}

/// The memory type that wgpu's allocator takes: the first that is allowed and has all that is wished for, or else
/// all of the second wish.
fn choose(types: &[Flags], allowed: u32, wishes: [Flags; 2]) -> Option<MemoryKind> {
    // wgpu leaves out types with properties that it does not know.
    let known =
        Flags::DEVICE_LOCAL | Flags::HOST_VISIBLE | Flags::HOST_COHERENT | Flags::HOST_CACHED | Flags::LAZILY_ALLOCATED;
    let usable = |number: u32, flags: Flags| known.contains(flags) && allowed & (1 << number) != 0;
    let find = |wish| (0..).zip(types).find(|(number, flags)| usable(*number, **flags) && flags.contains(wish));
    let (memory_type, flags) = wishes.into_iter().find_map(find)?;
    Some(MemoryKind { memory_type, host_visible: flags.contains(Flags::HOST_VISIBLE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Flags = Flags::from_raw(Flags::HOST_VISIBLE.as_raw() | Flags::HOST_COHERENT.as_raw());

    fn kind(memory_type: u32, host_visible: bool) -> MemoryKind {
        MemoryKind { memory_type, host_visible }
    }

    #[test]
    fn the_memory_is_the_largest_heap_of_the_device_with_its_own_budget_and_usage() {
        let heap = |size, flags| vk::MemoryHeap { size, flags };
        let own = vk::MemoryHeapFlags::DEVICE_LOCAL;
        let heaps = [heap(900, vk::MemoryHeapFlags::empty()), heap(200, own), heap(600, own)];
        let told = |budget, used| Some(Told { bytes: 600, budget, used });
        assert_eq!(largest(&heaps, None), told(0, 0));
        assert_eq!(largest(&heaps, Some([&[900, 200, 450], &[1, 2, 3]])), told(450, 3));
        assert_eq!(largest(&heaps, Some([&[900], &[]])), told(0, 0));
        assert_eq!(largest(&heaps[..1], Some([&[900], &[1]])), None);
    }

    /// A driver that places all buffers alike, but for what `change` makes of its wants.
    fn driver(types: &[Flags], change: impl Fn(Usage, &mut vk::MemoryRequirements)) -> Option<BufferMemory> {
        placed(types, |usage, bytes| {
            let size = bytes.next_multiple_of(16);
            let mut wants = vk::MemoryRequirements { size, alignment: 32, memory_type_bits: u32::MAX };
            change(usage, &mut wants);
            Some(wants)
        })
    }

    #[test]
    fn a_card_with_memory_of_its_own_has_three_kinds() {
        // As of a card of which the host sees a part: system, local, cached, and the part.
        let types = [HOST, Flags::DEVICE_LOCAL, HOST | Flags::HOST_CACHED, HOST | Flags::DEVICE_LOCAL];
        let found = driver(&types, |_, _| ()).unwrap();
        let wanted = BufferMemory {
            device: kind(1, false),
            upload: kind(3, true),
            readback: kind(2, true),
            align: 32,
            uniform_align: 32,
            size_align: 16,
            uniform_size_align: 16,
        };
        assert_eq!(found, wanted);
        // Without such a part uploads go to the host's memory, and so does what is read where none is cached.
        let found = driver(&types[..2], |_, _| ()).unwrap();
        assert_eq!((found.device, found.upload, found.readback), (kind(1, false), kind(0, true), kind(0, true)));
    }

    #[test]
    fn types_that_wgpu_does_not_know_or_the_driver_forbids_are_passed_over() {
        let protected = Flags::DEVICE_LOCAL | Flags::PROTECTED;
        let types = [protected, Flags::DEVICE_LOCAL, Flags::DEVICE_LOCAL | HOST];
        assert_eq!(driver(&types, |_, _| ()).unwrap().device, kind(1, false));
        let second = |_, wants: &mut vk::MemoryRequirements| wants.memory_type_bits = 0b101;
        assert_eq!(driver(&types, second).unwrap().device, kind(2, true));
        assert_eq!(driver(&types[..1], |_, _| ()), None);
    }

    #[test]
    fn a_driver_that_follows_no_common_rule_is_not_guessed_at() {
        let types = [Flags::DEVICE_LOCAL | HOST];
        let uniforms = |usage: Usage, wants: &mut vk::MemoryRequirements| {
            if usage.contains(Usage::UNIFORM_BUFFER) {
                (wants.alignment, wants.size) = (256, wants.size.next_multiple_of(64));
            }
        };
        // As an NVIDIA card does.
        let found = driver(&types, uniforms).unwrap();
        assert_eq!([found.align, found.uniform_align], [32, 256]);
        assert_eq!([found.size_align, found.uniform_size_align], [16, 64]);
        let storage = |usage: Usage, wants: &mut vk::MemoryRequirements| {
            wants.alignment = if usage.contains(Usage::STORAGE_BUFFER) { 256 } else { 32 };
        };
        assert_eq!(driver(&types, storage), None, "two alignments among a plan's buffers");
        let large = |_, wants: &mut vk::MemoryRequirements| {
            wants.alignment = if wants.size > 1 << 20 { 65_536 } else { 32 };
        };
        assert_eq!(driver(&types, large), None, "an alignment that depends on the size");
        assert_eq!(driver(&types, |_, wants| wants.size += 16), None, "sizes that are not rounded, but added to");
    }
}
