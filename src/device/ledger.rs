//! What a device holds, by its own counters, and which part of it is whose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::Held;

/// The device's account: what was there from the start, and what each engine has taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    /// wgpu's own buffers.
    baseline: Held,
    /// What the engines' plans add up to.
    taken: Held,
}

impl Ledger {
    /// An account that starts with what `device` holds now.
    pub(super) fn open(device: &wgpu::Device) -> Self {
        Self(Arc::new(Mutex::new(Account { baseline: counted(device), taken: Held::default() })))
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an engine has taken `own`.
    pub(super) fn take(&self, own: Held) {
        let mut account = self.account();
        account.taken.bytes += own.bytes;
        account.taken.buffers += own.buffers;
    }

    /// Notes that an engine has given `own` back.
    pub(super) fn give_back(&self, own: Held) {
        let mut account = self.account();
        account.taken.bytes -= own.bytes;
        account.taken.buffers -= own.buffers;
    }

    /// What `device` holds beside its own and beside what other engines than the one of `own` have
    /// taken; `None` where the backend does not count.
    pub(super) fn held(&self, device: &wgpu::Device, own: Held) -> Option<Held> {
        let taken = self.account().taken;
        self.all(device).map(|all| Held {
            bytes: all.bytes.saturating_sub(taken.bytes - own.bytes),
            buffers: all.buffers.saturating_sub(taken.buffers - own.buffers),
        })
    }

    /// What `device` holds beside its own; `None` where the backend does not count.
    pub(super) fn all(&self, device: &wgpu::Device) -> Option<Held> {
        let (counted, baseline) = (counted(device), self.account().baseline);
        (counted.bytes > 0).then(|| Held {
            bytes: counted.bytes.saturating_sub(baseline.bytes),
            buffers: counted.buffers.saturating_sub(baseline.buffers),
        })
    }
}

fn counted(device: &wgpu::Device) -> Held {
    let counters = device.get_internal_counters().hal;
    let number = |counter: isize| u64::try_from(counter).unwrap_or(0);
    // A plan's texture is in its place one more.
    let sum = |buffers: isize, textures: isize| number(buffers) + number(textures);
    Held {
        bytes: sum(counters.buffer_memory.read(), counters.texture_memory.read()),
        buffers: sum(counters.buffers.read(), counters.textures.read()),
    }
}
