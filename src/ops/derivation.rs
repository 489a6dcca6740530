//! What the host works out from ids, so that no shader needs float atomics.

use crate::tensor::TensorType;

/// What the host works out from an input of ids, so that no shader needs float atomics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Derivation {
    /// Positions sorted by id, equal ids in order: `u32` of the same length.
    SortedPositions {
        /// An id that belongs to no segment, though it is a class.
        without: Option<u32>,
    },
    /// Where each id's run begins in the sorted positions, and one past the last:
    /// `u32[classes + 1]`.
    Segments {
        /// Ids run from 0 up to this, exclusive.
        classes: u32,
        /// An id whose segment is empty, wherever it occurs.
        without: Option<u32>,
    },
    /// What is left of each number when so many are taken from it, at least 0: `u32` of the same length.
    Less {
        /// What is taken.
        by: u32,
    },
}

impl Derivation {
    /// What it is called beside the name of what it is derived from.
    pub fn name(self) -> String {
        match self {
            Derivation::SortedPositions { .. } => "positions sorted by id".into(),
            Derivation::Segments { .. } => "where each id's begin".into(),
            Derivation::Less { by } => format!("less {by}"),
        }
    }

    /// The type of what is derived from an input of `len` ids.
    pub fn output(self, len: u32) -> TensorType {
        match self {
            Derivation::SortedPositions { .. } | Derivation::Less { .. } => TensorType::u32(&[len]),
            Derivation::Segments { classes, .. } => TensorType::u32(&[classes + 1]),
        }
    }

    /// Works it out. Ids past the last class, and the one left out, belong to no segment and are sorted
    /// behind all others.
    pub fn compute(self, ids: &[u32]) -> Vec<u32> {
        match self {
            Derivation::SortedPositions { without } => {
                let mut positions: Vec<u32> = (0u32..).take(ids.len()).collect();
                positions.sort_by_key(|&p| Some(ids[p as usize]).filter(|id| Some(*id) != without).unwrap_or(u32::MAX));
                positions
            }
            Derivation::Segments { classes, without } => {
                let mut starts = vec![0; classes as usize + 1];
                for &id in ids.iter().filter(|&&id| id < classes && Some(id) != without) {
                    starts[id as usize + 1] += 1;
                }
                for i in 1..starts.len() {
                    starts[i] += starts[i - 1];
                }
                starts
            }
            Derivation::Less { by } => ids.iter().map(|id| id.saturating_sub(by)).collect(),
        }
    }
}
