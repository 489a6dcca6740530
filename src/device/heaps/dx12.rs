//! DXGI's video memory: a card's own, or the host's that it shares, and the budget that Windows gives this process.
//!
//! No type of DXGI is named here: all come with wgpu's own adapter, and with no crate beside it.

use super::Told;

/// What DXGI says of the memory in which the adapter works best.
#[allow(unsafe_code, reason = "DXGI's own query, which wgpu does not pass on")]
pub(super) fn memory(adapter: &wgpu::Adapter) -> Option<Told> {
    // SAFETY: the guard is only read from, is dropped before `adapter`, and nothing is destroyed.
    let dx12 = unsafe { adapter.as_hal::<wgpu::hal::api::Dx12>() }?;
    let dxgi = dx12.raw_adapter();
    // SAFETY: a query of an adapter that is alive while `dx12` is; it writes to its own result alone.
    let described = unsafe { dxgi.GetDesc2() }.ok()?;
    let shares = adapter.get_info().device_type != wgpu::DeviceType::DiscreteGpu;
    let bytes = Told::of_dxgi(described.DedicatedVideoMemory as u64, described.SharedSystemMemory as u64, shares);
    // The group that is a default is the one of number 0, `DXGI_MEMORY_SEGMENT_GROUP_LOCAL`: where memory is fastest.
    let local = Default::default();
    let Ok(of_process) = dxgi.query_video_memory_info(local) else { return Some(Told { bytes, budget: 0, used: 0 }) };
    Some(Told { bytes, budget: of_process.Budget, used: of_process.CurrentUsage })
}
