//! What is to be packed: values alive from one moment to another, and how much is alive at each.

use std::cmp::Reverse;

use super::Interval;

/// A value to place, alive from one moment to another.
pub(super) struct Item {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) bytes: u64,
    /// What its offset is a multiple of.
    pub(super) align: u64,
    /// The most that is alive at any moment of its life.
    pub(super) crowd: u64,
    /// Its place among the intervals.
    pub(super) index: usize,
}

impl Item {
    /// The lowest offset it may have that is not below `offset`.
    pub(super) fn at_or_above(&self, offset: u64) -> u64 {
        if self.align == 1 { offset } else { offset.next_multiple_of(self.align) }
    }

    /// Whether it differs in nothing but its place among the intervals.
    pub(super) fn is_twin_of(&self, other: &Item) -> bool {
        (self.from, self.to, self.bytes, self.align) == (other.from, other.to, other.bytes, other.align)
    }
}

/// Values of which no step parts those before it from those after it.
///
/// Time is counted in moments, the steps where a value is born and after which another dies before the next is born.
/// Two values that are ever alive at once are so at such a moment.
pub(super) struct Problem {
    /// By birth, without those of no size, which are in nobody's way.
    pub(super) items: Vec<Item>,
    pub(super) moments: usize,
    /// The most that is alive at once, and the first step where it is.
    pub(super) fullest: (u64, u32),
}

/// An interval with its alignment and its place among the intervals.
type Given = (Interval, u64, usize);

impl Problem {
    /// The problems that `intervals` fall into, in order of time. They share all offsets.
    pub(super) fn parts(intervals: &[Interval], aligns: impl Fn(usize) -> u64) -> Vec<Problem> {
        let sized = intervals.iter().enumerate().filter(|(_, i)| i.bytes > 0);
        let mut given: Vec<Given> = sized.map(|(index, i)| (*i, aligns(index), index)).collect();
        assert!(
            given.iter().all(|(i, align, _)| i.start < i.end && *align > 0),
            "a value is alive for at least a step"
        );
        given.sort_by_key(|(i, ..)| i.start);
        let (mut parts, mut first, mut end) = (Vec::new(), 0, 0);
        for next in 0..given.len() {
            if next > first && given[next].0.start >= end {
                parts.push(Problem::new(&given[first..next]));
                first = next;
            }
            end = end.max(given[next].0.end);
        }
        if first < given.len() {
            parts.push(Problem::new(&given[first..]));
        }
        parts
    }

    fn new(given: &[Given]) -> Problem {
        let moments = moments(given);
        let mut items = Vec::with_capacity(given.len());
        let (mut loads, mut deaths, mut total) = (vec![0; moments.len()], vec![0; moments.len() + 1], 0u64);
        for &(i, align, index) in given {
            let [from, to] = [i.start, i.end].map(|step| moments.partition_point(|&m| m < step));
            // Every value and the padding below it can stand on all others.
            let above = i.bytes.checked_add(align - 1).and_then(|bytes| total.checked_add(bytes));
            total = above.expect("the sizes of all values can be added up");
            loads[from] += i.bytes;
            deaths[to] += i.bytes;
            items.push(Item { from, to, bytes: i.bytes, align, crowd: 0, index });
        }
        for m in 1..loads.len() {
            loads[m] += loads[m - 1] - deaths[m];
        }
        // At `[k][m]`, the most that is alive at any of the 2^k moments from m on.
        let mut most = vec![loads.clone()];
        for k in 0..loads.len().max(1).ilog2() as usize {
            most.push((1 << k..most[k].len()).map(|m| most[k][m].max(most[k][m - (1 << k)])).collect());
        }
        for item in &mut items {
            let k = (item.to - item.from).ilog2() as usize;
            item.crowd = most[k][item.from].max(most[k][item.to - (1 << k)]);
        }
        let fullest = loads.into_iter().zip(moments.iter().map(|&step| Reverse(step))).max();
        let fullest = fullest.map_or((0, 0), |(load, Reverse(step))| (load, step));
        Problem { items, moments: moments.len(), fullest }
    }

    /// The items, foremost first, which is the greatest; ties go to the interval that was given first.
    pub(super) fn order<K: Ord>(&self, key: impl Fn(&Item) -> K) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|&k| (Reverse(key(&self.items[k])), self.items[k].index));
        order
    }
}

/// The last of the births between one death and the next.
fn moments(given: &[Given]) -> Vec<u32> {
    let mut births: Vec<u32> = given.iter().map(|(i, ..)| i.start).collect();
    births.dedup();
    let mut deaths: Vec<u32> = given.iter().map(|(i, ..)| i.end).collect();
    deaths.sort_unstable();
    let mut moments: Vec<u32> = Vec::with_capacity(births.len());
    let mut dead = 0;
    for birth in births {
        // Those born since the last moment are all alive at this one, unless one of them has died.
        let before = dead;
        dead += deaths[dead..].partition_point(|&death| death <= birth);
        if dead == before {
            moments.pop();
        }
        moments.push(birth);
    }
    moments
}
