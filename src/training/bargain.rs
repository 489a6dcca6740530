//! Memory for time: the same updates made in other ways, of which the fastest that fits is taken.
//!
//! A batch in more micro-steps, a window in segments, activations recomputed in blocks, gradients released one by one:
//! each makes the updates that were described, up to the order of sums, in less memory. All of them are written and
//! sketched, not estimated; a plan is made of the fastest that may fit. The list and its order depend on the run and on
//! the kind of device alone, never on the budget, so that more memory never gives a slower plan, and less never a larger
//! one. Where a probe found the device quicker with a texture, they depend on that as well: each way is in the list with
//! one and without.

use std::cmp::Ordering;
use std::num::NonZero;
use std::thread;

use serde::Serialize;

use super::programs::sketch;
use super::segments::Segments;
use super::{Planned, Room, Training, Way};
use crate::error::Error;
use crate::plan::{Lowered, Rates, Sketch};
use crate::target::{Target, Textures};

/// A way, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Offer {
    /// The way.
    pub way: Way,
    /// Whether kernels read factors and other numbers from a texture, which takes memory and makes the same numbers; only
    /// where a probe found the device quicker so.
    pub texture: bool,
    /// The budget it needs at least; a little more makes staging larger.
    pub bytes: u64,
    /// What an update is estimated to take.
    pub seconds: f64,
}

/// What a run that does not fit as described was turned into.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bargain {
    /// What was described.
    pub asked: Way,
    /// Bytes that it would have taken.
    pub asked_bytes: u64,
    /// How much longer an update is estimated to take than it would have.
    pub times_longer: f64,
}

/// Dispatches that are written at most in search of a way: some seconds' worth.
const MOST_DISPATCHES: u64 = 500_000;
/// Those of one way at most, which are memory of the host's too, unless the run has as many as it is described.
const MOST_OF_ONE: u64 = 50_000;

/// Numbers of micro-steps that are looked at, at most but for one.
const MOST_SPLITS: usize = 8;

/// Limits that are exceeded less by a smaller way.
const BARGAINED: [&str; 6] = [
    "memory",
    "memory_bytes",
    "memory_left_bytes",
    "max_buffer_size",
    "max_storage_buffer_binding_size",
    "max_compute_workgroups_per_dimension",
];

impl Training {
    /// Bytes that its plan may take: the less of what the run and the device allow.
    pub fn allowed(&self, target: &Target) -> Option<u64> {
        self.memory.map(|bytes| bytes.0).into_iter().chain(target.usable_bytes()).min()
    }

    /// Plans the run for `target` as it is described if that fits, or else in the fastest way known that makes the
    /// same updates and fits, as [`Planned::bargain`] then tells. If none does, the plan is that of the run as it is
    /// described, and refused.
    ///
    /// # Errors
    /// As [`Training::plan`].
    pub fn bargain(&self, target: &Target) -> Result<Planned, Error> {
        self.bargain_in(target, &|_| None)
    }

    /// The same where the host has no more `room` than that.
    ///
    /// # Errors
    /// As [`Training::plan`].
    pub(crate) fn bargain_in(&self, target: &Target, room: &Room) -> Result<Planned, Error> {
        let (whole, fits) = self.plan_with(target, true)?.within(room);
        let (has_texture, asked_bytes) = (whole.plan.texture.arena.is_some(), whole.plan.planned_bytes());
        let most = self.allowed(target).into_iter().chain(room(&whole)).min();
        if fits || !whole.is_too_large() || most == Some(0) && !has_texture {
            return Ok(whole);
        }
        // Where it does without its texture it takes longer, and so may be another way that has one.
        let (asked, asked_fits) =
            if has_texture { self.plan_with(target, false)?.within(room) } else { (whole, false) };
        if most == Some(0) {
            return Ok(asked);
        }
        let rates = target.rates.filter(|_| has_texture).unwrap_or(Rates::assumed());
        let mut offers = self.offers(target, &rates)?;
        let own = offers.iter().find(|offer| offer.way == self.way());
        let asked_seconds = own.map_or_else(|| asked.plan.seconds(self.accumulate, &rates), |own| own.seconds);
        for offer in offers.iter().filter(|offer| most.is_none_or(|most| offer.bytes <= most)) {
            if offer.way == self.way() && !offer.texture && asked_fits {
                return Ok(asked);
            }
            let Ok((planned, fits)) = self.offered(offer, target).map(|planned| planned.within(room)) else { continue };
            if fits && offer.way != self.way() {
                let times_longer = offer.seconds / asked_seconds;
                let bargain = Bargain { asked: self.way(), asked_bytes, times_longer };
                return Ok(Planned { bargain: Some(bargain), ..planned });
            }
        }
        offers.retain(|offer| !offer.texture);
        Ok(Planned { offers: Some(offers.into()), ..asked })
    }

    /// The plan of its updates made as `offer` says, which [`Training::offers`] has told of for `target`. Whether it fits
    /// is for the caller to ask.
    ///
    /// # Errors
    /// As [`Training::plan`].
    pub fn offered(&self, offer: &Offer, target: &Target) -> Result<Planned, Error> {
        self.in_way(offer.way).plan_with(target, offer.texture)
    }

    /// Every way known to make its updates, the fastest first by `rates`, which kernels are chosen by as well.
    ///
    /// # Errors
    /// As [`Training::plan`].
    pub fn offers(&self, target: &Target, rates: &Rates) -> Result<Vec<Offer>, Error> {
        self.check()?;
        let measured = Some(*rates).filter(|rates| *rates != Rates::assumed());
        let target = &Target { rates: measured, ..target.clone() };
        let bare = &Target { textures: Textures::Never, ..target.clone() };
        // Ways have most of their nodes in common.
        let [lowered, bare] = &[target, bare].map(|target| Lowered::new(target, rates));
        let first = sketch(self, lowered)?;
        let dispatches = first.dispatches() as u64;
        let learnt = first.dispatches_of("first") as u64;
        let ways = self.within_reason(self.ways(&self.numbers_of_blocks(learnt)), dispatches);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(ways.len().max(1));
        let offer = |way: &Way| {
            // One that the run refuses is no way to make it.
            let training = self.in_way(*way);
            let sketched = training.check().and_then(|()| sketch(&training, lowered));
            sketched.map_or_else(|_| Vec::new(), |sketch| training.with_and_without(sketch, bare))
        };
        let part = |part: usize| ways.iter().skip(part).step_by(threads).flat_map(offer).collect::<Vec<_>>();
        let mut offers: Vec<Offer> = thread::scope(|scope| {
            let parts: Vec<_> = (0..threads).map(|i| scope.spawn(move || part(i))).collect();
            parts.into_iter().flat_map(|part| part.join().expect("sketches do not panic")).collect()
        });
        offers.extend(self.with_and_without(first, bare));
        offers.sort_by(Offer::faster_first);
        Ok(offers)
    }

    /// `offers`, which are all of its own, beside those that do without what the run as described saves already, which take
    /// more memory and less time: to see what that costs. A bargain does not look at these, as it keeps to what was
    /// described.
    pub fn beside_unsaved(&self, mut offers: Vec<Offer>, target: &Target, rates: &Rates) -> Vec<Offer> {
        if self.way() != Way::PLAIN {
            // What cannot be made so is none of them.
            offers.extend(self.in_way(Way::PLAIN).offers(target, rates).unwrap_or_default());
            offers.sort_by(Offer::faster_first);
            offers.dedup();
        }
        offers
    }

    /// Its own way, as `sketched`; and without a texture, on the `bare` target, if it has one.
    fn with_and_without(&self, sketched: Sketch, bare: &Lowered) -> Vec<Offer> {
        let bare = if sketched.texture_bytes > 0 { sketch(self, bare).ok() } else { None };
        let both = std::iter::once(sketched).chain(bare);
        both.map(|sketch| Offer::of(self.way(), &sketch)).collect()
    }

    /// Of all ways those of which none is both faster and smaller than another, the fastest first.
    ///
    /// # Errors
    /// As [`Training::plan`].
    pub fn front(&self, target: &Target, rates: &Rates) -> Result<Vec<Offer>, Error> {
        let mut offers = self.offers(target, rates)?;
        Self::keep_front(&mut offers);
        Ok(offers)
    }

    /// Leaves out of `offers`, the fastest first, what is no smaller than a faster one.
    pub fn keep_front(offers: &mut Vec<Offer>) {
        let mut least = u64::MAX;
        offers.retain(|offer| {
            let smaller = offer.bytes < least;
            least = least.min(offer.bytes);
            smaller
        });
    }

    /// Of `ways` those that are written in reasonable time, where the run as described has so many `dispatches`: if
    /// that is not all of them, some from everywhere among them.
    fn within_reason(&self, ways: Vec<Way>, dispatches: u64) -> Vec<Way> {
        let own = self.timesteps_forward().max(1);
        let written = |way: &Way| {
            // A window forward and back is three forward; the second micro-step is written too.
            let forward = self.in_way(*way).timesteps_forward();
            let again = if way.recompute.is_some() { u64::from(self.window) } else { 0 };
            let all = forward.saturating_add(again).saturating_add(2 * u64::from(self.window));
            let of_one = dispatches.saturating_mul(all) / (3 * own);
            of_one.saturating_mul(if way.accumulate > 1 { 2 } else { 1 })
        };
        let mut ways: Vec<(u64, Way)> = ways.into_iter().map(|way| (written(&way), way)).collect();
        let most = MOST_OF_ONE.max(dispatches.saturating_mul(2));
        ways.retain(|(written, _)| *written <= most);
        let all = ways.iter().map(|(written, _)| *written).fold(0, u64::saturating_add);
        let every = usize::try_from(all.div_ceil(MOST_DISPATCHES)).unwrap_or(usize::MAX).max(1);
        ways.into_iter().map(|(_, way)| way).skip(every / 2).step_by(every).collect()
    }

    /// The ways to make its updates, but for its own: rows are split, and windows and networks cut, at least as finely
    /// as it says. Activations are recomputed in these numbers of `blocks`, and in windows as described.
    fn ways(&self, blocks: &[u32]) -> Vec<Way> {
        let own = self.way();
        let mut ways = Vec::new();
        let splits: Vec<u32> =
            super::refuse::divisors(self.batch).into_iter().filter(|&n| n >= own.accumulate).collect();
        // With rows fewer by little there is little to gain.
        let every = splits.len().div_ceil(MOST_SPLITS);
        let fewest = splits.iter().copied().rev().step_by(every).chain(splits.first().copied());
        for accumulate in fewest {
            let cuts = self.cuts(accumulate == own.accumulate);
            let cuts = cuts.into_iter().map(|segments| Way { accumulate, segments, release_gradients: false, ..own });
            let finer = blocks.iter().filter(|n| own.recompute.is_none_or(|own| **n > own));
            let finer = finer.map(|&n| Way { accumulate, recompute: Some(n), release_gradients: false, ..own });
            for kept in cuts.chain(finer) {
                ways.push(kept);
                let released = Way { release_gradients: true, ..kept };
                ways.extend(self.in_way(released).keeps_gradients().is_none().then_some(released));
                ways.extend(self.in_way(kept).copies_are_kept().then_some(Way { keep_copies: false, ..kept }));
            }
        }
        ways.retain(|way| *way != own);
        // The first of these is among the others where none is left out.
        let mut seen = std::collections::HashSet::new();
        ways.retain(|way| seen.insert(*way));
        ways
    }

    /// The ways to cut its window: as described, and into as many segments as there are powers of 2 in it, if they are
    /// shorter, each with all and with few states between segments kept; about three times as many, if it should be
    /// `fine`.
    fn cuts(&self, fine: bool) -> Vec<Option<Segments>> {
        if self.network.only_whole(self.lengths).is_some() {
            return vec![self.segments];
        }
        let longest = self.segments.map_or(self.window, |s| s.timesteps);
        let powers = (1..=15).flat_map(|power| [(1 << power, true), (3 << (power - 1), fine)]);
        let counts = powers.filter(|&(n, wanted)| wanted && n <= self.window).map(|(n, _)| n);
        let mut cuts: Vec<Option<Segments>> = vec![self.segments];
        for count in counts {
            let timesteps = self.window.div_ceil(count);
            if timesteps > longest {
                continue;
            }
            let count = self.window.div_ceil(timesteps);
            let few =
                [(count / 4, fine), (count.ilog2(), true)].into_iter().filter(|&(_, wanted)| wanted && count >= 8);
            let few = few.map(|(states, _)| Some(states));
            cuts.extend(std::iter::once(None).chain(few).map(|states| Some(Segments { timesteps, states })));
        }
        cuts.dedup();
        cuts
    }
}

impl Planned {
    /// Whether all that it exceeds could be less in another way.
    pub(super) fn is_too_large(&self) -> bool {
        let found = self.plan.violations(self.memory());
        self.training.learn && found.iter().all(|violation| BARGAINED.contains(&violation.limit))
    }
}

impl Offer {
    /// Of two that take as long, the smaller comes first.
    fn faster_first(&self, other: &Self) -> Ordering {
        let key = |Offer { way, texture, .. }: &Self| {
            let Way { accumulate, segments, recompute, release_gradients, keep_copies } = *way;
            (accumulate, segments, recompute, release_gradients, !keep_copies, *texture)
        };
        let seconds = self.seconds.total_cmp(&other.seconds);
        seconds.then(self.bytes.cmp(&other.bytes)).then_with(|| key(self).cmp(&key(other)))
    }

    fn of(way: Way, sketch: &Sketch) -> Self {
        let seconds = sketch.seconds(way.accumulate);
        Self { way, texture: sketch.texture_bytes > 0, bytes: sketch.least_bytes(), seconds }
    }
}
