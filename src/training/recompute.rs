//! Activations recomputed on the way back: what a run may ask for, and what is worth offering.
//!
//! ```text
//! forward   [ block 0 ]--x1--[ block 1 ]--x2--[ block 2 ]      of blocks 0 and 1 only x1 and x2 are kept
//! backward  [ of 2 ][ block 1 again, from x1 ][ of 1 ][ block 0 again ][ of 0 ]
//! ```
//!
//! It is done on the graph ([`Graph::recompute`](crate::graph::Graph::recompute)) and knows nothing of layers: a
//! network written by hand is cut like any other. The same kernels make the same numbers again, dropout's among them,
//! which are counted; so no bit of an update changes.

use super::{Network, Training};
use crate::error::Error;
use crate::nn::{LayerError, LayerKind};

/// Numbers of blocks that are looked at. Of n equal layers in about `sqrt(2 n)` blocks the least is kept.
const OFFERED: [u32; 9] = [2, 3, 4, 6, 8, 12, 16, 24, 32];

impl Training {
    pub(super) fn check_recompute(&self) -> Result<(), Error> {
        match self.recompute {
            Some(blocks @ (0 | 1)) => Err(Error::Input(format!(
                "`recompute` is {blocks}: it is the number of blocks that the network is cut into, of which all but the \
                 last are worked out again on the way back; give it at least 2, or leave it out, and nothing is"
            ))),
            _ => Ok(()),
        }
    }

    /// Holds against what was asked for how many blocks there are.
    pub(super) fn check_blocks(&self, found: usize) -> Result<(), LayerError> {
        match self.recompute {
            Some(blocks) if found < 2 => Err(LayerError {
                layer: "network".into(),
                reason: format!(
                    "it cannot be cut into {blocks} blocks: nowhere does less pass from one layer to the next than is \
                     kept before it for the way back, but for what goes on with carried state, which is not made again; \
                     leave out `recompute`"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Numbers of blocks that may save something, where a micro-step takes so many `dispatches`.
    pub(super) fn numbers_of_blocks(&self, dispatches: u64) -> Vec<u32> {
        let layers = match &self.network {
            Network::Layers { model, .. } => {
                let of = |kind: &LayerKind| if let LayerKind::Recurrent(all) = kind { all.layers } else { 1 };
                model.layers.iter().map(|layer| u64::from(of(&layer.kind))).fold(0, u64::saturating_add)
            }
            // About a third of what learns goes forward.
            Network::Custom(_) => dispatches / 3,
        };
        // Fewer layers than these have no block to make again in front of the last.
        let worthwhile = |blocks: &u32| layers >= 4 && u64::from(*blocks).pow(2) <= layers.saturating_mul(2);
        OFFERED.into_iter().filter(worthwhile).collect()
    }
}
