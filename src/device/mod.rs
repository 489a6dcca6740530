//! The only place that knows wgpu: finding an adapter, opening it, running plans on it.

mod adapters;
mod bind;
mod buffers;
mod heaps;
mod inspect;
mod ledger;
mod pace;
mod pipelines;
mod profile;
mod rings;
mod run;
mod textured;
mod trust;

use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Drawn, EngineError, Held};
use crate::target::Target;

use ledger::Ledger;
use pace::Pace;

pub use adapters::{Adapter, AdapterError, adapters};
pub use run::DeviceEngine;

/// An opened device. One is enough for any number of runs.
#[derive(Clone, Debug)]
pub struct Device {
    device: wgpu::Device,
    queue: wgpu::Queue,
    target: Target,
    trouble: Trouble,
    ledger: Ledger,
    refusing: Refusing,
    pace: Pace,
}

/// The first thing that went wrong on a device, as its callbacks told.
#[derive(Clone, Debug, Default)]
struct Trouble(Arc<Mutex<Option<EngineError>>>);

/// Which buffers, by their bytes, a test has the device refuse.
type Refuse = Box<dyn FnMut(u64) -> bool + Send>;

#[derive(Clone, Default)]
struct Refusing(Arc<Mutex<Option<Refuse>>>);

impl Refusing {
    fn refuses(&self, bytes: u64) -> bool {
        let mut refuse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refuse.as_mut().is_some_and(|refuse| refuse(bytes))
    }
}

impl std::fmt::Debug for Refusing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusing").finish_non_exhaustive()
    }
}

impl Trouble {
    fn note(&self, error: EngineError) {
        tracing::error!(%error, "the device is in trouble");
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A lost device makes every later call fail as well; the first word says why.
        first.get_or_insert(error);
    }

    fn check(&self) -> Result<(), EngineError> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone().map_or(Ok(()), Err)
    }
}

impl Device {
    /// Opens the adapter that `WGPU_BACKEND`, `WGPU_ADAPTER_NAME` and `WGPU_POWER_PREF` ask for,
    /// or else the fastest kind there is.
    pub fn open() -> Result<Self, AdapterError> {
        adapters::choose()?.open()
    }

    /// What plans for this device are made for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Bytes and buffers it holds beside wgpu's own, for all runs together, by its own counters; `None` where
    /// the backend has none.
    pub fn held(&self) -> Option<Held> {
        self.ledger.all(&self.device)
    }

    /// What its allocator has handed out and taken from the driver, for all runs together and wgpu's own buffers, by
    /// its own report; `None` where the backend makes none. [`Plan::reserved`](crate::plan::Plan::reserved) tells it
    /// beforehand.
    pub fn reserved(&self) -> Option<Drawn> {
        let report = self.device.generate_allocator_report()?;
        let (allocated_bytes, reserved_bytes) = (report.total_allocated_bytes, report.total_reserved_bytes);
        Some(Drawn { allocated_bytes, reserved_bytes })
    }

    /// Destroys the device as a driver reset would, so that what follows a loss can be tested.
    #[doc(hidden)]
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Has it refuse the buffers of plans of which `refuse` says so by their bytes, as a device out of memory does.
    #[doc(hidden)]
    pub fn refuse_memory(&self, refuse: impl FnMut(u64) -> bool + Send + 'static) {
        *self.refusing.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(refuse));
    }

    /// A buffer outside every plan, so that a test can see the counters see it.
    #[doc(hidden)]
    pub fn stray_buffer(&self, bytes: u64) -> Box<dyn std::any::Any> {
        let usage = wgpu::BufferUsages::STORAGE;
        let description = wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false };
        Box::new(self.device.create_buffer(&description))
    }

    fn watched(device: wgpu::Device, queue: wgpu::Queue, target: Target) -> Self {
        let trouble = Trouble::default();
        let uncaptured = trouble.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured.note(EngineError::Rejected { reason: error.to_string() });
        }));
        let lost = trouble.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.note(EngineError::Lost { reason: format!("{message} ({reason:?})").trim_start().into() });
        });
        // wgpu frees buffers of its own after its first submission; only then is the count steady.
        queue.submit([]);
        if let Err(error) = device.poll(wgpu::PollType::wait_indefinitely()) {
            trouble.note(EngineError::Lost { reason: error.to_string() });
        }
        let ledger = Ledger::open(&device);
        let pace = Pace::of(target.device_kind);
        Self { device, queue, target, trouble, ledger, refusing: Refusing::default(), pace }
    }
}
