//! A device that gives less memory than it promised, and what is made of what it gives.

use super::{Planned, Session, Training};
use crate::bytes::Bytes;
use crate::device::Device;
use crate::engine::EngineError;
use crate::error::Error;
use crate::graph::Role;
use crate::plan::Rates;

impl Session {
    /// Takes the plan's memory on `device`, as [`Session::start`] does; where the device refuses some of it, plans the
    /// run anew, in the fastest way that makes the same updates in what the device may still have, until it is
    /// given all it asks for. Each time, `tell` is told.
    ///
    /// No step is lost by it: all memory is taken here, and none later.
    ///
    /// # Errors
    /// As [`Session::start`]; the device's refusal, where no way is small enough.
    pub fn start_in_what_there_is(
        planned: Planned,
        device: &Device,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self, Error> {
        // Ways are looked for from what was described, not from one that was tried.
        let described = match &planned.bargain {
            Some(bargain) => planned.training.in_way(bargain.asked),
            None => planned.training.clone(),
        };
        let mut planned = planned;
        let mut least: Option<u64> = None;
        loop {
            let refused = match Self::start(planned.clone(), device) {
                Err(Error::Engine(refused @ EngineError::OutOfMemory { .. })) => refused,
                started => return started,
            };
            let EngineError::OutOfMemory { bytes, what, given, .. } = refused else { return Err(refused.into()) };
            if what == Role::Texture.name() {
                // It is there for speed alone.
                let bargain = planned.bargain;
                let bare = planned.training.plan_with(&planned.plan.target, false)?;
                tell(&format!(
                    "The device refused {} for the texture that products and optimizers read from. The run does without \
                     it, slower and to the same numbers.",
                    Bytes(bytes)
                ));
                planned = Planned { bargain, ..bare };
                continue;
            }
            let needed = planned.plan.planned_bytes();
            let least = match least {
                Some(known) => known,
                None => {
                    let offers = described.offers(device.target(), &Rates::assumed())?;
                    *least.insert(offers.iter().map(|offer| offer.bytes).min().unwrap_or(u64::MAX))
                }
            };
            if needed <= least {
                return Err(refused.into());
            }
            // What was given can be had again; of what was refused, some of it perhaps.
            let memory = given.saturating_add(bytes / 2).min(needed - (needed / 16).max(1)).max(least);
            let training = Training { memory: Some(Bytes(memory)), ..described.clone() };
            let smaller = training.bargain(device.target())?;
            if !smaller.fits() {
                return Err(refused.into());
            }
            let ways = smaller.training.way().told();
            tell(&format!(
                "The device refused {} for the {what} after it had given {} of {}. The run is planned anew for {}: \
                 {ways}; it makes the same updates.",
                Bytes(bytes),
                Bytes(given),
                Bytes(needed),
                Bytes(memory),
            ));
            planned = smaller;
        }
    }
}
