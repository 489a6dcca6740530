//! How a workgroup makes a tile of cooperative matrices.

use super::Layout;
use super::tiling::Pace;
use crate::target::Target;

/// A tile of 16 by 16 matrices, two by two subgroups of them. Its texts are `shaders/prelude/cooperative.wgsl` and
/// `product_cooperative.wgsl`.
///
/// For products of halves only: each is exact in full precision, and is summed in it. A factor that is kept in full
/// could be split into two halves, but not where its numbers may be larger than 65504 or lie below 6e-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cooperative {
    /// Threads of a subgroup.
    pub lanes: u32,
    /// Matrices of a subgroup along columns, and as many along rows.
    pub side: u32,
}

/// Terms that are in shared memory at once.
const DEPTH: u32 = 32;

/// Rows and columns of a matrix.
const SIDE: u32 = 16;

/// Subgroups along columns and along rows.
const SUBGROUPS: u32 = 2;

impl Cooperative {
    /// Those that `target` has, the largest first.
    pub(super) fn of(target: &Target) -> impl Iterator<Item = Self> {
        let lanes = target.fixed_subgroup().filter(|lanes| target.cooperative_matrices && [32, 64].contains(lanes));
        let limits = target.limits.clone();
        let all = lanes.into_iter().flat_map(move |lanes| [4, 2].map(|side| Self { lanes, side }));
        all.filter(move |matrices| {
            let most = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
            matrices.invocations() <= most && matrices.shared_bytes() <= limits.max_compute_workgroup_storage_size
        })
    }

    /// Threads of a workgroup.
    pub fn invocations(self) -> u32 {
        self.lanes * SUBGROUPS * SUBGROUPS
    }

    /// Columns and rows of a tile.
    pub fn tile(self) -> [u32; 2] {
        [SIDE * self.side * SUBGROUPS; 2]
    }

    /// Vectors of four halves in a slice of each factor, with two for each run of it.
    fn slices(self, layout: Layout) -> [u32; 2] {
        let [columns, rows] = self.tile();
        let of = |extent: u32, along: bool| {
            if along { extent * (DEPTH / 4 + 2) } else { DEPTH * (extent / 4 + 2) }
        };
        [of(rows, layout != Layout::Tn), of(columns, layout == Layout::Nt)]
    }

    /// Bytes that a workgroup shares, at most.
    pub(super) fn shared_bytes(self) -> u32 {
        let vectors: u32 = self.slices(Layout::Nt).into_iter().sum();
        8 * vectors + 4 * SIDE * SIDE * SUBGROUPS * SUBGROUPS
    }

    /// How long one term of all sums takes, as measured on an NVIDIA H200 beside the paces of [`Tiling`](super::Tiling).
    pub(super) fn pace(self) -> Pace {
        match self.side {
            4 => Pace { alone: 550, each: 150 },
            _ => Pace { alone: 250, each: 90 },
        }
    }

    /// Whether it is any faster than others for factors that lie so: where `b` is read along k, the larger tile is
    /// slower than the smaller.
    pub(super) fn takes(self, layout: Layout) -> bool {
        self.side == 2 || layout != Layout::Nt
    }

    /// What its texts are written out for.
    pub(super) fn constants(self, layout: Layout) -> Vec<(&'static str, u32)> {
        let [columns, rows] = self.tile();
        let [a, b] = self.slices(layout);
        let passes = |extent: u32| (extent * DEPTH / 4).div_ceil(self.invocations());
        vec![
            ("L", self.lanes),
            ("R", self.side),
            ("C", self.side),
            ("X", SUBGROUPS),
            ("Y", SUBGROUPS),
            ("D", DEPTH),
            ("AA", u32::from(layout != Layout::Tn)),
            ("BB", u32::from(layout == Layout::Nt)),
            ("AN", a),
            ("BN", b),
            ("PA", passes(rows)),
            ("PB", passes(columns)),
        ]
    }
}
