//! A window worked out in segments: less of it is in memory at once, and more of it is worked out twice.
//!
//! What differentiation needs of a window is 6 tensors a timestep for an LSTM, and 2 of them, its state, are
//! enough to work the others out again. So the window is gone through once for the states between segments only;
//! then, from the last segment to the first, each is gone through again from the state before it, this time
//! keeping what differentiation needs, and differentiated at once.
//!
//! ```text
//! segment      0     1     2     3
//!              ---------------------->      forward, leaving s1 s2 s3
//!                                <====>     3 from s3, its loss, its gradients
//!                          <====>           2 from s2
//!                    <====>                 1 from s1
//!              <====>                       0
//! ```
//!
//! Everything of a segment but its states is gone before the next: activations, logits, their gradients. With
//! all states kept, the way forward is gone twice, but for the last segment. With fewer it is gone more often,
//! as seldom as that many states allow (Griewank & Walther 2000, algorithm 799, `revolve`). The sums are those
//! of the whole window in another order.

use std::ops::Range;

use serde::Serialize;

use super::Training;
use crate::error::Error;

/// How a window is worked out in segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Segments {
    /// Timesteps of each; the last may be shorter.
    pub timesteps: u32,
    /// States between segments that are kept at once, at most; `None`: all of them.
    pub states: Option<u32>,
}

impl Segments {
    /// Segments of so many timesteps, with all the states between them kept.
    pub fn of(timesteps: u32) -> Self {
        Self { timesteps, states: None }
    }
}

/// One thing that is done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Forward, from the state before it to the state behind it, of which nothing else is kept.
    Advance(usize),
    /// Forward and back, its loss and its gradients.
    Learn(usize),
}

impl Training {
    /// The segments of a window, in timesteps.
    pub(super) fn spans(&self) -> Vec<Range<u32>> {
        let each = self.segments.map_or(self.window, |s| s.timesteps).clamp(1, self.window.max(1));
        let end = |start: u32| start.saturating_add(each).min(self.window);
        (0..self.window).step_by(each as usize).map(|start| start..end(start)).collect()
    }

    /// What a micro-step does with its segments.
    pub(super) fn moves(&self) -> Vec<Move> {
        let count = self.spans().len();
        let mut moves = Vec::new();
        walk(0..count, snapshots(self.segments, count), &mut moves);
        moves
    }

    /// Timesteps that a micro-step goes forward through, those of a window and those it goes through again.
    pub(super) fn timesteps_forward(&self) -> u64 {
        let count = u64::from(self.window.div_ceil(self.segments.map_or(self.window, |s| s.timesteps).max(1)));
        let again = advances(count, snapshots(self.segments, usize::try_from(count).unwrap_or(usize::MAX)) as u64);
        let each = u64::from(self.segments.map_or(self.window, |s| s.timesteps));
        u64::from(self.window).saturating_add(again.saturating_mul(each))
    }

    pub(super) fn check_segments(&self) -> Result<(), Error> {
        let Some(segments) = self.segments else { return Ok(()) };
        if segments.timesteps == 0 {
            return Err(Error::Input(
                "a segment has 0 timesteps; give it at least 1, or leave it out for whole windows".into(),
            ));
        }
        if segments.timesteps >= self.window {
            return Ok(());
        }
        match self.network.only_whole(self.lengths) {
            Some(reason) => Err(Error::Input(format!(
                "the window of {} timesteps cannot be worked out in segments of {}: {reason}; leave out `segment`",
                self.window, segments.timesteps
            ))),
            None => Ok(()),
        }
    }
}

/// States in memory at most, that at the window's start among them.
fn snapshots(segments: Option<Segments>, count: usize) -> usize {
    let kept = segments.and_then(|s| s.states).map_or(usize::MAX, |states| states as usize);
    kept.saturating_add(1).min(count.max(1))
}

/// Differentiates `segments`, the state before the first of which is there, with so many `snapshots` at most, that
/// state among them.
fn walk(segments: Range<usize>, snapshots: usize, moves: &mut Vec<Move>) {
    // What is still to be differentiated, the next last: there may be more of it than a call stack is deep.
    let mut rest = vec![(segments, snapshots)];
    while let Some((Range { start, end }, snapshots)) = rest.pop() {
        match end - start {
            0 => {}
            1 => moves.push(Move::Learn(start)),
            _ if snapshots <= 1 => {
                for last in (start..end).rev() {
                    moves.extend((start..last).map(Move::Advance));
                    moves.push(Move::Learn(last));
                }
            }
            count => {
                let middle = start + split(count as u64, snapshots as u64);
                moves.extend((start..middle).map(Move::Advance));
                rest.push((start..middle, snapshots));
                rest.push((middle..end, snapshots - 1));
            }
        }
    }
}

/// Segments in front of the next state that is kept, for the fewest advances.
fn split(count: u64, snapshots: u64) -> usize {
    let times = repetitions(count, snapshots);
    // Those that can be done with one repetition less on either side; what is left over may go to either.
    let least = choose(snapshots + times - 2, snapshots);
    let most = choose(snapshots + times - 1, snapshots);
    let behind = choose(snapshots + times - 1, snapshots - 1);
    let first = count.saturating_sub(behind).clamp(least.max(1), most.max(1)).min(count - 1);
    usize::try_from(first).expect("no more than there are segments")
}

/// The fewest advances that differentiate so many segments.
fn advances(count: u64, snapshots: u64) -> u64 {
    if count <= 1 {
        return 0;
    }
    if snapshots <= 1 {
        return count.saturating_mul(count - 1) / 2;
    }
    let times = repetitions(count, snapshots);
    times.saturating_mul(count).saturating_sub(choose(snapshots + times, times - 1))
}

/// How often the way forward to a segment is gone at most, beside its own: the least such that so many snapshots
/// reach so many segments.
fn repetitions(count: u64, snapshots: u64) -> u64 {
    (1..).find(|&times| choose(snapshots + times, snapshots) >= count).expect("binomials have no bound")
}

/// The binomial coefficient, or the greatest number there is.
fn choose(n: u64, k: u64) -> u64 {
    if k > n {
        return 0;
    }
    let mut product: u128 = 1;
    for i in 0..u128::from(k.min(n - k)) {
        product = product * (u128::from(n) - i) / (i + 1);
        if product > u128::from(u64::MAX) {
            return u64::MAX;
        }
    }
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fewest advances by trying every split.
    fn by_trial(count: usize, snapshots: usize, known: &mut Vec<Vec<Option<u64>>>) -> u64 {
        if count <= 1 {
            return 0;
        }
        if snapshots == 1 {
            return (count * (count - 1) / 2) as u64;
        }
        if let Some(known) = known[count][snapshots] {
            return known;
        }
        let of = |m: usize, known: &mut Vec<Vec<Option<u64>>>| {
            m as u64 + by_trial(count - m, snapshots - 1, known) + by_trial(m, snapshots, known)
        };
        let least = (1..count).map(|m| of(m, known)).min().unwrap();
        known[count][snapshots] = Some(least);
        least
    }

    fn moves(count: usize, snapshots: usize) -> Vec<Move> {
        let mut moves = Vec::new();
        walk(0..count, snapshots, &mut moves);
        moves
    }

    /// The most states there are at once, that at the start among them, if each is dropped after its last use.
    fn most_states(moves: &[Move]) -> usize {
        let used = |state: usize, later: &[Move]| {
            for &step in later {
                match step {
                    Move::Advance(i) | Move::Learn(i) if i == state => return true,
                    // Made anew before it is used.
                    Move::Advance(i) if i + 1 == state => return false,
                    _ => {}
                }
            }
            false
        };
        let count = moves.iter().filter(|m| matches!(m, Move::Learn(_))).count();
        (0..moves.len())
            .map(|at| (0..count).filter(|&s| there(s, &moves[..at]) && used(s, &moves[at..])).count())
            .max()
            .unwrap()
    }

    fn there(state: usize, before: &[Move]) -> bool {
        state == 0 || before.contains(&Move::Advance(state - 1))
    }

    #[test]
    fn advances_are_the_fewest_that_so_many_states_allow() {
        for snapshots in 1..=9 {
            let mut known = vec![vec![None; snapshots + 1]; 61];
            for count in 1..=60 {
                let least = by_trial(count, snapshots, &mut known);
                let made = moves(count, snapshots).iter().filter(|m| matches!(m, Move::Advance(_))).count() as u64;
                assert_eq!((made, advances(count as u64, snapshots as u64)), (least, least), "{count} in {snapshots}");
            }
        }
    }

    #[test]
    fn every_segment_is_learnt_from_a_state_that_is_there_and_no_more_are_kept() {
        for count in 1..=24 {
            for snapshots in 1..=count {
                let moves = moves(count, snapshots);
                let learnt: Vec<_> = moves
                    .iter()
                    .filter_map(|m| match m {
                        Move::Learn(i) => Some(*i),
                        _ => None,
                    })
                    .collect();
                assert_eq!(learnt, (0..count).rev().collect::<Vec<_>>());
                for (at, step) in moves.iter().enumerate() {
                    let (Move::Advance(i) | Move::Learn(i)) = *step;
                    assert!(there(i, &moves[..at]), "{count} in {snapshots}: {moves:?}");
                }
                // One more while it is advanced from one to the next.
                assert!(most_states(&moves) <= snapshots + 1, "{count} in {snapshots}: {moves:?}");
            }
        }
    }

    #[test]
    fn binomials_are_right_and_stop_at_the_greatest_number() {
        assert_eq!(
            [choose(5, 2), choose(5, 0), choose(0, 0), choose(2, 3), choose(60, 30)],
            [10, 1, 1, 0, 118_264_581_564_861_424]
        );
        assert_eq!(choose(1 << 20, 1 << 19), u64::MAX);
    }
}
