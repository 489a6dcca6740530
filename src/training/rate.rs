//! Step sizes over the steps of a run.
