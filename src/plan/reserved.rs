//! What the driver will reserve for a plan, beside what the plan asks for; known before the run.
//!
//! wgpu asks the driver for whole blocks and cuts buffers out of them; one that is larger than the next block
//! would be is asked for by itself. [`Blocks`] does the same on numbers alone.
//!
//! ```text
//! planned    | parameters | gradients | activations                  | up up | back back |
//! allocated  wgpu's own + | parameters | gradients . | activations . | up up | back back |   . is padding
//! reserved   [ block of 4 MiB ................. ][ activations, alone ][ block of 8 MiB .............. ]
//! ```

mod blocks;

use serde::Serialize;

use super::Plan;

pub use blocks::{Blocks, Taken};

/// What a plan takes of a device that nothing else runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reserved {
    /// Bytes that the plan asks for.
    pub planned_bytes: u64,
    /// Bytes that wgpu's allocator hands out: what is planned, rounded and padded, and wgpu's own buffers.
    pub allocated_bytes: u64,
    /// Bytes that it takes from the driver for these.
    pub reserved_bytes: u64,
    /// Bytes of what it takes, piece by piece, the smallest first.
    pub blocks: Vec<u64>,
}

impl Plan {
    /// What the driver will reserve for this plan on a device that was just opened.
    ///
    /// `None` where the target does not tell how its driver places buffers
    /// ([`Target::buffer_memory`](crate::target::Target::buffer_memory)): on every backend but Vulkan. Where other
    /// plans are on the device, or have been, [`Blocks`] tells; there stands too how exact this is.
    pub fn reserved(&self) -> Option<Reserved> {
        let mut blocks = Blocks::of_fresh_device(self.target.buffer_memory?);
        let _taken = blocks.take(self);
        Some(Reserved {
            planned_bytes: self.planned_bytes(),
            allocated_bytes: blocks.allocated_bytes(),
            reserved_bytes: blocks.reserved_bytes(),
            blocks: blocks.sizes(),
        })
    }
}
