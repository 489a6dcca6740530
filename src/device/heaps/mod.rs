//! What a driver or its system tells of a device's memory, and wgpu does not pass on; beside `trust.rs` the one place of
//! the project with `unsafe` in it.
//!
//! ```text
//!                  memory                                   left of it for this process
//! Vulkan           the largest heap that is the device's    heap budget - heap usage, of VK_EXT_memory_budget
//! DX12             dedicated, or shared with the host       DXGI's budget - current usage
//! Metal (macOS)    the recommended working set              the same - what the device has allocated
//! software         what the host has left                   what the process's limits leave, if that is less
//! OpenGL           -                                        -
//! ```
//!
//! Where nothing is told, a run's `memory` budget is the user's to set. Once a Vulkan device is open, its driver also
//! tells how it wants buffers placed. The figures of Vulkan were seen on devices; what asks DX12 and Metal is
//! compiled (`make targets`) and was not run.

#[cfg(windows)]
mod dx12;
#[cfg(target_os = "macos")]
mod metal;
#[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
mod vulkan;

use crate::target::BufferMemory;

/// An adapter's memory, as far as something tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Bytes that it offers.
    pub bytes: Option<u64>,
    /// Bytes of it that this process may have at the moment, beside what it has already.
    pub left: Option<u64>,
}

/// What a driver or its system says of a device's memory, before anyone believes it. Nothing said is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// Bytes of the memory.
    bytes: u64,
    /// Bytes of it that this process may have in all.
    budget: u64,
    /// Bytes of it that this process has already.
    used: u64,
}

/// No memory has as many bytes. Who says so means that there is no limit, or cannot count.
const PAST_ALL_MEMORY: u64 = 1 << 60;

impl Told {
    /// Bytes of the memory of a DXGI adapter, which may have `dedicated` memory and `shares` the host's or does not. One
    /// that shares has what the firmware set aside for it as well as what it may take of the host's; a card's share of
    /// the host's lies behind a bus and is no place for a plan, unless it has nothing else.
    #[cfg(any(windows, test))]
    fn of_dxgi(dedicated: u64, shared: u64, shares: bool) -> u64 {
        let counted = |bytes: u64| if bytes < PAST_ALL_MEMORY { bytes } else { 0 };
        let (dedicated, shared) = (counted(dedicated), counted(shared));
        if shares || dedicated == 0 { dedicated + shared } else { dedicated }
    }

    /// What of it can be. `host` is the host's memory as a whole, for a device that has no other.
    ///
    /// No device has more memory than the host whose memory it is, and no process more than there is: both are
    /// cut. A usage that is more than there is says nothing. One past the budget is told by systems that took back
    /// some of it, and leaves nothing.
    fn believed(self, host: Option<u64>) -> Memory {
        let said = |bytes: u64| Some(bytes).filter(|bytes| (1..PAST_ALL_MEMORY).contains(bytes));
        let bytes = said(self.bytes).map(|bytes| bytes.min(host.unwrap_or(bytes)));
        let budget = match bytes {
            Some(bytes) => Some(self.budget.min(bytes)).filter(|budget| *budget > 0),
            None => said(self.budget).map(|budget| budget.min(host.unwrap_or(budget))),
        };
        let used = if self.used <= bytes.unwrap_or(PAST_ALL_MEMORY) { self.used } else { 0 };
        Memory { bytes, left: budget.map(|budget| budget.saturating_sub(used)) }
    }
}

/// What the adapter offers.
pub(super) fn memory(adapter: &wgpu::Adapter) -> Memory {
    let info = adapter.get_info();
    let told = told(adapter);
    tracing::debug!(adapter = info.name, ?told, "what is told of its memory");
    match info.device_type {
        // A software adapter's heap is a made-up number: it never refuses, the host does. DXGI's are the system's.
        wgpu::DeviceType::Cpu => {
            let [free, limited] = [crate::memory::free(), crate::memory::limited()].map(|told| told.map(|t| t.bytes));
            match told.filter(|_| info.backend == wgpu::Backend::Dx12 && free.is_none()) {
                Some(told) => told.believed(None),
                None => of_host(free, limited),
            }
        }
        wgpu::DeviceType::IntegratedGpu => {
            told.map_or_else(Memory::default, |told| told.believed(crate::memory::installed()))
        }
        _ => told.map_or_else(Memory::default, |told| told.believed(None)),
    }
}

/// What a software adapter may take of the host, which has so much `free` and lets this process have as much as its
/// limits leave.
fn of_host(free: Option<u64>, limited: Option<u64>) -> Memory {
    Memory { bytes: free, left: limited.filter(|limited| free.is_none_or(|free| *limited < free)) }
}

/// What the adapter's own interface says.
fn told(adapter: &wgpu::Adapter) -> Option<Told> {
    match adapter.get_info().backend {
        #[cfg(windows)]
        wgpu::Backend::Dx12 => dx12::memory(adapter),
        #[cfg(target_os = "macos")]
        wgpu::Backend::Metal => metal::memory(adapter),
        #[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
        wgpu::Backend::Vulkan => vulkan::memory(adapter),
        _ => None,
    }
}

/// How the driver of an opened device wants buffers placed, where it tells and does so by a plain rule.
pub(super) fn buffers(device: &wgpu::Device) -> Option<BufferMemory> {
    #[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
    return vulkan::buffers(device);
    #[cfg(any(target_vendor = "apple", target_family = "wasm"))]
    {
        let _ = device;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Bytes and what is left of them, in MiB but for what is no whole number of them.
    fn believed([bytes, budget, used]: [u64; 3], host: Option<u64>) -> (Option<u64>, Option<u64>) {
        let Memory { bytes, left } = Told { bytes, budget, used }.believed(host);
        (bytes, left)
    }

    #[test]
    fn what_is_left_is_the_budget_less_what_this_process_has() {
        assert_eq!(believed([600, 450, 0], None), (Some(600), Some(450)));
        assert_eq!(believed([600, 450, 50], None), (Some(600), Some(400)));
        // Metal's, whose budget is the whole set.
        assert_eq!(believed([600, 600, 50], None), (Some(600), Some(550)));
        // All of it, and past it, as when another process came to the fore.
        assert_eq!(believed([600, 450, 450], None), (Some(600), Some(0)));
        assert_eq!(believed([600, 450, 500], None), (Some(600), Some(0)));
    }

    #[test]
    fn what_is_not_said_is_not_made_up() {
        assert_eq!(believed([0, 0, 0], None), (None, None));
        assert_eq!(believed([600, 0, 0], None), (Some(600), None));
        // Without a budget usage tells nothing, as others' is not known.
        assert_eq!(believed([600, 0, 50], None), (Some(600), None));
        assert_eq!(believed([0, 450, 50], None), (None, Some(400)));
    }

    #[test]
    fn what_no_driver_can_mean_is_cut_or_left_out() {
        // More than there is.
        assert_eq!(believed([600, 700, 50], None), (Some(600), Some(550)));
        assert_eq!(believed([600, u64::MAX, 50], None), (Some(600), Some(550)));
        assert_eq!(believed([600, 450, 601], None), (Some(600), Some(450)));
        assert_eq!(believed([600, 450, u64::MAX], None), (Some(600), Some(450)));
        // As much as there never is.
        assert_eq!(believed([u64::MAX, 450, 50], None), (None, Some(400)));
        assert_eq!(believed([u64::MAX; 3], None), (None, None));
        assert_eq!(believed([u64::MAX; 3], Some(900)), (None, None));
        assert_eq!(believed([0, 450, u64::MAX], None), (None, Some(450)));
    }

    #[test]
    fn a_device_without_memory_of_its_own_has_no_more_than_the_host() {
        assert_eq!(believed([600, 450, 50], Some(900)), (Some(600), Some(400)));
        assert_eq!(believed([600, 450, 50], Some(500)), (Some(500), Some(400)));
        assert_eq!(believed([600, 450, 50], Some(300)), (Some(300), Some(250)));
        assert_eq!(believed([0, 450, 50], Some(300)), (None, Some(250)));
    }

    #[test]
    fn dxgi_adapters_that_share_the_hosts_memory_have_it_and_cards_have_their_own() {
        let (own, set_aside, shared) = (8192 * MIB, 128 * MIB, 16384 * MIB);
        assert_eq!(Told::of_dxgi(own, shared, false), own);
        assert_eq!(Told::of_dxgi(set_aside, shared, true), set_aside + shared);
        assert_eq!(Told::of_dxgi(0, shared, true), shared);
        // A card that tells of no memory of its own, and figures that are none.
        assert_eq!(Told::of_dxgi(0, shared, false), shared);
        assert_eq!(Told::of_dxgi(u64::MAX, shared, false), shared);
        assert_eq!(Told::of_dxgi(own, u64::MAX, true), own);
        assert_eq!(Told::of_dxgi(u64::MAX, u64::MAX, true), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_software_adapter_has_what_the_host_has_left() {
        let adapters = crate::device::adapters().unwrap();
        let software = adapters.iter().filter(|a| a.target.device_kind == crate::target::DeviceKind::Cpu);
        for adapter in software {
            let installed = crate::memory::installed().unwrap();
            assert!(adapter.target.memory_bytes.is_some_and(|bytes| bytes > MIB && bytes < installed));
            let (free, left) = (adapter.target.memory_bytes.unwrap(), adapter.target.memory_left_bytes);
            assert!(left.is_none_or(|left| left < free && crate::memory::limited().is_some()), "{left:?} of {free}");
        }
    }

    #[test]
    fn a_limit_of_the_process_counts_beside_the_host_where_it_is_what_binds() {
        let of = |free, limited| {
            let Memory { bytes, left } = of_host(free, limited);
            (bytes, left)
        };
        assert_eq!(of(Some(4 * MIB), None), (Some(4 * MIB), None));
        assert_eq!(of(Some(4 * MIB), Some(MIB)), (Some(4 * MIB), Some(MIB)));
        assert_eq!(of(Some(4 * MIB), Some(0)), (Some(4 * MIB), Some(0)));
        assert_eq!(of(Some(4 * MIB), Some(4 * MIB)), (Some(4 * MIB), None));
        assert_eq!(of(None, Some(MIB)), (None, Some(MIB)));
        assert_eq!(of(None, None), (None, None));
    }
}
