//! The work of a workgroup.

use super::{LOAD, TEXTURE_LOAD, Variant};
use crate::target::{Rates, Target, Turns};

/// What a workgroup of a product does, as far as it takes time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tile {
    /// Terms of each of its sums.
    pub terms: u32,
    /// How long one term of all its sums takes, in units that compare it with other kernels for the same target.
    pub cost: u32,
    /// How often all its threads wait for one another, where it goes through timesteps.
    pub turns: u32,
    /// Weights that it reads in all of these together.
    pub weights: u64,
}

impl Tile {
    /// Seconds that so many of them take on a device that reaches `rates`, should nothing else hold them up.
    pub fn seconds(&self, groups: f64, rates: &Rates) -> f64 {
        let terms = f64::from(self.terms) + rates.tile_terms;
        let summed = f64::from(self.cost) * terms * rates.unit_seconds;
        let turns = rates.turns.unwrap_or(Turns::ASSUMED);
        let turned = f64::from(self.turns) * turns.seconds + self.weights as f64 / turns.weights_per_second;
        (summed + turned) * (groups / rates.workgroups).max(1.0)
    }
}

impl Variant {
    /// The same as [`work_on`](Variant::work_on) where only the right factor is in the texture, if it reads from one.
    pub(crate) fn work_of_right_on(self, target: &Target, terms: u32) -> Tile {
        let work = self.work_on(target, terms);
        let Some(share) = self.share(target).filter(|_| self.is_textured()) else { return work };
        let [_, rows] = self.tile();
        let more = (LOAD * rows).saturating_sub(shared(TEXTURE_LOAD * rows, share));
        Tile { cost: work.cost + more, ..work }
    }
}

/// What takes such a `share` of what its cost says.
pub(super) fn shared(cost: u32, share: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it stays as small as it is")]
    let cost = (f64::from(cost) * share).round() as u32;
    cost
}
