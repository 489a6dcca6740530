//! How much memory an adapter has; the one place of the project with `unsafe` in it.
//!
//! wgpu has no query for it. On Vulkan the driver tells its heaps; on a software adapter device
//! memory is the host's; on DX12, Metal and OpenGL nothing is told, and a run's `memory` budget
//! is the user's to set.

/// Bytes the adapter offers, where something tells.
pub(super) fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // A software adapter's heap is a made-up number: it never refuses, the host does.
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return crate::memory::available().map(|available| available.bytes);
    }
    largest_local_heap(adapter)
}

/// The size of the largest Vulkan heap that is the device's own.
#[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
#[allow(unsafe_code, reason = "the driver's own query, which wgpu does not pass on")]
fn largest_local_heap(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the guard is only read from, is dropped before `adapter`, and nothing is destroyed.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = vulkan.shared_instance().raw_instance();
    // SAFETY: the physical device is of this very instance, and both are alive while `vulkan` is.
    let properties = unsafe { instance.get_physical_device_memory_properties(vulkan.raw_physical_device()) };
    let count = usize::try_from(properties.memory_heap_count).ok()?;
    let heaps = properties.memory_heaps.iter().take(count);
    heaps.filter(|h| h.flags.as_raw() & DEVICE_LOCAL != 0).map(|h| h.size).max()
}

#[cfg(any(target_vendor = "apple", target_family = "wasm"))]
fn largest_local_heap(_: &wgpu::Adapter) -> Option<u64> {
    None
}
