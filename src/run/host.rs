//! What a run holds in the host's memory, known before it begins.

use super::{Batches, Run, Source};
use crate::bytes::Bytes;
use crate::error::Error;
use crate::memory::Available;
use crate::plan::check::Violation;
use crate::refusal::{Alternative, HOST_MEMORY, Refusal};
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
        Ok(Self { data_bytes: run.source.bytes(), ..Self::beside_data(&run.batches()?, planned) })
    }

    fn beside_data(batches: &Batches, planned: &Planned) -> Self {
        let software = planned.plan.target.device_kind == DeviceKind::Cpu;
        let state = planned.state_shapes();
        let bytes = |(_, dtype, shape): &(String, DType, Vec<u64>)| {
            shape.iter().fold(dtype.bytes(), |bytes, size| bytes.saturating_mul(*size))
        };
        Self {
            data_bytes: 0,
            batches_bytes: batches.bytes_with(planned.training.batch, planned.training.window),
            state_bytes: state.iter().map(bytes).fold(0, u64::saturating_add),
            device_bytes: if software { planned.plan.planned_bytes() } else { 0 },
        }
    }

    /// All of it together.
    pub fn bytes(&self) -> u64 {
        let Self { data_bytes, batches_bytes, state_bytes, device_bytes } = *self;
        [data_bytes, batches_bytes, state_bytes, device_bytes].into_iter().fold(0, u64::saturating_add)
    }

    /// What the host is asked for past what it has `available`, once the data are read.
    fn exceeded(&self, available: &Available) -> Option<Violation> {
        let Self { batches_bytes, state_bytes, device_bytes, .. } = *self;
        let [batches, state] = [batches_bytes, state_bytes].map(Bytes);
        let device = if device_bytes == 0 { String::new() } else { format!(", the device's {}", Bytes(device_bytes)) };
        let layer = format!("the run beside its data (batches {batches}, a copy of the state {state}{device})");
        let (needed, allowed, by) = (self.bytes() - self.data_bytes, available.bytes, Some(available.by.clone()));
        let what = "the host's";
        (needed > allowed).then_some(Violation { limit: HOST_MEMORY, needed, allowed, layer, what, by, in_bytes: true })
    }
}

/// What the device's buffers may take of a `host` that holds `batches` and a copy of the state beside them.
pub(super) fn room<'a>(batches: &'a Batches, host: Option<&'a Available>) -> impl Fn(&Planned) -> Option<u64> + 'a {
    move |planned| {
        let used = HostUse::beside_data(batches, planned);
        let left = host?.bytes.checked_sub(used.batches_bytes.saturating_add(used.state_bytes));
        // A device with memory of its own takes none of what is left; it has none where nothing is.
        if used.device_bytes == 0 && left.is_some() { None } else { Some(left.unwrap_or(0)) }
    }
}

impl Run {
    /// What the batches and the copy of the state that `planned`, a plan of this run, holds leave of a `host` for the
    /// device's buffers; `None` where these are not in its memory.
    ///
    /// # Errors
    /// Too little data for a batch.
    pub fn left_for_device(&self, planned: &Planned, host: &Available) -> Result<Option<u64>, Error> {
        let batches = self.batches()?;
        let has_its_memory = HostUse::beside_data(&batches, planned).device_bytes > 0;
        Ok(room(&batches, Some(host))(planned).filter(|_| has_its_memory))
    }

    /// [`Run::refusal`], of batches that are known.
    pub(super) fn refused(&self, planned: &Planned, batches: &Batches, host: Option<&Available>) -> Option<Refusal> {
        let exceeded = host.and_then(|host| HostUse::beside_data(batches, planned).exceeded(host));
        let short = host.filter(|_| exceeded.is_some());
        let others = short.and_then(|host| self.fewer_workers(planned, host)).into_iter().collect();
        planned.refusal_in(&room(batches, host), exceeded, others)
    }

    /// The same with fewer threads that have batches ready, as many as the `host` has room for; where that is not
    /// enough, with none of them and in a smaller way.
    fn fewer_workers(&self, planned: &Planned, host: &Available) -> Option<Alternative> {
        if self.text().is_some() {
            return None;
        }
        let batches = |workers: u32| {
            let mut config = self.config.clone();
            config.data.workers = workers;
            self.source.batches(&config).ok()
        };
        let has_room = |workers: &u32| {
            let most = batches(*workers).map(|batches| room(&batches, Some(host))(planned));
            most.is_some_and(|most| most.is_none_or(|most| planned.plan.planned_bytes() <= most))
        };
        let enough = (0..self.config.data.workers).rev().filter(|_| planned.fits()).find(has_room);
        let (workers, smaller) = match enough {
            Some(workers) => (workers, None),
            None => {
                let batches = batches(0).filter(|_| self.config.budget.bargain && self.config.data.workers > 0)?;
                let room = room(&batches, Some(host));
                let (smaller, fits) = planned.training.bargain_in(&planned.plan.target, &room).ok()?.within(&room);
                (0, Some(smaller).filter(|_| fits)?.into())
            }
        };
        let change = match workers {
            0 => "the same updates, no batch made ready before it is asked for".into(),
            1 => "the same updates, batches made ready by one thread".into(),
            n => format!("the same updates, batches made ready by {n} threads"),
        };
        let mut alternative = planned.alternative(smaller.as_ref().unwrap_or(planned), &change);
        alternative.lines.splice(0..0, ["[data]".into(), format!("workers = {workers}")]);
        Some(Alternative { workers: Some(workers), ..alternative })
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
    /// Bytes of the batches that are in memory at once, with what they are made from beside the data, if each had so
    /// many rows and its windows, which examples do not have, so many timesteps.
    fn bytes_with(&self, batch: u32, window: u32) -> u64 {
        match self {
            Batches::Streams(streams) => streams.bytes_with(batch, window),
            Batches::Loader(loader) => loader.bytes_with(batch.into()),
        }
    }
}
