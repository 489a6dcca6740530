//! How much memory an adapter has; the one place of the project with `unsafe` in it.
//!
//! wgpu has no query for it. On Vulkan the driver tells its heaps; on a software adapter device
//! memory is the host's; on DX12, Metal and OpenGL nothing is told, and a run's `memory` budget
//! is the user's to set.

/// Bytes the adapter offers, where something tells.
pub(super) fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // A software adapter's heap is a made-up number: it never refuses, the host does.
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        return host_memory();
    }
    largest_local_heap(adapter)
}

/// What is available now, as Linux tells it, and no more than the process's group may have.
fn host_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|t| t.trim().parse().ok());
    Some((kibibytes * 1024).min(limit.unwrap_or(u64::MAX)))
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
