//! Turning a run down before anything is allocated, and finding what would fit by planning it.

use crate::error::Error;
use crate::refusal::{Alternative, Refusal};
use crate::target::Target;

use super::{Planned, Storage, Training};

impl Planned {
    /// Why the plan cannot run, with what would fit; `None` if it can.
    pub fn refusal(&self) -> Option<Refusal> {
        let violations = self.plan.violations(self.memory());
        if violations.is_empty() {
            return None;
        }
        let mut tenants = self.plan.peak_tenants();
        tenants.truncate(5);
        let planned_bytes = self.plan.planned_bytes();
        Some(Refusal { planned_bytes, violations, tenants, alternatives: self.alternatives() })
    }

    /// The plan, if it can run.
    ///
    /// # Errors
    /// [`Error::Refused`] if it exceeds a limit; [`Error::Fault`] if it contradicts itself.
    pub fn accepted(self) -> Result<Self, Error> {
        if let Some(refusal) = self.refusal() {
            return Err(Error::Refused(Box::new(refusal)));
        }
        self.plan.replay()?;
        Ok(self)
    }

    /// The fewest micro-steps, halves between dispatches, the largest batch and the largest window that fit, all else equal;
    /// if none does alone, the largest batch of the shortest window.
    ///
    /// Windows are left as they are unless state is carried from one to the next: else a window is
    /// all that a row has, and a shorter one would be other data.
    pub fn alternatives(&self) -> Vec<Alternative> {
        let (training, target) = (&self.training, &self.plan.target);
        let shortest = if training.carry_state { 1 } else { training.window };
        let least = Training { window: shortest, batch: 1, accumulate: 1, ..training.clone() };
        let Some(least) = fitting(&least, target) else { return Vec::new() };
        let mut found = Vec::new();
        // The more micro-steps the smaller: counted from the most, the fewest that fit come last.
        let splits: Vec<u32> = divisors(training.batch).into_iter().filter(|&n| n > training.accumulate).collect();
        let split = |i: u32| Training { accumulate: splits[splits.len() - i as usize], ..training.clone() };
        let fewest = largest_fit(crate::ops::clamp(splits.len() as u64), target, split);
        found.extend(fewest.map(|p| alternative(&p, "the same updates, in more micro-steps")));
        if training.storage == Storage::F32 {
            let halves = fitting(&training.clone().storage(Storage::F16), target);
            found.extend(halves.map(|p| alternative(&p, "the same batch, what is made on the way in halves")));
        }
        let rows = training.batch / training.accumulate;
        let batch = |i: u32| Training { batch: i * training.accumulate, ..training.clone() };
        found.extend(largest_fit(rows - 1, target, batch).map(|p| alternative(&p, "the largest batch that fits")));
        if training.carry_state {
            let shorter = |window| Training { window, ..training.clone() };
            let shorter = largest_fit(training.window - 1, target, shorter);
            found.extend(shorter.map(|p| alternative(&p, "the largest window that fits")));
        }
        if found.is_empty() && shortest < training.window {
            let single = |i: u32| Training { window: 1, ..batch(i) };
            let single = largest_fit(rows, target, single);
            found.extend(single.map(|p| alternative(&p, "the largest batch of single timesteps")));
        }
        if found.is_empty() {
            found.push(alternative(&least, if shortest == 1 { "one row of one timestep" } else { "one row" }));
        }
        found
    }
}

/// What divides `n`, in ascending order.
fn divisors(n: u32) -> Vec<u32> {
    let small: Vec<u32> = (1..=n.isqrt()).filter(|d| n.is_multiple_of(*d)).collect();
    let large = small.iter().rev().map(|d| n / d).filter(|d| u64::from(*d).pow(2) > u64::from(n));
    small.iter().copied().chain(large).collect()
}

fn alternative(planned: &Planned, change: &str) -> Alternative {
    let Training { batch, window, accumulate, storage, .. } = planned.training;
    let (halves, planned_bytes) = (storage == Storage::F16, planned.plan.planned_bytes());
    Alternative { batch, window, accumulate, halves, planned_bytes, change: change.to_string() }
}

fn fitting(training: &Training, target: &Target) -> Option<Planned> {
    training.plan(target).ok().filter(Planned::fits)
}

/// The largest of `1..=most` that fits; what fits does so at every smaller size.
///
/// Sizes are doubled until one does not fit, and only then halved between: what fits is often a
/// small part of what was asked, and planning takes as long as the plan is large.
fn largest_fit(most: u32, target: &Target, with: impl Fn(u32) -> Training) -> Option<Planned> {
    let (mut low, mut high) = (0, most);
    let mut best = None;
    let mut doubling = true;
    while low < high {
        let middle = if doubling { low.saturating_mul(2).clamp(1, high) } else { low + (high - low).div_ceil(2) };
        match fitting(&with(middle), target) {
            Some(planned) => {
                best = Some(planned);
                low = middle;
            }
            None => {
                doubling = false;
                high = middle - 1;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::divisors;

    #[test]
    fn divisors_are_all_there_and_in_order() {
        for n in 1..200 {
            let all: Vec<u32> = (1..=n).filter(|d| n % d == 0).collect();
            assert_eq!(divisors(n), all);
        }
    }
}
