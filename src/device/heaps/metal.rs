//! Metal's working set: how much of the memory the system would have a device use.

use objc2_metal::MTLDevice as _;

use super::Told;

/// What Metal says of the device's memory. Of other processes it says nothing: the set is the same whatever they have.
#[allow(unsafe_code, reason = "Metal's own query, which wgpu does not pass on")]
pub(super) fn memory(adapter: &wgpu::Adapter) -> Option<Told> {
    // SAFETY: the guard is only read from, is dropped before `adapter`, and nothing is destroyed.
    let metal = unsafe { adapter.as_hal::<wgpu::hal::api::Metal>() }?;
    let device = metal.raw_device();
    // Both are of macOS 10.13, as the least that wgpu runs on.
    let set = device.recommendedMaxWorkingSetSize();
    Some(Told { bytes: set, budget: set, used: device.currentAllocatedSize() as u64 })
}
