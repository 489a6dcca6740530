//! Whose word it is how much memory a plan may take.

use serde::{Deserialize, Serialize};

use super::{DeviceKind, Target};

/// Who says how much memory a plan may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowedBy {
    /// The run.
    Budget,
    /// The device, which has no more.
    Device,
    /// Its driver, which counts what other processes have.
    Driver,
    /// The host, whose memory a software adapter takes.
    Host,
    /// The host, by what a run holds of its memory beside the device's buffers, where a software adapter takes that.
    HostBeside,
    /// A limit of this process or of a control group that it is in, where the host has more.
    ProcessLimit,
    /// DXGI, by which Windows gives each process a budget of a device's memory.
    DxgiBudget,
    /// Metal, by what it recommends as a device's working set at most.
    WorkingSet,
}

impl AllowedBy {
    /// As the subject of a sentence that ends with how much.
    pub fn words(self) -> &'static str {
        match self {
            Self::Budget => "the budget",
            Self::Device => "the device",
            Self::Driver => "the driver, beside other processes,",
            Self::Host => "the host's free memory",
            Self::HostBeside => "the host's free memory, beside batches and a copy of the state,",
            Self::ProcessLimit => "the limit of this process or of its control group",
            Self::DxgiBudget => "the DXGI budget, beside other processes,",
            Self::WorkingSet => "Metal's working set",
        }
    }

    /// The words that lead to the name of a limit.
    pub(crate) fn possessive(self) -> &'static str {
        match self {
            Self::Budget => "the budget",
            Self::Device | Self::Driver => "the device's",
            Self::Host | Self::HostBeside => "the host's",
            Self::ProcessLimit => "the process's",
            Self::DxgiBudget => "DXGI's",
            Self::WorkingSet => "Metal's",
        }
    }
}

impl Target {
    /// What is told of the memory that a plan may take: the name of each figure, whose word it is, and bytes.
    pub(crate) fn memory_limits(&self) -> impl Iterator<Item = (&'static str, AllowedBy, u64)> {
        let (all, left) = match (self.backend.as_str(), self.device_kind) {
            ("metal", _) => (AllowedBy::WorkingSet, AllowedBy::WorkingSet),
            ("dx12", DeviceKind::Cpu) => (AllowedBy::Host, AllowedBy::DxgiBudget),
            ("dx12", _) => (AllowedBy::Device, AllowedBy::DxgiBudget),
            (_, DeviceKind::Cpu) => (AllowedBy::Host, AllowedBy::ProcessLimit),
            _ => (AllowedBy::Device, AllowedBy::Driver),
        };
        let told = [("memory_bytes", all, self.memory_bytes), ("memory_left_bytes", left, self.memory_left_bytes)];
        told.into_iter().filter_map(|(name, by, bytes)| Some((name, by, bytes?)))
    }

    /// Bytes of memory that a plan may take: what the device offers, or what of it is left, if that is less.
    pub fn usable_bytes(&self) -> Option<u64> {
        self.memory_limits().map(|(.., bytes)| bytes).min()
    }
}
