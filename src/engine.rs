//! Something that can run a plan: the device, or the host as an oracle for tests.

use serde::Serialize;

use crate::ids::SlotId;
use crate::plan::Plan;

/// Why a plan could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The device could not give memory that the plan counts on.
    #[error(
        "the device refused {bytes} bytes for the {what}, having given {given}: {reason}; nothing of the run is left on it"
    )]
    OutOfMemory {
        /// Size of the buffer.
        bytes: u64,
        /// What it was for.
        what: &'static str,
        /// Bytes that it had given the plan before.
        given: u64,
        /// The driver's words.
        reason: String,
    },
    /// The device is gone: its driver was reset, it was unplugged, or a watchdog stopped it.
    #[error("the device was lost: {reason}")]
    Lost {
        /// The driver's words.
        reason: String,
    },
    /// wgpu rejected what it was given; a fault of the engine.
    #[error("the device rejected a command: {reason}")]
    Rejected {
        /// wgpu's words.
        reason: String,
    },
}

/// Bytes and buffers a device holds for a plan, as its own counters tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of all buffers, and of a texture.
    pub bytes: u64,
    /// How many there are, a texture being one more.
    pub buffers: u64,
}

/// What a device's allocator has given out, as its own report tells; for all that runs on the device, wgpu's own
/// buffers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drawn {
    /// Bytes handed out, rounded and padded.
    pub allocated_bytes: u64,
    /// Bytes taken from the driver for these.
    pub reserved_bytes: u64,
}

/// Looks at what a step's access has written, and says whether to go on.
pub type Look<'a> = dyn FnMut(usize, usize, &[u8]) -> bool + 'a;

/// Runs the programs of one plan. Commands take effect in order, at the latest at `submit`.
pub trait Engine {
    /// The plan that is run.
    fn plan(&self) -> &Plan;

    /// Writes `bytes` into copy `copy` of `slot`, `offset` bytes from its start.
    fn upload(&mut self, slot: SlotId, copy: u32, offset: u64, bytes: &[u8]) -> Result<(), EngineError>;

    /// Runs a program, by its position in the schedule, on the `copy`-th copies of its slots.
    fn run(&mut self, program: usize, copy: u32) -> Result<(), EngineError>;

    /// The same, with the nanoseconds of each of its dispatches; `None` where nothing tells them.
    fn profile(&mut self, program: usize, copy: u32) -> Result<Option<Vec<f64>>, EngineError> {
        self.run(program, copy)?;
        Ok(None)
    }

    /// The same, showing `look` what each dispatch has written: which step of the plan it is, which of its
    /// accesses, and the bytes. Ends where `look` wants no more.
    fn inspect(&mut self, program: usize, copy: u32, look: &mut Look<'_>) -> Result<(), EngineError>;

    /// Has the content of `slot`, as it is now, appear among the results.
    fn read(&mut self, slot: SlotId, copy: u32) -> Result<(), EngineError>;

    /// Hands over everything recorded so far, without waiting for it.
    fn submit(&mut self) -> Result<(), EngineError>;

    /// What was read and has not been returned yet, in order.
    ///
    /// Waits for everything if `all`; otherwise what was read since the last call may be left for
    /// the next, so that the device is not kept waiting.
    fn results(&mut self, all: bool) -> Result<Vec<Vec<u8>>, EngineError>;

    /// The content of copy `copy` of `slot`, at once.
    fn download(&mut self, slot: SlotId, copy: u32) -> Result<Vec<u8>, EngineError>;

    /// What the device holds for this plan, by its own counters; `None` where it has none.
    fn held(&self) -> Option<Held>;

    /// What the device's allocator has given out for all that runs on it; `None` where it makes no report.
    fn reserved(&self) -> Option<Drawn> {
        None
    }
}
