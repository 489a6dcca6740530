//! Turning a run down before anything is allocated, and finding what would fit by planning it.

use crate::bytes::Bytes;
use crate::error::Error;
use crate::plan::check::Violation;
use crate::plan::report::{LayerBytes, PeakTenant};
use crate::plan::{Plan, Rates};
use crate::refusal::{Alternative, Least, Refusal};
use crate::target::Target;

use super::{Offer, Planned, Room, Storage, Training, Way};

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
        let mut found = self.same_updates(room);
        if training.storage == Storage::F32 && training.learn {
            let halves = training.clone().storage(Storage::F16);
            let halves = if found.is_empty() { halves.bargain_in(target, room) } else { halves.plan(target) };
            let halves = halves.ok().and_then(|planned| fitted(planned, room));
            let change = "what is made on the way in halves, all else equal";
            found.extend(halves.map(|p| self.alternative(&p, change)));
        }
        let rows = training.batch / training.accumulate;
        let batch = |i: u32| Training { batch: i * training.accumulate, ..training.clone() };
        let largest_fit =
            |most: u32, with: &dyn Fn(u32) -> Training| largest_of(most, |size| fitting(&with(size), target, room));
        found.extend(largest_fit(rows - 1, &batch).map(|p| self.alternative(&p, "the largest batch that fits")));
        if shortest < training.window {
            let shorter = |window| Training { window, ..training.clone() };
            let shorter = largest_fit(training.window - 1, &shorter);
            found.extend(shorter.map(|p| self.alternative(&p, "the largest window that fits")));
        }
        if found.is_empty() && shortest < training.window {
            let single = |i: u32| Training { window: 1, ..batch(i) };
            let single = largest_fit(rows, &single);
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
    fn same_updates(&self, room: &Room) -> Vec<Alternative> {
        let (training, target) = (&self.training, &self.plan.target);
        let allowed = training.allowed(target).into_iter().chain(room(self)).min();
        if !self.is_too_large() || allowed == Some(0) {
            return Vec::new();
        }
        let Ok(offers) = training.offers(target, &Rates::assumed()) else { return Vec::new() };
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
            let first = of_kind.find_map(|offer| Some((*offer, fitting(&training.in_way(offer.way), target, room)?)));
            found.extend(first.filter(|(offer, _)| found.iter().all(|(other, _)| other.way != offer.way)));
        }
        found.sort_by(|(a, _), (b, _)| a.seconds.total_cmp(&b.seconds));
        found.iter().map(|(offer, planned)| self.alternative(planned, &offer.way.told_beside(own))).collect()
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

/// Where two are as fast, what makes the same updates stands first.
fn fastest_first(mut found: Vec<Alternative>) -> Vec<Alternative> {
    found.sort_by(|a, b| {
        let time = a.data_times_longer.total_cmp(&b.data_times_longer);
        time.then_with(|| b.same_updates.cmp(&a.same_updates))
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

fn fitting(training: &Training, target: &Target, room: &Room) -> Option<Planned> {
    fitted(training.plan(target).ok()?, room)
}

fn fitted(planned: Planned, room: &Room) -> Option<Planned> {
    let (planned, fits) = planned.within(room);
    fits.then_some(planned)
}

/// Sizes past one that does not fit that are looked at too: a row more may take a few bytes less, where places are
/// multiples of some bytes or steps run in another order.
const LOOKED_PAST: u32 = 3;

/// What `fit` makes of the largest of `1..=most` that fits, where what fits does so at every smaller size but for fewer
/// than [`LOOKED_PAST`] in a row.
///
/// Sizes are doubled until one does not fit, and only then halved between: what fits is often a
/// small part of what was asked, and planning takes as long as the plan is large.
fn largest_of<T>(most: u32, fit: impl Fn(u32) -> Option<T>) -> Option<T> {
    let (mut low, mut high) = (0, most);
    let mut best = None;
    let mut doubling = true;
    while low < high {
        let middle = if doubling { low.saturating_mul(2).clamp(1, high) } else { low + (high - low).div_ceil(2) };
        match fit(middle) {
            Some(found) => {
                best = Some(found);
                low = middle;
            }
            None => {
                doubling = false;
                high = middle - 1;
            }
        }
    }
    // The one behind the largest was found not to fit.
    let past = |low: u32| low.saturating_add(2)..=low.saturating_add(1 + LOOKED_PAST).min(most);
    while let Some((size, found)) = past(low).rev().filter(|_| low > 0).find_map(|size| Some((size, fit(size)?))) {
        (best, low) = (Some(found), size);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{LOOKED_PAST, divisors, largest_of};

    #[test]
    fn divisors_are_all_there_and_in_order() {
        for n in 1..200 {
            let all: Vec<u32> = (1..=n).filter(|d| n % d == 0).collect();
            assert_eq!(divisors(n), all);
        }
    }

    #[test]
    fn the_largest_that_fits_is_found_where_a_few_smaller_ones_do_not() {
        let found = |most: u32, fits: &dyn Fn(u32) -> bool| {
            let tried = std::cell::Cell::new(0);
            let size = largest_of(most, |size| {
                tried.set(tried.get() + 1);
                fits(size).then_some(size)
            });
            (size, tried.get())
        };
        for most in 1..70 {
            assert_eq!(found(most, &|_| true).0, Some(most));
            assert_eq!(found(most, &|_| false), (None, 1));
            for limit in 1..=most {
                let (size, tried) = found(most, &|size| size <= limit);
                assert_eq!(size, Some(limit));
                assert!(tried <= 2 * most.ilog2() + 3 + LOOKED_PAST, "{tried} tries for {limit} of {most}");
                // Bytes that go up with rows, but for those of every so many.
                for every in 2..10 {
                    for less in 1..3 {
                        let bytes = |size: u32| size - if size.is_multiple_of(every) { less } else { 0 };
                        let fits = |size| bytes(size) <= limit;
                        let wanted = (1..=most).rev().find(|&size| fits(size));
                        assert_eq!(found(most, &fits).0, wanted, "{limit} of {most}, {less} less every {every}");
                    }
                }
            }
        }
    }
}
