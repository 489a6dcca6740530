//! One of the problems a packing falls into, with its best places so far and what is to be tried next.

use std::fmt;

use super::meetings::Meetings;
use super::problem::Problem;
use super::search::{Measure, Outcome, Rule, Search};
use super::skyline::{KEYS, Layout};
use crate::random::{Purpose, Stream};

/// How searches of successive rounds decide what is next. No one is best for all.
const GUIDES: [(Rule, Measure); 8] = [
    (Rule::Fewest, Measure::Life),
    (Rule::Lowest, Measure::Area),
    (Rule::Tightest, Measure::Life),
    (Rule::Fewest, Measure::Bytes),
    (Rule::Both, Measure::Life),
    (Rule::Lowest, Measure::Life),
    (Rule::Tightest, Measure::Area),
    (Rule::Both, Measure::Bytes),
];

/// How many capacities are tried in turn. Each meets each guide, as 3 and 8 have no common divisor.
const TARGETS: u64 = 3;

/// The shortest search is long enough to place every item so many times, and takes so many touches at least, which
/// decide a dozen items.
const DESCENTS: u64 = 6;
const LEAST_TOUCHES: u64 = 200_000;

/// Lists of meetings longer than this are not made: a search would get nowhere.
const MOST_MEETINGS: u64 = 1 << 23;

/// Searches get so many times the effort of further skylines.
const SEARCHES: u64 = 8;

/// About what it takes to place an item along a skyline, in innermost comparisons.
const SKYLINE_TOUCHES: u64 = 1500;

/// With more items than this, putting the largest first takes so long that it is a round of its own.
const MANY: u64 = 1 << 14;

/// A way to find places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Along a skyline, in some order.
    Skyline,
    /// The largest first, each as low as it may lie.
    LargestFirst,
    /// By asking of one value after the other whether it lies as low as it may.
    Search,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::Skyline => "skyline",
            Way::LargestFirst => "largest first",
            Way::Search => "search",
        })
    }
}

/// Values that meet none of the others.
pub(super) struct Part {
    pub(super) problem: Problem,
    pub(super) best: Layout,
    /// How the best was found.
    pub(super) found: Way,
    /// What no packing is smaller than.
    pub(super) bound: u64,
    /// Made when first needed.
    meetings: Option<Meetings>,
    /// Touches of the shortest search; `None` if there are too many meetings for one.
    shortest: Option<u64>,
    /// Whether the largest first are still to be tried.
    largest_first: bool,
    skylines: Rounds,
    searches: Rounds,
}

/// Rounds of one way.
#[derive(Default)]
struct Rounds {
    count: u64,
    touches: u64,
}

impl Part {
    /// Packs in the quick ways until the arena is no larger than `enough`.
    pub(super) fn new(problem: Problem, enough: u64) -> Part {
        let mut best = (u64::MAX, Vec::new());
        for key in KEYS {
            if best.0 > enough {
                best = best.min(problem.skyline(&problem.order(key)));
            }
        }
        let (entries, descent) = Meetings::forecast(&problem);
        let mut part = Part {
            bound: problem.fullest.0,
            largest_first: best.0 > enough,
            best,
            found: Way::Skyline,
            meetings: None,
            shortest: (entries <= MOST_MEETINGS).then_some((DESCENTS * descent).max(LEAST_TOUCHES)),
            skylines: Rounds::default(),
            searches: Rounds::default(),
            problem,
        };
        if part.largest_first && part.problem.items.len() as u64 <= MANY {
            part.put_largest_first();
        }
        part
    }

    /// What the next round is, and the most touches that it takes.
    fn next(&self) -> (Way, u64) {
        let items = self.problem.items.len() as u64;
        let skyline = (Way::Skyline, items * SKYLINE_TOUCHES);
        let largest_first = items * items / 2;
        match self.shortest {
            _ if self.largest_first && self.skylines.touches < largest_first => skyline,
            _ if self.largest_first => (Way::LargestFirst, largest_first),
            Some(shortest) if self.searches.touches <= self.skylines.touches.saturating_mul(SEARCHES) => {
                let length = luby(self.searches.count / (GUIDES.len() as u64 * TARGETS) + 1);
                (Way::Search, shortest.saturating_mul(length))
            }
            _ => skyline,
        }
    }

    /// The most touches that the next round takes.
    pub(super) fn cost(&self) -> u64 {
        self.next().1
    }

    /// Tries to need less than the best, but no less than `bound`, and says how many touches that took.
    pub(super) fn round(&mut self, bound: u64) -> u64 {
        let (way, limit) = self.next();
        match way {
            Way::LargestFirst => {
                self.put_largest_first();
                limit
            }
            Way::Skyline => {
                self.try_skyline();
                self.skylines.touches += limit;
                limit
            }
            Way::Search => {
                let touches = self.search(bound, limit);
                self.searches.touches += touches;
                touches
            }
        }
    }

    fn put_largest_first(&mut self) {
        self.largest_first = false;
        if let Some(better) = self.problem.largest_first(self.best.0) {
            self.take(better, Way::LargestFirst);
        }
    }

    /// Fills a skyline in the order of areas, as the noise has it.
    #[allow(clippy::cast_precision_loss, reason = "the noise is greater")]
    fn try_skyline(&mut self) {
        let mut noise = Stream::new(1, Purpose::Packing, self.skylines.count);
        self.skylines.count += 1;
        let mut heard = |(life, bytes): (usize, u64)| life as f64 * bytes as f64 * (0.9 + 0.2 * noise.next_f64());
        let areas: Vec<f64> = self.problem.items.iter().map(|i| heard((i.to - i.from, i.bytes))).collect();
        let mut order: Vec<usize> = (0..areas.len()).collect();
        order.sort_by(|&a, &b| areas[b].total_cmp(&areas[a]).then(a.cmp(&b)));
        let layout = self.problem.skyline(&order);
        self.take(layout, Way::Skyline);
    }

    /// Searches for a packing that needs no more than some capacity below the best.
    fn search(&mut self, bound: u64, limit: u64) -> u64 {
        let round = self.searches.count;
        self.searches.count += 1;
        let span = self.best.0 - 1 - bound;
        // The bound itself is often met, and leaves the least to be tried; else every step on the way to it is a gain.
        let capacity = match round % TARGETS {
            0 => bound,
            1 => bound + span / 2,
            _ => bound + span / 4 * 3,
        };
        let guide = GUIDES[usize::try_from(round % GUIDES.len() as u64).expect("there are few")];
        let mut noise = Stream::new(0, Purpose::Packing, round);
        let meetings = self.meetings.get_or_insert_with(|| Meetings::new(&self.problem));
        let search = Search::new((&self.problem, meetings), capacity, guide, &mut noise);
        let (outcome, touches) = search.run(limit);
        match outcome {
            Outcome::Fits(offsets) => {
                let ends = self.problem.items.iter().zip(&offsets).map(|(item, offset)| offset + item.bytes);
                let layout = (ends.max().unwrap_or(0), offsets);
                self.take(layout, Way::Search);
            }
            Outcome::Impossible => self.bound = capacity + 1,
            Outcome::Spent => {}
        }
        touches
    }

    /// Keeps a layout if it is better.
    fn take(&mut self, layout: Layout, found: Way) {
        if layout.0 < self.best.0 {
            (self.best, self.found) = (layout, found);
        }
    }
}

/// 1 1 2 1 1 2 4 1 1 2 1 1 2 4 8 ...: lengths of tries that lose little whatever the best length is.
///
/// Luby, Sinclair, Zuckerman, "Optimal speedup of Las Vegas algorithms", 1993.
fn luby(mut at: u64) -> u64 {
    loop {
        let power = at.ilog2();
        if at == (2 << power) - 1 {
            return 1 << power;
        }
        at -= (1 << power) - 1;
    }
}
