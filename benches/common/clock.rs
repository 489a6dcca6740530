//! Time as it is told of a bench: on the wall, and on processors. The second is what noise hurts
//! least, and what a software adapter spends on this process's account.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// A moment.
pub(crate) struct Clock {
    wall: Instant,
    cpu: ProcessTime,
}

/// What passed since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    /// Of all threads of the process, the system's part included.
    pub(crate) cpu: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: ProcessTime::now() }
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: self.cpu.elapsed() }
    }
}

/// In thousandths of a second, a `count`-th of it.
pub(crate) fn ms(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e3 / count as f64
}
