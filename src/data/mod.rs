//! Data from files to batches: tables, series, images and arrays as examples in memory, and a loader
//! whose batches do not depend on how many threads prepare them.
//!
//! ```text
//! csv -> series ->
//! idx, mnist    -> Dataset -> split, subset -> Loader -> Batch, timesteps outermost
//! npy, npz      ->
//! ```
//!
//! A target that is `IGNORE` (ids) or NaN (numbers) teaches nothing: neither loss nor gradient.

#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod arrays;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod buffers;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod csv;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod idx;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod mnist;
#[warn(clippy::indexing_slicing, clippy::panic)]
pub mod npy;
pub mod series;
pub mod transform;

#[warn(clippy::indexing_slicing, clippy::panic)]
mod array;
mod batch;
mod classes;
mod dataset;
mod error;
mod field;
mod loader;
mod split;
mod standardise;
mod table;

pub use array::{Array, Elements};
pub use batch::{Batch, Data, INPUTS, TARGETS};
pub use classes::Classes;
pub use dataset::Dataset;
pub use error::{DataError, Fault};
pub use field::{Field, Values};
pub use loader::{LastBatch, Loader, Loading, Position};
pub use split::{Order, Parts, split};
pub use standardise::{Scaling, Standardisation};
pub use table::{Columns, Prepared, Table, Targets};

use serde::{Deserialize, Serialize};

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A number, for regression.
    Number,
    /// One of some classes.
    Class,
    /// 0 or 1, each on its own.
    Bit,
}

/// Which steps of a sequence have a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Predict {
    /// Every step has one.
    Each,
    /// The whole sequence has one.
    Last,
}
