//! What limits a plan beside its device: the host, which holds more of a run than the device's buffers.

use super::{Planned, Training, programs};
use crate::error::Error;
use crate::target::{Target, Textures};

/// Bytes that the device's buffers may take of the host's memory, in a plan; `None` where the host does not limit them.
/// Every way to make the same updates has the same room, as no more of the batches and the state is held in one.
pub(crate) type Room<'a> = dyn Fn(&Planned) -> Option<u64> + 'a;

impl Training {
    /// Its plan in `room`, and whether it exceeds no limit; without a texture where it does not fit with one.
    pub(crate) fn plan_in(&self, target: &Target, room: &Room) -> Result<(Planned, bool), Error> {
        let (planned, fits) = self.plan_with(target, true)?.within(room);
        if fits || planned.plan.texture.arena.is_none() {
            return Ok((planned, fits));
        }
        Ok(self.plan_with(target, false)?.within(room))
    }

    /// Its plan with a `texture` where `target` is quicker so, or without one, whether it fits or not.
    pub(crate) fn plan_with(&self, target: &Target, texture: bool) -> Result<Planned, Error> {
        self.check()?;
        let textures = if texture { target.textures } else { Textures::Never };
        programs::plan(self, &Target { textures, ..target.clone() })
    }
}

impl Planned {
    /// It, with smaller staging where that alone brings it into `room`; and whether it exceeds no limit then.
    pub(crate) fn within(mut self, room: &Room) -> (Self, bool) {
        let most = room(&self);
        if let Some(most) = most {
            self.plan = self.plan.with_staging_within(most);
        }
        let fits = self.fits() && most.is_none_or(|most| self.plan.planned_bytes() <= most);
        (self, fits)
    }
}
