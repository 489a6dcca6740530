//! The work of a workgroup.

use crate::target::{Rates, Turns};

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
