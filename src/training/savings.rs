//! What each way of saving memory brings a run, found by planning it without.

use serde::Serialize;

use crate::error::Error;
use crate::graph::Role;
use crate::plan::{Saving, Staging};

use super::programs::{Without, plan_without, staging};
use super::{Planned, Storage, Training};

/// A way of saving memory, and what the run would take without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// What is done; `none of them` for a run without all that are listed.
    pub saving: &'static str,
    /// How, in a few words.
    pub how: &'static str,
    /// What [`Plan::planned_bytes`](crate::plan::Plan::planned_bytes) would be without it alone, the host's buffers no
    /// larger where a budget has made them smaller.
    pub without_bytes: u64,
}

/// What the last row of [`Planned::savings`] is called.
pub const NONE_OF_THEM: &str = "none of them";

impl Planned {
    /// What each saving brings this run: what it would take without that one, and, last, without all of them, every
    /// value with bytes of its own. Each is found by placing or planning anew. Savings overlap: what one does not
    /// save another may, so that they do not add up.
    ///
    /// # Errors
    /// Those of [`Training::plan`].
    pub fn savings(&self) -> Result<Vec<Saved>, Error> {
        let (plan, training) = (&self.plan, &self.training);
        let replanned = |training: &Training, without| plan_without(training, &plan.target, without);
        let chunks = replanned(training, Without { chunks: true, ..Without::default() })?;
        let pieces = replanned(training, Without { pieces: true, ..Without::default() })?;
        let repeats = replanned(training, Without { repeats: true, ..Without::default() })?;
        let order = replanned(training, Without { order: true, ..Without::default() })?;
        let full = training.clone().storage(Storage::F32);
        let mut found: Vec<Saved> = Vec::new();
        let mut add = |saving, how, without_bytes| found.push(Saved { saving, how, without_bytes });
        add("bytes used again", "once nobody needs what lay there", plan.bytes_without(&[Saving::Reuse]));
        add("results in place", "over what they are made from", plan.bytes_without(&[Saving::InPlace]));
        add("views", "bytes of another value, not copies", plan.bytes_without(&[Saving::Views]));
        add("logits in chunks", "with what is learnt of each, then the next", self.with_device_bytes_of(&chunks));
        add("gradients in pieces", "what a layer hands back, as it is read", self.with_device_bytes_of(&pieces));
        add("made again", "what is cheap, rather than kept", self.with_device_bytes_of(&repeats));
        add("order of steps", "another than written, if less is alive", self.with_device_bytes_of(&order));
        if training.storage == Storage::F16 {
            let full = replanned(&full, Without::default())?;
            add("halves", "what lies between dispatches, in f16", self.with_device_bytes_of(&full));
        }
        if training.segments.is_some() {
            let whole = replanned(&Training { segments: None, ..training.clone() }, Without::default())?;
            add("segments", "a window piece by piece, made again on the way back", self.with_device_bytes_of(&whole));
        }
        if training.recompute.is_some() {
            let kept = replanned(&Training { recompute: None, ..training.clone() }, Without::default())?;
            add("recomputed activations", "block by block on the way back, not kept", self.with_device_bytes_of(&kept));
        }
        if training.release_gradients {
            let kept = replanned(&Training { release_gradients: false, ..training.clone() }, Without::default())?;
            add("released gradients", "none is kept once it is used", self.with_device_bytes_of(&kept));
        }
        let full = Training { segments: None, recompute: None, release_gradients: false, ..full };
        let bare = replanned(&full, Without { chunks: true, pieces: true, repeats: true, order: true })?;
        let own = bare.plan.staging.bytes();
        let bytes = bare.plan.bytes_without(&Saving::ALL) - own + self.staging_beside(&bare).bytes();
        add(NONE_OF_THEM, "every value has bytes of its own", bytes);
        Ok(found)
    }

    /// Bytes of `other` with the host's buffers that it would have beside this plan's.
    fn with_device_bytes_of(&self, other: &Planned) -> u64 {
        let roles = other.plan.roles().into_iter().filter(|(role, _)| *role != Role::Staging);
        roles.map(|(_, bytes)| bytes).chain([self.staging_beside(other).bytes()]).fold(0, u64::saturating_add)
    }

    /// The host's buffers of `other`: its own, or these where a budget has made them smaller.
    fn staging_beside(&self, other: &Planned) -> Staging {
        let uncut = |planned: &Planned| {
            let Planned { training, plan, handles, .. } = planned;
            staging(training, &plan.target, &plan.graph, handles)
        };
        if uncut(self) == self.plan.staging { uncut(other) } else { self.plan.staging }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Batch;
    use crate::device::Device;
    use crate::nn::{Model, Task};
    use crate::ops::Curve;
    use crate::target::Target;
    use crate::training::Session;

    fn text() -> Training {
        let model = Model::new().embedding(16).lstm(24).linear(48).curve(Curve::Gelu).layer_norm().output();
        let training = Training::new(model, Task::next_token(19), 4).window(8);
        Training { sample: false, report_every: 1, ..training }
    }

    fn batch(from: u32) -> Batch {
        let ids = |from: u32| (from..from + 32).map(|i| (i * i + i / 5) % 19).collect();
        Batch::tokens(ids(from), ids(from + 1))
    }

    fn learnt(mut session: Session) -> (Vec<[u32; 2]>, Vec<Vec<u8>>) {
        let mut reports = Vec::new();
        for from in 0..3 {
            reports.extend(session.step(&batch(from)).unwrap());
        }
        reports.extend(session.finish().unwrap());
        let slots = session.planned().handles.parameter_slots.clone();
        let parameters = slots.into_iter().map(|slot| session.engine.download(slot, 0).unwrap()).collect();
        (reports.iter().map(|r| [r.loss.to_bits(), r.grad_norm.to_bits()]).collect(), parameters)
    }

    #[test]
    fn another_order_of_steps_takes_less_and_changes_no_bit() {
        let device = Device::open().unwrap();
        let ways = [
            text(),
            text().storage(Storage::F16),
            text().accumulate(2),
            text().recompute(3),
            Training { release_gradients: true, clip_norm: None, ..text() },
        ];
        for training in ways {
            let without = Without { order: true, ..Without::default() };
            let of = |target: &Target, without| plan_without(&training, target, without).unwrap();
            let both = |target: &Target| [of(target, without), of(target, Without::default())];
            let [written, ordered] = both(device.target());
            assert!(ordered.plan.planned_bytes() < written.plan.planned_bytes(), "{training:?}");
            assert_eq!(ordered.plan.planned_bytes(), ordered.plan.lower_bound_bytes(), "{training:?}");
            ordered.plan.replay().unwrap();
            let [written, ordered] = [written, ordered].map(|plan| learnt(Session::start(plan, &device).unwrap()));
            assert!(written == ordered, "on the device: {training:?}");
            let on_host = both(&Target::profile("webgpu-default").unwrap());
            let [written, ordered] = on_host.map(|plan| learnt(Session::on_host(plan).unwrap()));
            assert!(written == ordered, "on the host: {training:?}");
        }
    }
}
