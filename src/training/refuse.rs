//! Turning a run down before anything is allocated, and finding what would fit by planning it.

use std::sync::Arc;

use crate::bytes::Bytes;
use crate::error::Error;
use crate::graph::Role;
use crate::plan::check::Violation;
use crate::plan::report::{LayerBytes, PeakTenant};
use crate::plan::{Plan, Rates};
use crate::refusal::{Alternative, Least, Refusal};
use crate::target::Target;

use super::search::{Slope, Tried, largest_of};
use super::{Offer, Planned, Room, Storage, Training, Way};

/// Limits of bytes, of all that is planned together.
const MEMORY: [&str; 3] = ["memory", "memory_bytes", "memory_left_bytes"];

impl Planned {
    /// Why the plan cannot run, with what would fit; `None` if it can.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal_in(&|_| None, None, Vec::new())
    }

    /// The same where the host has no more `room` than that, which `exceeded` says if it is too little; `others` would
    /// fit too.
    pub(crate) fn refusal_in(
        &self,
        room: &Room,
        exceeded: Option<Violation>,
        others: Vec<Alternative>,
    ) -> Option<Refusal> {
        let mut violations = self.plan.violations(self.memory());
        violations.extend(exceeded);
        if violations.is_empty() {
            return None;
        }
        let planned_bytes = self.plan.planned_bytes();
        let alternatives = fastest_first([others, self.alternatives_in(room)].concat());
        let least = if alternatives.is_empty() { self.least() } else { None };
        Some(Refusal { planned_bytes, violations, tenants: largest(&self.plan), alternatives, least })
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

    /// What would fit, each found by planning it, the fastest for the same data first: what makes the same updates;
    /// halves between dispatches, the largest batch and the largest window, all else equal; if none of these does, the
    /// largest batch of the shortest window.
    ///
    /// Windows are left as they are unless state is carried from one to the next and they are cut here: else a window is
    /// all that a row has, and a shorter one would be other data.
    pub fn alternatives(&self) -> Vec<Alternative> {
        fastest_first(self.alternatives_in(&|_| None))
    }

    fn alternatives_in(&self, room: &Room) -> Vec<Alternative> {
        let (training, target) = (&self.training, &self.plan.target);
        let shortest = training.shortest_window();
        let allowed = training.allowed(target).into_iter().chain(room(self)).min();
        let offers = self.offers(allowed);
        let mut found = self.same_updates(&offers, allowed, room);
        if training.storage == Storage::F32 && training.learn && self.halves_may_fit(&offers, &found, allowed) {
            let halves = training.clone().storage(Storage::F16);
            let halves = match found.is_empty() {
                true => quickest(&halves, target, allowed, room),
                false => fitting(&halves, target, room),
            };
            let change = "what is made on the way in halves, all else equal";
            found.extend(halves.map(|p| self.alternative(&p, change)));
        }
        let rows = training.batch / training.accumulate;
        let batch = |i: u32| Training { batch: i * training.accumulate, ..training.clone() };
        let slope = self.slope(room);
        let largest_fit = |most: u32, slope: Option<Slope>, with: &dyn Fn(u32) -> Training| {
            largest_of(most, slope, |size| match with(size).plan(target).map(|planned| planned.within(room)) {
                Ok((planned, fits)) => Tried { bytes: planned.plan.planned_bytes(), found: fits.then_some(planned) },
                Err(_) => Tried { bytes: 0, found: None },
            })
        };
        // What is made on the way takes at least its share of one row.
        let one_row = self.learnt_bytes().saturating_add(self.plan.tenants_bound.0 / u64::from(rows));
        if slope.is_none_or(|slope| one_row <= slope.allowed) {
            let slope = slope.map(|slope| Slope { above: (rows, slope.above.1), ..slope });
            let fewer = largest_fit(rows - 1, slope, &batch);
            found.extend(fewer.map(|p| self.alternative(&p, "the largest batch that fits")));
        }
        if shortest < training.window {
            let shorter = |window| Training { window, ..training.clone() };
            let shorter = largest_fit(training.window - 1, slope, &shorter);
            found.extend(shorter.map(|p| self.alternative(&p, "the largest window that fits")));
        }
        if found.is_empty() && shortest < training.window {
            let single = |i: u32| Training { window: 1, ..batch(i) };
            let single = largest_fit(rows, None, &single);
            found.extend(single.map(|p| self.alternative(&p, "the largest batch of single timesteps")));
        }
        if found.is_empty() {
            let least =
                self.smallest().filter(|p| self.training.allowed(target).is_none_or(|n| p.plan.planned_bytes() <= n));
            let least = least.and_then(|planned| fitted(planned, room));
            found.extend(least.map(|p| {
                let row = if shortest == 1 { "one row of one timestep" } else { "one row" };
                let halves = if p.training.storage == training.storage { "" } else { ", in halves" };
                self.alternative(&p, &format!("{row}{halves}"))
            }));
        }
        found
    }

    /// Of the ways to make the same updates the fastest that fits, and the fastest that does so by micro-steps, by
    /// segments, by recomputing, by releasing gradients and by keeping no copies alone.
    fn same_updates(&self, offers: &[Offer], allowed: Option<u64>, room: &Room) -> Vec<Alternative> {
        let (training, target) = (&self.training, &self.plan.target);
        let own = training.way();
        let may_fit = |offer: &&Offer| offer.way != own && allowed.is_none_or(|allowed| offer.bytes <= allowed);
        let kinds: [fn(Way, Way) -> bool; 6] = [
            |_, _| true,
            |way, own| way == Way { accumulate: way.accumulate, ..own },
            |way, own| way == Way { segments: way.segments, ..own },
            |way, own| way == Way { recompute: way.recompute, ..own },
            |way, own| way == Way { release_gradients: true, ..own },
            |way, own| way == Way { keep_copies: false, ..own },
        ];
        let mut found: Vec<(Offer, Planned)> = Vec::new();
        for kind in kinds {
            let mut of_kind = offers.iter().filter(may_fit).filter(|offer| kind(offer.way, own));
            let first = of_kind.find_map(|offer| {
                // What is found already is not planned again.
                let known = found.iter().any(|(other, _)| other.way == offer.way);
                let planned = if known { None } else { Some(fitting(&training.in_way(offer.way), target, room)?) };
                Some((*offer, planned))
            });
            found.extend(first.and_then(|(offer, planned)| Some((offer, planned?))));
        }
        found.sort_by(|(a, _), (b, _)| a.seconds.total_cmp(&b.seconds));
        found.iter().map(|(offer, planned)| self.alternative(planned, &offer.way.told_beside(own))).collect()
    }

    /// The ways to make its updates: those that a bargain looked through, or else looked for now. None where no way
    /// would help.
    fn offers(&self, allowed: Option<u64>) -> Arc<[Offer]> {
        if !self.is_too_large() || allowed == Some(0) {
            return Arc::default();
        }
        let look = || self.training.offers(&self.plan.target, &Rates::assumed()).unwrap_or_default().into();
        self.offers.clone().unwrap_or_else(look)
    }

    /// Bytes that are the same whatever the batch, the window and the storage of what is made on the way.
    fn learnt_bytes(&self) -> u64 {
        let learnt = [Role::Parameter, Role::Gradient, Role::OptimizerState];
        self.plan
            .roles()
            .into_iter()
            .filter(|(role, _)| learnt.contains(role))
            .fold(0, |all, (_, bytes)| all.saturating_add(bytes))
    }

    /// Whether halves might be enough, which take no less than half: as described, or in another way where none is
    /// `found` in full.
    fn halves_may_fit(&self, offers: &[Offer], found: &[Alternative], allowed: Option<u64>) -> bool {
        let least = match offers.iter().map(|offer| offer.bytes).min().filter(|_| found.is_empty()) {
            Some(least) => least / 2,
            None => self.learnt_bytes().saturating_add(self.plan.tenants_bound.0 / 2),
        };
        allowed.is_none_or(|allowed| least <= allowed)
    }

    /// Where bytes are among what it exceeds, by how much a window as long as its own does.
    fn slope(&self, room: &Room) -> Option<Slope> {
        let exceeded = self.plan.violations(self.memory());
        let allowed = self.training.allowed(&self.plan.target).filter(|_| room(self).is_none())?;
        let bytes = exceeded.iter().any(|violation| MEMORY.contains(&violation.limit));
        bytes.then_some(Slope { allowed, above: (self.training.window, self.plan.planned_bytes()) })
    }

    /// One row in the shortest window there may be, in the smallest way, in halves if that is smaller.
    fn smallest(&self) -> Option<Planned> {
        let (training, target) = (&self.training, &self.plan.target);
        let shortest = training.shortest_window();
        let least = Training { window: shortest, batch: 1, accumulate: 1, ..training.clone() };
        let in_halves = (training.learn && training.storage == Storage::F32).then_some(Storage::F16);
        let smallest = [training.storage].into_iter().chain(in_halves).filter_map(|storage| {
            let least = least.clone().storage(storage);
            let offers = least.offers(target, &Rates::assumed()).ok()?;
            let smallest = offers.iter().min_by_key(|offer| offer.bytes)?;
            Some((smallest.bytes, least.in_way(smallest.way)))
        });
        let (bytes, smallest) = smallest.min_by_key(|(bytes, _)| *bytes)?;
        let memory = Some(Bytes(bytes.max(training.memory.map_or(0, |memory| memory.0))));
        Training { memory, ..smallest }.plan(target).ok()
    }

    fn least(&self) -> Option<Least> {
        let smallest = self.smallest()?;
        let held = |layer: &LayerBytes| layer.parameters + layer.gradients + layer.optimizer_state;
        let layer = smallest.plan.layers().into_iter().max_by_key(held)?;
        Some(Least {
            planned_bytes: smallest.plan.planned_bytes(),
            tenants: largest(&smallest.plan),
            layer_bytes: held(&layer),
            layer: layer.layer,
        })
    }

    pub(crate) fn alternative(&self, planned: &Planned, change: &str) -> Alternative {
        let Training { batch, window, segments, storage, .. } = planned.training;
        let Way { accumulate, recompute, release_gradients, keep_copies, .. } = planned.training.way();
        let rates = Rates::assumed();
        let seconds = |planned: &Planned| planned.plan.seconds(planned.training.accumulate, &rates);
        let data = |training: &Training| f64::from(training.batch) * f64::from(training.window);
        let times_longer = seconds(planned) / seconds(self);
        let described = self.training.in_way(planned.training.way());
        Alternative {
            batch,
            window,
            accumulate,
            segment: segments.map(|s| s.timesteps),
            segment_states: segments.and_then(|s| s.states),
            recompute,
            release_gradients,
            keep_copies,
            halves: storage == Storage::F16,
            workers: None,
            planned_bytes: planned.plan.planned_bytes(),
            times_longer,
            data_times_longer: times_longer * data(&self.training) / data(&planned.training),
            // A budget is no part of what is learnt.
            same_updates: described == Training { memory: described.memory, ..planned.training.clone() },
            change: change.to_string(),
            lines: planned.training.lines_beside(&self.training),
        }
    }
}

/// Where two are as fast, what makes the same updates stands first, and what has a step wait no longer for its batch.
fn fastest_first(mut found: Vec<Alternative>) -> Vec<Alternative> {
    found.sort_by(|a, b| {
        let time = a.data_times_longer.total_cmp(&b.data_times_longer);
        let alike = time.then_with(|| b.same_updates.cmp(&a.same_updates));
        alike.then_with(|| a.workers.is_some().cmp(&b.workers.is_some()))
    });
    found
}

/// The largest five of what is alive when the most is.
fn largest(plan: &Plan) -> Vec<PeakTenant> {
    let mut tenants = plan.peak_tenants();
    tenants.truncate(5);
    tenants
}

/// What divides `n`, in ascending order.
pub(super) fn divisors(n: u32) -> Vec<u32> {
    let small: Vec<u32> = (1..=n.isqrt()).filter(|d| n.is_multiple_of(*d)).collect();
    let large = small.iter().rev().map(|d| n / d).filter(|d| u64::from(*d).pow(2) > u64::from(n));
    small.iter().copied().chain(large).collect()
}

fn fitted(planned: Planned, room: &Room) -> Option<Planned> {
    let (planned, fits) = planned.within(room);
    fits.then_some(planned)
}

/// The fastest way to make a run's updates that fits, as described if that does; what does not is not planned.
fn quickest(training: &Training, target: &Target, allowed: Option<u64>, room: &Room) -> Option<Planned> {
    let mut offers = training.offers(target, &Rates::assumed()).ok()?;
    offers.retain(|offer| allowed.is_none_or(|allowed| offer.bytes <= allowed));
    offers.sort_by_key(|offer| offer.way != training.way());
    offers.iter().find_map(|offer| fitting(&training.in_way(offer.way), target, room))
}

fn fitting(training: &Training, target: &Target, room: &Room) -> Option<Planned> {
    fitted(training.plan(target).ok()?, room)
}

#[cfg(test)]
mod tests {
    use super::{Alternative, divisors, fastest_first};
    use crate::nn::{Model, Task};
    use crate::refusal::Refusal;
    use crate::target::Target;
    use crate::training::Training;

    #[test]
    fn fewer_workers_cost_a_time_that_is_not_told_as_none() {
        let model = Model::new().linear(8).output();
        let training = Training::new(model, Task::regression(4, 2), 16);
        let planned = training.plan(&Target::profile("lavapipe").unwrap()).unwrap();
        let same = planned.alternative(&planned, "the same updates");
        let fewer = Alternative { workers: Some(0), ..same.clone() };
        let slower = Alternative { times_longer: 1.5, data_times_longer: 1.5, ..fewer.clone() };
        let other = Alternative { same_updates: false, ..same.clone() };
        let alternatives = fastest_first(vec![slower.clone(), other.clone(), fewer.clone(), same.clone()]);
        assert_eq!(alternatives, [same, fewer, other, slower]);
        let refusal =
            Refusal { planned_bytes: 1, violations: Vec::new(), tenants: Vec::new(), alternatives, least: None };
        let said = refusal.to_string();
        let ends: Vec<bool> =
            said.lines().map(|line| line.ends_with("may then wait longer for their batches")).collect();
        assert_eq!(ends[ends.len() - 4..], [false, true, false, true], "{said}");
        assert!(said.contains("about 1.50 times the time; steps may then wait"), "{said}");
    }

    #[test]
    fn divisors_are_all_there_and_in_order() {
        for n in 1..200 {
            let all: Vec<u32> = (1..=n).filter(|d| n % d == 0).collect();
            assert_eq!(divisors(n), all);
        }
    }
}
