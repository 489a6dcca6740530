//! Windows of a text for truncated back-propagation: every row reads one stream, window after
//! window.
//!
//! ```text
//! ids    | stream 0 ............ | stream 1 ............ | ... | stream B-1 .......... | dropped |
//! stream | window 0 | window 1 | short ]     L = floor(N / B) units, ceil((L - 1) / T) windows
//!          p = 0      p = T      p = 2T      then p = 0 again, with the state zeroed
//! ```
//!
//! A window at p reads `stream[p .. p + T]` and predicts `stream[p + 1 .. p + T + 1]`.

use std::sync::Arc;

use super::TextError;
use crate::ops::IGNORE;

/// What one step reads and predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// (T, B): what is read; 0 where the target is [`IGNORE`].
    pub inputs: Vec<u32>,
    /// (T, B): what is to be predicted, or [`IGNORE`].
    pub targets: Vec<u32>,
    /// (B): whether a row's state is zeroed before this window.
    pub reset: Vec<bool>,
    /// Targets of all rows that are not [`IGNORE`]: what a sum of losses is divided by.
    pub valid: u32,
    /// B.
    pub rows: u32,
}

impl Window {
    /// Rows `[group * B / groups, (group + 1) * B / groups)` of all steps: (T, B / groups).
    ///
    /// # Panics
    /// Unless `groups` divides B and `group < groups`: whoever plans the groups has made them
    /// equal.
    pub fn rows_of(&self, group: u32, groups: u32) -> Window {
        assert!(group < groups, "group {group} of {groups} does not exist");
        assert!(self.rows.is_multiple_of(groups), "{} rows are not {groups} equal groups", self.rows);
        let rows = self.rows / groups;
        let (start, end) = ((group * rows) as usize, ((group + 1) * rows) as usize);
        let cut = |ids: &[u32]| -> Vec<u32> {
            ids.chunks_exact(self.rows as usize).flat_map(|step| &step[start..end]).copied().collect()
        };
        Window {
            inputs: cut(&self.inputs),
            targets: cut(&self.targets),
            reset: self.reset[start..end].to_vec(),
            valid: self.valid / groups, // All rows are equally long.
            rows,
        }
    }
}

/// A text cut into streams, and the next window to be read of it.
#[derive(Clone, Debug)]
pub struct Streams {
    ids: Arc<[u32]>,
    /// B
    batch: u32,
    /// T
    window: u32,
    /// L
    stream_len: usize,
    /// Windows read so far, over all passes.
    step: u64,
}

impl Streams {
    /// Bytes that they take in memory, with the window at hand.
    pub fn bytes(&self) -> u64 {
        self.bytes_with(self.batch, self.window)
    }

    /// The same of so many streams in such windows.
    pub(crate) fn bytes_with(&self, batch: u32, window: u32) -> u64 {
        let window = 2 * u64::from(batch) * u64::from(window);
        (self.ids.len() as u64).saturating_add(window).saturating_mul(size_of::<u32>() as u64)
    }

    /// Cuts `ids` into `batch` streams (B) to be read in windows of `window` units (T); what is
    /// left over is dropped.
    ///
    /// # Errors
    /// [`TextError::TooShort`] unless every stream has two units, [`TextError::Zero`] without
    /// streams or units of a window, [`TextError::WindowTooLarge`] if T * B does not fit 32 bits.
    pub fn new(ids: Arc<[u32]>, batch: u32, window: u32) -> Result<Streams, TextError> {
        for (what, value) in [("batch", batch), ("window", window)] {
            if value == 0 {
                return Err(TextError::Zero { what });
            }
        }
        if batch.checked_mul(window).is_none() {
            return Err(TextError::WindowTooLarge { batch, window, limit: u32::MAX });
        }
        let stream_len = ids.len() / batch as usize;
        if stream_len < 2 {
            let units = ids.len() as u64;
            return Err(TextError::TooShort { units, batch, largest_batch: units / 2 });
        }
        Ok(Streams { ids, batch, window, stream_len, step: 0 })
    }

    /// L: units of every stream.
    pub fn stream_len(&self) -> usize {
        self.stream_len
    }

    /// Windows until every stream is at its end: `ceil((L - 1) / T)`.
    pub fn windows_per_pass(&self) -> u64 {
        (self.stream_len as u64 - 1).div_ceil(u64::from(self.window))
    }

    /// The step whose window is next: windows read so far, over all passes.
    pub fn position(&self) -> u64 {
        self.step
    }

    /// Goes to where `step` windows have been read. Zeroes no state: only a pass's first window
    /// says `reset`.
    pub fn seek(&mut self, step: u64) {
        self.step = step;
    }

    /// The window of the next step; there always is one, as the text is read over and over.
    pub fn next_window(&mut self) -> Window {
        let window = self.window_at(self.step);
        self.step = self.step.wrapping_add(1);
        window
    }

    /// The window of any step: a function of `step` and of what these streams were made of.
    pub fn window_at(&self, step: u64) -> Window {
        let in_pass = step % self.windows_per_pass();
        let p = usize::try_from(in_pass * u64::from(self.window)).expect("a window begins within its stream");
        // The last unit is a target only.
        let readable = (self.stream_len - 1 - p).min(self.window as usize);
        let (rows, len) = (self.batch as usize, self.batch as usize * self.window as usize);
        let (mut inputs, mut targets) = (Vec::with_capacity(len), Vec::with_capacity(len));
        for at in p..p + readable {
            let starts = (0..rows).map(|row| row * self.stream_len + at);
            inputs.extend(starts.clone().map(|i| self.ids[i]));
            targets.extend(starts.map(|i| self.ids[i + 1]));
        }
        let valid = u32::try_from(targets.len()).expect("`new` checked that T * B fits");
        inputs.resize(len, 0);
        targets.resize(len, IGNORE);
        Window { inputs, targets, reset: vec![in_pass == 0; rows], valid, rows: self.batch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(units: u32, batch: u32, window: u32) -> Streams {
        Streams::new((100..100 + units).collect(), batch, window).unwrap()
    }

    /// What a row reads and predicts in a window, step by step.
    fn row(window: &Window, row: u32) -> (Vec<u32>, Vec<u32>) {
        let column = |ids: &[u32]| ids.iter().skip(row as usize).step_by(window.rows as usize).copied().collect();
        (column(&window.inputs), column(&window.targets))
    }

    #[test]
    fn windows_are_laid_out_time_by_rows_and_the_last_is_short() {
        let mut streams = streams(13, 2, 3); // Two streams of six; one unit dropped.
        assert_eq!((streams.stream_len(), streams.windows_per_pass()), (6, 2));
        let first = streams.next_window();
        assert_eq!(first.inputs, [100, 106, 101, 107, 102, 108]);
        assert_eq!(first.targets, [101, 107, 102, 108, 103, 109]);
        assert_eq!((first.reset, first.valid, first.rows), (vec![true; 2], 6, 2));
        let short = streams.next_window();
        assert_eq!(short.inputs, [103, 109, 104, 110, 0, 0]);
        assert_eq!(short.targets, [104, 110, 105, 111, IGNORE, IGNORE]);
        assert_eq!((short.reset, short.valid), (vec![false; 2], 4));
        assert_eq!(streams.next_window(), streams.window_at(0), "the second pass is the first one again");
    }

    #[test]
    fn a_pass_predicts_every_unit_of_every_stream_but_the_first_once_and_in_order() {
        for (units, batch, window) in
            [(40, 1, 1), (40, 4, 3), (41, 4, 9), (47, 4, 10), (40, 4, 11), (8, 4, 5), (37, 3, 50)]
        {
            let mut streams = streams(units, batch, window);
            let windows: Vec<Window> = (0..streams.windows_per_pass()).map(|_| streams.next_window()).collect();
            assert!(windows.iter().all(|w| w.inputs.len() == (batch * window) as usize && w.valid > 0));
            let len = units / batch;
            for r in 0..batch {
                let kept = windows.iter().flat_map(|w| {
                    let (inputs, targets) = row(w, r);
                    inputs.into_iter().zip(targets).filter(|&(_, target)| target != IGNORE)
                });
                let start = 100 + r * len;
                let wanted: Vec<(u32, u32)> = (start..start + len - 1).map(|id| (id, id + 1)).collect();
                assert_eq!(kept.collect::<Vec<_>>(), wanted, "{units} {batch} {window}");
            }
            let counted: u32 = windows.iter().map(|w| w.valid).sum();
            assert_eq!(counted, batch * (len - 1));
        }
    }

    #[test]
    fn a_window_is_a_function_of_its_step() {
        let mut in_order = streams(100, 3, 7);
        let windows: Vec<Window> = (0..20).map(|_| in_order.next_window()).collect();
        assert_eq!(in_order.position(), 20);
        for step in [19u64, 0, 7, 4, 5, 6] {
            let mut resumed = streams(100, 3, 7);
            resumed.seek(step);
            assert_eq!(resumed.position(), step);
            for window in &windows[usize::try_from(step).unwrap()..] {
                assert_eq!(&resumed.next_window(), window);
            }
        }
        assert_eq!(in_order.window_at(u64::MAX), in_order.window_at(u64::MAX % in_order.windows_per_pass()));
    }

    #[test]
    fn state_is_zeroed_where_a_pass_begins_and_nowhere_else() {
        let mut streams = streams(100, 3, 7);
        let passes = streams.windows_per_pass();
        assert_eq!(passes, 5); // 32 predictions a stream.
        for step in 0..3 * passes {
            assert_eq!(streams.next_window().reset, [step % passes == 0; 3], "{step}");
        }
    }

    #[test]
    fn groups_of_rows_are_what_the_rows_would_read_alone() {
        let mut streams = streams(85, 6, 4);
        for _ in 0..=streams.windows_per_pass() {
            let window = streams.next_window();
            for groups in [1, 2, 3, 6] {
                let parts: Vec<Window> = (0..groups).map(|group| window.rows_of(group, groups)).collect();
                assert_eq!(parts.iter().map(|part| part.valid).sum::<u32>(), window.valid);
                assert!(parts.iter().all(|part| part.rows == 6 / groups));
                let resets: Vec<bool> = parts.iter().flat_map(|part| part.reset.clone()).collect();
                assert_eq!(resets, window.reset);
                for r in 0..6 {
                    let part = &parts[(r * groups / 6) as usize];
                    assert_eq!(row(part, r % (6 / groups)), row(&window, r));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused_with_what_would_fit() {
        let new = |units: u32, batch, window| Streams::new((0..units).collect(), batch, window).map(|_| ());
        let said = new(9, 5, 3).unwrap_err().to_string();
        assert_eq!(said, "9 units cut into 5 streams leave 1 to each, and 2 are needed; the largest batch is 4");
        assert!(new(9, 4, 3).is_ok());
        assert!(new(1, 1, 3).unwrap_err().to_string().ends_with("no batch fits"));
        assert!(matches!(new(9, 0, 3), Err(TextError::Zero { what: "batch" })));
        assert!(matches!(new(9, 3, 0), Err(TextError::Zero { what: "window" })));
        let said = new(9, 1 << 16, 1 << 16).unwrap_err().to_string();
        assert!(said.contains("65536 * 65536 is more than the 4294967295"), "{said}");
    }
}
