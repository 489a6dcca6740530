//! Packing, held against judges that know nothing of it: thousands of random lives, and every order of a few.

use plimsoll::plan::place::{Clash, Interval, Packer, Packing, Placement, judge, place};
use proptest::prelude::*;

/// Lives of many kinds: long and short, large and small, of no size at all.
fn lives(most: usize, steps: u32) -> impl Strategy<Value = Vec<Interval>> {
    let life = prop_oneof![1..=steps, 1..=4u32];
    let size = prop_oneof![4 => 1..=1000u64, 2 => 1..=8u64, 1 => Just(0), 1 => Just(64)];
    let interval = (0..steps, life, size).prop_map(|(start, life, bytes)| Interval { start, end: start + life, bytes });
    prop::collection::vec(interval, 0..=most)
}

fn alignments() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(4), Just(7), Just(256)]
}

fn meet(a: &Interval, b: &Interval) -> bool {
    a.start < b.end && b.start < a.end
}

/// Looks at every pair.
fn right(intervals: &[Interval], aligns: &[u64], packing: &Packing) -> bool {
    let placed: Vec<_> = intervals.iter().zip(&packing.placements).collect();
    let apart = |(a, p): &(&Interval, &Placement), (b, q): &(&Interval, &Placement)| {
        !meet(a, b) || p.offset + a.bytes <= q.offset || q.offset + b.bytes <= p.offset
    };
    let inside = |(a, p): &(&Interval, &Placement)| p.offset + a.bytes <= packing.arena_bytes && p.bytes == a.bytes;
    placed.iter().enumerate().all(|(k, a)| inside(a) && placed[..k].iter().all(|b| apart(a, b)))
        && placed.iter().zip(aligns).all(|((i, p), align)| i.bytes == 0 || p.offset % align == 0)
}

/// Each of `order` at its lowest free offset: the height.
fn in_order(intervals: &[Interval], aligns: &[u64], order: &[usize]) -> u64 {
    let mut placed: Vec<(usize, u64)> = Vec::new();
    for &k in order.iter().filter(|&&k| intervals[k].bytes > 0) {
        let met: Vec<(u64, u64)> = placed
            .iter()
            .filter(|(other, _)| meet(&intervals[k], &intervals[*other]))
            .map(|&(other, offset)| (offset, offset + intervals[other].bytes))
            .collect();
        let above = met.iter().map(|m| m.1).chain([0]).map(|end| end.next_multiple_of(aligns[k]));
        let free = |at: &u64| met.iter().all(|&(start, end)| at + intervals[k].bytes <= start || end <= *at);
        placed.push((k, above.filter(free).min().expect("above all others it is free")));
    }
    placed.iter().map(|&(k, offset)| offset + intervals[k].bytes).max().unwrap_or(0)
}

fn greedy_by_size(intervals: &[Interval], aligns: &[u64]) -> u64 {
    let mut order: Vec<usize> = (0..intervals.len()).collect();
    order.sort_by_key(|&k| std::cmp::Reverse(intervals[k].bytes));
    in_order(intervals, aligns, &order)
}

/// The least height there is. Some order finds it, in which each has its lowest free offset: that of the offsets.
fn least(intervals: &[Interval], aligns: &[u64]) -> u64 {
    fn go(intervals: &[Interval], aligns: &[u64], order: &mut Vec<usize>, best: &mut u64) {
        let height = in_order(intervals, aligns, order);
        if height >= *best {
            return;
        }
        if order.len() == intervals.len() {
            *best = height;
        }
        for next in (0..intervals.len()).filter(|next| !order.contains(next)).collect::<Vec<_>>() {
            order.push(next);
            go(intervals, aligns, order, best);
            order.pop();
        }
    }
    let mut best = u64::MAX;
    go(intervals, aligns, &mut Vec::new(), &mut best);
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_packing_clashes_or_needs_more_than_the_largest_first(intervals in lives(60, 40)) {
        let aligns = vec![1; intervals.len()];
        let packing = place(&intervals, 1);
        prop_assert!(right(&intervals, &aligns, &packing));
        prop_assert_eq!(judge(&intervals, &aligns, &packing.placements, packing.arena_bytes), Ok(()));
        prop_assert!(packing.lower_bound_bytes <= packing.arena_bytes);
        prop_assert!(packing.arena_bytes <= greedy_by_size(&intervals, &aligns));
    }

    #[test]
    fn each_value_has_its_own_alignment(mixed in prop::collection::vec((lives(1, 30), alignments()), 0..40)) {
        let (intervals, aligns): (Vec<Interval>, Vec<u64>) =
            mixed.into_iter().flat_map(|(one, align)| one.into_iter().map(move |i| (i, align))).unzip();
        let mut packer = Packer::aligned(&intervals, &aligns);
        packer.improve(300);
        let packing = packer.packing();
        prop_assert!(right(&intervals, &aligns, &packing));
        prop_assert!(packing.arena_bytes <= greedy_by_size(&intervals, &aligns));
        prop_assert!(packer.proved_bytes() <= packing.arena_bytes);
    }

    #[test]
    fn the_judge_and_looking_at_every_pair_agree(
        intervals in lives(12, 8), offsets in prop::collection::vec(0..40u64, 12), align in alignments(), arena in 0..1100u64,
    ) {
        let aligns = vec![align; intervals.len()];
        let sized: Vec<Interval> = intervals.iter().map(|i| Interval { bytes: i.bytes.div_ceil(20).max(1), ..*i }).collect();
        let at = |(i, &offset): (&Interval, &u64)| Placement { offset, bytes: i.bytes };
        let placements: Vec<Placement> = sized.iter().zip(&offsets).map(at).collect();
        let packing = Packing { placements, arena_bytes: arena, lower_bound_bytes: 0 };
        let verdict = judge(&sized, &aligns, &packing.placements, arena);
        prop_assert_eq!(verdict.is_ok(), right(&sized, &aligns, &packing), "{:?}", verdict);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn more_effort_is_the_same_and_then_some(intervals in lives(40, 12), efforts in prop::collection::vec(0..20_000u64, 4)) {
        let mut efforts = efforts;
        efforts.sort_unstable();
        let mut packer = Packer::new(&intervals, 1);
        let (mut height, mut proved) = (u64::MAX, 0);
        for effort in efforts {
            let more = packer.improve(effort);
            let packing = packer.packing();
            prop_assert!(right(&intervals, &vec![1; intervals.len()], &packing));
            prop_assert!(packing.arena_bytes <= height && proved <= packer.proved_bytes());
            (height, proved) = (packing.arena_bytes, packer.proved_bytes());
            prop_assert!(packer.effort() <= effort, "no more than was allowed");
            prop_assert!(more || height == proved);
            let mut again = Packer::new(&intervals, 1);
            again.improve(effort);
            prop_assert_eq!(again.packing(), packing, "in one go or in several");
        }
    }

    #[test]
    fn what_is_proved_is_so(intervals in lives(6, 6), align in prop_oneof![Just(1u64), Just(7)]) {
        let aligns = vec![align; intervals.len()];
        let mut packer = Packer::aligned(&intervals, &aligns);
        let more = packer.improve(200_000);
        let least = least(&intervals, &aligns);
        prop_assert!(packer.proved_bytes() <= least && least <= packer.packing().arena_bytes);
        prop_assert!(!more, "a few are soon decided");
        prop_assert_eq!(packer.packing().arena_bytes, least);
    }

    #[test]
    fn what_is_enough_is_found_or_shown_to_be_too_little(intervals in lives(6, 6), part in 0..100u64) {
        let aligns = vec![1; intervals.len()];
        let least = least(&intervals, &aligns);
        let capacity = least * (50 + part) / 100;
        let mut packer = Packer::new(&intervals, 1).content_with(capacity);
        while packer.proved_bytes() <= capacity && packer.improve(packer.next_effort()) {}
        let found = packer.packing().arena_bytes;
        let decided = if capacity < least { packer.proved_bytes() > capacity } else { found <= capacity };
        prop_assert!(decided, "{} of {}", found, capacity);
    }
}

/// Buffers of the benchmark in `tests/data/minimalloc`.
fn minimalloc(text: &str) -> Vec<Interval> {
    let row = |line: &str| {
        let cells: Vec<u64> = line.split(',').skip(1).map(|cell| cell.parse().unwrap()).collect();
        let [start, end] = [cells[0], cells[1]].map(|time| u32::try_from(time).unwrap());
        Interval { start, end, bytes: cells[2] }
    };
    text.lines().skip(1).map(row).collect()
}

/// The height, in times the lower bound, and what is proved, after that effort.
fn packed(text: &str, effort: u64) -> (f64, u64) {
    let intervals = minimalloc(text);
    let mut packer = Packer::new(&intervals, 1);
    packer.improve(effort);
    let packing = packer.packing();
    assert!(right(&intervals, &vec![1; intervals.len()], &packing));
    (packing.arena_bytes as f64 / packing.lower_bound_bytes as f64, packing.arena_bytes)
}

const A: &str = include_str!("data/minimalloc/A.1048576.csv");
const C: &str = include_str!("data/minimalloc/C.1048576.csv");
const D: &str = include_str!("data/minimalloc/D.1048576.csv");

#[test]
fn known_hard_cases_are_packed_as_no_greedy_order_packs_them() {
    assert_eq!(packed(A, 20_000), (1.0, 1 << 20));
    assert_eq!(packed(C, 20_000), (1.0, 1_039_360));
    // What is published for this one needs 1.063 times the bound.
    let (times, bytes) = packed(D, 500_000);
    assert!(times < 1.06 && bytes <= 1 << 20, "{times}");
}

#[test]
fn hard_cases_are_far_better_than_the_largest_first_at_once() {
    for text in [A, C, D] {
        let intervals = minimalloc(text);
        let (quick, _) = packed(text, 0);
        let bound = place(&intervals, 1).lower_bound_bytes as f64;
        let greedy = greedy_by_size(&intervals, &vec![1; intervals.len()]) as f64 / bound;
        assert!(quick < 1.2 && greedy > 1.25, "{quick} {greedy}");
    }
}

#[test]
fn a_buffer_of_another_size_is_seen() {
    let interval = Interval { start: 0, end: 1, bytes: 8 };
    let clash = judge(&[interval], &[1], &[Placement { offset: 0, bytes: 4 }], 8);
    assert_eq!(clash, Err(Clash::Resized { buffer: 0, placed: 4, needed: 8 }));
    let past = judge(&[interval], &[1], &[Placement { offset: u64::MAX - 1, bytes: 8 }], u64::MAX);
    assert!(matches!(past, Err(Clash::Outside { .. })), "{past:?}");
}
