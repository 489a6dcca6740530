//! Threads that prepare batches ahead, each every so-manyth, over channels that hold one batch.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::BATCHES_PER_WORKER;
use super::recipe::{Cursor, Recipe};
use crate::data::batch::Batch;

/// The threads of a loader; dropping them ends them.
#[derive(Debug)]
pub(super) struct Workers {
    lanes: Vec<Lane>,
    /// Whose turn it is.
    turn: usize,
}

#[derive(Debug)]
struct Lane {
    /// Gone once the thread is to end: its next batch then finds no taker.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// `count` threads that prepare batches from number `first` on; none if the system will not
    /// give so many threads, as batches are the same without.
    pub(super) fn start(recipe: &Arc<Recipe>, count: usize, first: u64) -> Option<Workers> {
        let mut workers = Workers { lanes: Vec::new(), turn: 0 };
        for lane in 0..count as u64 {
            // What waits in the channel and what the thread has in hand are the worker's batches.
            let (sender, receiver) = sync_channel(BATCHES_PER_WORKER - 1);
            let mut cursor = Cursor::new(recipe);
            let (start, end) = (first.saturating_add(lane), recipe.end());
            let work = move || {
                let mut numbers = (start..end).step_by(count);
                while numbers.next().is_some_and(|n| sender.send(cursor.batch(n)).is_ok()) {}
            };
            let thread = Builder::new().name(format!("loader-{lane}")).spawn(work).ok()?;
            workers.lanes.push(Lane { batches: Some(receiver), thread: Some(thread) });
        }
        Some(workers)
    }

    /// The next batch; waits for it.
    ///
    /// # Panics
    /// As the thread did that was to prepare it.
    pub(super) fn take(&mut self) -> Batch {
        let turn = self.turn;
        self.turn = (turn + 1) % self.lanes.len();
        let lane = &mut self.lanes[turn];
        let batches = lane.batches.as_ref().expect("only dropping takes it away");
        match batches.recv() {
            Ok(batch) => batch,
            Err(_) => match lane.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => resume_unwind(panic),
                _ => unreachable!("a worker ends before its last batch only by a panic"),
            },
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // First all are told, then all are waited for.
        self.lanes.iter_mut().for_each(|lane| lane.batches = None);
        for thread in self.lanes.iter_mut().filter_map(|lane| lane.thread.take()) {
            // A panic in a batch that nobody asked for has been printed and matters to nobody.
            let _ = thread.join();
        }
    }
}
