//! Ctrl-C: the first asks for an end after the current step, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// What a shell reports of a process that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Listens from now on to Ctrl-C, and to the signals that ask to end or hang up.
pub(crate) fn listen() {
    let asked_again = || {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    };
    // Where no handler can be set, Ctrl-C ends the process, as it would have.
    let _ = ctrlc::set_handler(asked_again);
}

/// Asks for an end, as Ctrl-C does.
pub(crate) fn ask() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Whether an end was asked for.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
