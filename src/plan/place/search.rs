//! Decides whether a problem fits below a capacity.
//!
//! Every packing can be pushed down until each value rests on the floor or on another value, and can then be built
//! from below. So we keep, for each value, the lowest offset it may still have, and ask of one value at a time: does
//! it lie there? If it does, whoever it meets lies above it. If it does not, it rests on someone who is still to be
//! placed, which raises its lowest offset above where that one ends at best. We only ask where nobody it meets fits
//! below, so that the two answers share no packing and between them miss none.
//!
//! ```text
//! capacity ------------------------------------------
//!          |            [ b ]        does b lie on w?
//!          | [ a ====]               yes: c and d lie above it
//!        0 | [ w =====================] no: b lies on c or d
//!          +----------------------------------------> step
//! ```
//!
//! An answer is wrong for now as soon as, at some moment, what is still to be placed no longer fits between the lowest
//! offset of any of it and the capacity. Which value is asked next is decided by that moment which leaves the least
//! choice; moments that have often ended in failure come sooner.

use super::meetings::Meetings;
use super::problem::Problem;
use crate::random::Stream;

/// What makes a moment the next to be decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Few values can come first there.
    Fewest,
    /// It is filled least.
    Lowest,
    /// Few bytes may be lost there.
    Tightest,
    /// Few values, few bytes.
    Both,
}

/// Which of the values that are as low as each other is asked first: the one with most of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Measure {
    Life,
    Bytes,
    Area,
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It fits, and these are the offsets.
    Fits(Vec<u64>),
    /// It does not, whatever the offsets.
    Impossible,
    /// As much was done as was allowed, and nothing is known.
    Spent,
}

/// A change that can be taken back.
enum Change {
    /// The lowest offset of an item was this.
    Raised(usize, u64),
    Barred(usize),
    Unbarred(usize),
    Placed(usize),
}

/// What is known of a moment.
#[derive(Clone, Copy)]
struct Moment {
    /// The least of the lowest offsets of what is to be placed there; `NONE` if nothing is.
    floor: u64,
    /// How many values may be the next to be placed there.
    firsts: usize,
    /// Bytes that are to be placed there.
    load: u64,
    /// Grows with the failures there.
    blame: f64,
    /// Whether `floor` and `firsts` are to be found anew; if so, it is in the list of those.
    stale: bool,
}

/// The state of a search.
pub(super) struct Search<'a> {
    problem: &'a Problem,
    meetings: &'a Meetings,
    capacity: u64,
    rule: Rule,
    /// Items that come earlier are asked earlier.
    rank: Vec<usize>,
    /// The lowest offset that each item may have; the offset of one that is placed.
    low: Vec<u64>,
    placed: Vec<bool>,
    /// Items that rest on one that is still to be placed.
    barred: Vec<bool>,
    bars: Vec<usize>,
    left: usize,
    moments: Vec<Moment>,
    stale: Vec<usize>,
    changes: Vec<Change>,
    /// How much the next failure counts.
    weight: f64,
    touches: u64,
}

impl<'a> Search<'a> {
    const NONE: u64 = u64::MAX;

    pub(super) fn new(
        (problem, meetings): (&'a Problem, &'a Meetings),
        capacity: u64,
        (rule, measure): (Rule, Measure),
        noise: &mut Stream,
    ) -> Search<'a> {
        let count = problem.items.len();
        let load = |alive: &Vec<usize>| alive.iter().map(|&k| problem.items[k].bytes).sum();
        let moment = |alive| Moment { floor: 0, firsts: 0, load: load(alive), blame: 1.0, stale: true };
        Search {
            problem,
            meetings,
            capacity,
            rule,
            rank: ranks(problem, measure, noise),
            low: vec![0; count],
            placed: vec![false; count],
            barred: vec![false; count],
            bars: Vec::new(),
            left: count,
            moments: meetings.at.iter().map(moment).collect(),
            stale: (0..problem.moments).collect(),
            changes: Vec::new(),
            weight: 1.0,
            touches: 0,
        }
    }

    /// Searches until it is decided, or until there were `limit` innermost comparisons. Says also how many there were.
    pub(super) fn run(mut self, limit: u64) -> (Outcome, u64) {
        let outcome = match self.decide(limit) {
            Some(true) => Outcome::Fits(self.low),
            Some(false) => Outcome::Impossible,
            None => Outcome::Spent,
        };
        // A step is taken to its end.
        (outcome, self.touches.min(limit))
    }

    fn decide(&mut self, limit: u64) -> Option<bool> {
        // The items asked, how many changes there were before, and whether the answer is yes.
        let mut answers: Vec<(usize, usize, bool)> = Vec::new();
        let mut sound = self.refresh();
        loop {
            while !sound {
                let Some((item, before, yes)) = answers.pop() else { return Some(false) };
                self.take_back(before);
                if yes {
                    answers.push((item, before, false));
                    sound = self.bar(item);
                }
            }
            if self.left == 0 {
                return Some(true);
            }
            if self.touches > limit {
                return None;
            }
            let item = self.choose();
            answers.push((item, self.changes.len(), true));
            sound = self.settle(item);
        }
    }

    /// Places an item at its lowest offset; false if that leaves no way.
    fn settle(&mut self, item: usize) -> bool {
        let (meetings, it) = (self.meetings, &self.problem.items[item]);
        let top = self.low[item] + it.bytes;
        self.placed[item] = true;
        self.left -= 1;
        self.changes.push(Change::Placed(item));
        self.moments[it.from..it.to].iter_mut().for_each(|m| m.load -= it.bytes);
        self.outdate(item);
        self.touches += meetings.of[item].len() as u64;
        for &other in &meetings.of[item] {
            if self.placed[other] {
                continue;
            }
            if self.barred[other] {
                self.barred[other] = false;
                self.changes.push(Change::Unbarred(other));
            }
            if top > self.low[other] {
                self.raise(other, self.problem.items[other].at_or_above(top));
            }
        }
        self.lift_barred() && self.refresh()
    }

    /// Says that an item does not lie at its lowest offset; false if that leaves no way.
    fn bar(&mut self, item: usize) -> bool {
        let (items, meetings) = (&self.problem.items, self.meetings);
        // If a twin did, the two could change places.
        let free_twin = |&other: &usize| {
            items[other].is_twin_of(&items[item])
                && !(self.placed[other] || self.barred[other])
                && self.low[other] == self.low[item]
        };
        let twins: Vec<usize> = meetings.of[item].iter().copied().filter(free_twin).collect();
        self.touches += meetings.of[item].len() as u64;
        for barred in twins.into_iter().chain([item]) {
            self.barred[barred] = true;
            self.bars.push(barred);
            self.changes.push(Change::Barred(barred));
        }
        self.lift_barred() && self.refresh()
    }

    /// Raises what is barred above the lowest end of those it may rest on, until none rises any more.
    fn lift_barred(&mut self) -> bool {
        let (items, meetings) = (&self.problem.items, self.meetings);
        let mut rising = true;
        while rising {
            rising = false;
            for at in 0..self.bars.len() {
                let item = self.bars[at];
                if self.placed[item] || !self.barred[item] {
                    continue;
                }
                self.touches += meetings.of[item].len() as u64;
                let met = meetings.of[item].iter().filter(|&&other| !self.placed[other]);
                let end = met.map(|&other| self.low[other] + items[other].bytes).min();
                let low = end.map_or(Self::NONE, |end| items[item].at_or_above(end));
                if low.saturating_add(items[item].bytes) > self.capacity {
                    let crowded = (items[item].from..items[item].to).max_by_key(|&m| self.moments[m].load);
                    self.blame(crowded.expect("a value is alive for at least a moment"));
                    return false;
                }
                if low > self.low[item] {
                    self.raise(item, low);
                    rising = true;
                }
            }
        }
        true
    }

    fn raise(&mut self, item: usize, low: u64) {
        self.changes.push(Change::Raised(item, self.low[item]));
        self.low[item] = low;
        self.outdate(item);
    }

    /// Notes that the moments of an item's life are to be looked at.
    fn outdate(&mut self, item: usize) {
        let it = &self.problem.items[item];
        self.touches += (it.to - it.from) as u64;
        for m in it.from..it.to {
            if !self.moments[m].stale {
                self.moments[m].stale = true;
                self.stale.push(m);
            }
        }
    }

    /// Looks at the moments that have changed; false if one has no room for what is to be placed there.
    fn refresh(&mut self) -> bool {
        while let Some(m) = self.stale.pop() {
            let alive = &self.meetings.at[m];
            self.touches += alive.len() as u64;
            let load = self.moments[m].load;
            // Whoever comes first has all others above it.
            let last = self.capacity.saturating_sub(load);
            let (mut floor, mut firsts) = (Self::NONE, 0);
            for &k in alive {
                let low = if self.placed[k] { Self::NONE } else { self.low[k] };
                floor = floor.min(low);
                firsts += usize::from(low <= last);
            }
            if floor != Self::NONE && floor + load > self.capacity {
                self.stale.push(m);
                self.blame(m);
                return false;
            }
            self.moments[m] = Moment { floor, firsts, stale: false, ..self.moments[m] };
        }
        true
    }

    fn blame(&mut self, m: usize) {
        /// What a failure counts more than the one before it.
        const GROWTH: f64 = 1.02;
        const ENOUGH: f64 = 1e100;
        self.moments[m].blame += self.weight;
        self.weight *= GROWTH;
        if self.weight > ENOUGH {
            self.weight /= ENOUGH;
            self.moments.iter_mut().for_each(|m| m.blame /= ENOUGH);
        }
    }

    fn take_back(&mut self, before: usize) {
        while self.changes.len() > before {
            match self.changes.pop() {
                Some(Change::Raised(item, low)) => {
                    self.low[item] = low;
                    self.outdate(item);
                }
                Some(Change::Barred(item)) => {
                    self.barred[item] = false;
                    self.bars.pop();
                }
                Some(Change::Unbarred(item)) => self.barred[item] = true,
                Some(Change::Placed(item)) => {
                    let it = &self.problem.items[item];
                    self.placed[item] = false;
                    self.left += 1;
                    self.moments[it.from..it.to].iter_mut().for_each(|m| m.load += it.bytes);
                    self.outdate(item);
                }
                None => {}
            }
        }
    }

    /// The item to ask next. Nobody it meets who is to be placed fits below it.
    fn choose(&mut self) -> usize {
        self.touches += self.problem.moments as u64;
        let open = (0..self.problem.moments).filter(|&m| self.moments[m].floor != Self::NONE);
        let urgency = |&a: &usize, &b: &usize| {
            let (x, y) = (self.choice(a), self.choice(b));
            x.total_cmp(&y).then(self.moments[a].floor.cmp(&self.moments[b].floor))
        };
        let m = open.min_by(urgency).expect("something is to be placed");
        let place = |&k: &usize| (self.low[k], self.rank[k]);
        let waiting = self.meetings.at[m].iter().copied().filter(|&k| !self.placed[k]);
        let mut chosen = waiting.min_by_key(place).expect("the moment is open");
        let mut touches = self.meetings.at[m].len();
        loop {
            let met = &self.meetings.of[chosen];
            touches += met.len();
            let ends = |&k: &usize| self.low[k] + self.problem.items[k].bytes;
            let below = met.iter().copied().filter(|k| !self.placed[*k] && ends(k) <= self.low[chosen]);
            let Some(lower) = below.min_by_key(place) else { break };
            chosen = lower;
        }
        self.touches += touches as u64;
        chosen
    }

    /// How much choice a moment leaves, by the rule.
    #[allow(clippy::cast_precision_loss, reason = "what is as good as equal may be taken for equal")]
    fn choice(&self, m: usize) -> f64 {
        let Moment { floor, firsts, load, blame, .. } = self.moments[m];
        let lost = (self.capacity - load - floor) as f64 / self.capacity as f64;
        match self.rule {
            Rule::Fewest => firsts as f64 / blame,
            Rule::Lowest => floor as f64,
            Rule::Tightest => lost / blame,
            Rule::Both => (lost + 1e-3) * firsts as f64 / blame,
        }
    }
}

/// The place of each item in the order of `measure`, as the noise has it.
#[allow(clippy::cast_precision_loss, reason = "the noise is greater")]
fn ranks(problem: &Problem, measure: Measure, noise: &mut Stream) -> Vec<usize> {
    let mut heard = Vec::with_capacity(problem.items.len());
    for item in &problem.items {
        let (life, bytes) = ((item.to - item.from) as f64, item.bytes as f64);
        let much = match measure {
            Measure::Life => life,
            Measure::Bytes => bytes,
            Measure::Area => life * bytes,
        };
        heard.push(much * (0.8 + 0.4 * noise.next_f64()));
    }
    let mut order: Vec<usize> = (0..heard.len()).collect();
    order.sort_by(|&a, &b| heard[b].total_cmp(&heard[a]).then(a.cmp(&b)));
    let mut ranks = vec![0; order.len()];
    order.iter().enumerate().for_each(|(rank, &k)| ranks[k] = rank);
    ranks
}
