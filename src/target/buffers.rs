//! How a driver wants buffers placed.

use serde::{Deserialize, Serialize};

/// Which of a device's memories a kind of buffer is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryKind {
    /// The memory type, as the driver numbers them; buffers of one type share blocks.
    pub memory_type: u32,
    /// Whether the host can see it, for which blocks are smaller.
    pub host_visible: bool,
}

/// How a driver wants buffers placed: what decides how much memory is taken from it for a plan
/// ([`Plan::reserved`](crate::plan::Plan::reserved)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BufferMemory {
    /// Where buffers go that only the device touches.
    pub device: MemoryKind,
    /// Where those go that the host writes.
    pub upload: MemoryKind,
    /// Where those go that the host reads.
    pub readback: MemoryKind,
    /// Every buffer starts at a multiple of this many bytes.
    pub align: u64,
    /// The same for those of uniforms, of which wgpu has one.
    pub uniform_align: u64,
    /// Every buffer is given a multiple of this many bytes.
    pub size_align: u64,
    /// The same for those of uniforms.
    pub uniform_size_align: u64,
}

impl BufferMemory {
    /// Refuses numbers no driver can have told.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, align) in [
            ("align", self.align),
            ("uniform_align", self.uniform_align),
            ("size_align", self.size_align),
            ("uniform_size_align", self.uniform_size_align),
        ] {
            if !align.is_power_of_two() || align > 1 << 20 {
                return Err(format!("buffer_memory.{name} is {align} and must be a power of two of at most 1048576"));
            }
        }
        for (a, b) in [(self.device, self.upload), (self.device, self.readback), (self.upload, self.readback)] {
            if a.memory_type == b.memory_type && a.host_visible != b.host_visible {
                return Err(format!("buffer_memory has memory type {} both host_visible and not", a.memory_type));
            }
        }
        Ok(())
    }
}
