//! What a run holds in the host's memory, known before it begins.

use super::{Batches, Run, Source};
use crate::error::Error;
use crate::memory;
use crate::target::DeviceKind;
use crate::tensor::DType;
use crate::training::Planned;

/// Bytes of the host's memory that a run holds at once. What the driver and the program take for themselves is
/// theirs to know, and not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostUse {
    /// The data: read before anything is planned, and held to the end.
    pub data_bytes: u64,
    /// Batches under way, those that a loader's workers have ready, and the streams of a text.
    pub batches_bytes: u64,
    /// The copy of the run's state that a checkpoint is written from while training goes on.
    pub state_bytes: u64,
    /// The plan itself, where the device is software and has the host's memory.
    pub device_bytes: u64,
}

impl HostUse {
    /// What `planned`, which is the plan of `run`, holds.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn of(run: &Run, planned: &Planned) -> Result<Self, Error> {
        let software = planned.plan.target.device_kind == DeviceKind::Cpu;
        let state = planned.state_shapes();
        let bytes = |(_, dtype, shape): &(String, DType, Vec<u64>)| {
            shape.iter().fold(dtype.bytes(), |bytes, size| bytes.saturating_mul(*size))
        };
        Ok(Self {
            data_bytes: run.source.bytes(),
            batches_bytes: run.batches()?.bytes(),
            state_bytes: state.iter().map(bytes).fold(0, u64::saturating_add),
            device_bytes: if software { planned.plan.planned_bytes() } else { 0 },
        })
    }

    /// All of it together.
    pub fn bytes(&self) -> u64 {
        let Self { data_bytes, batches_bytes, state_bytes, device_bytes } = *self;
        [data_bytes, batches_bytes, state_bytes, device_bytes].into_iter().fold(0, u64::saturating_add)
    }

    /// Refuses a run that the host has no room for, once its data are read.
    ///
    /// # Errors
    /// [`memory::TooLittleMemory`], with both numbers.
    pub fn check(&self) -> Result<(), Error> {
        Ok(memory::check("beside its data the run holds", self.bytes() - self.data_bytes)?)
    }
}

impl Source {
    /// Bytes that the data take in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Source::Text(text) => (text.ids.len() * size_of::<u32>()) as u64,
            Source::Examples(examples) => {
                let parts = [&examples.parts.train, &examples.parts.validation, &examples.parts.test];
                let of_fields = parts[0].fields().iter().map(|field| field.values().bytes() as u64).sum::<u64>();
                // A part of the same examples has a list of its own, of which ones they are.
                let lists = parts.iter().map(|part| (part.len() * size_of::<usize>()) as u64).sum::<u64>();
                let own_test = !parts[2].is_empty() && !parts[2].shares_with(parts[0]);
                let of_test = parts[2].fields().iter().map(|field| field.values().bytes() as u64).sum::<u64>();
                of_fields + lists + if own_test { of_test } else { 0 }
            }
        }
    }
}

impl Batches {
    /// Bytes of the batches that are in memory at once, with what they are made from beside the data.
    pub fn bytes(&self) -> u64 {
        match self {
            Batches::Streams(streams) => streams.bytes(),
            Batches::Loader(loader) => (loader.batch_bytes() + loader.prefetch_bytes()) as u64,
        }
    }
}
