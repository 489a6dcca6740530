//! How a workgroup makes a tile of cooperative matrices.

use super::tiling::Pace;
use super::{Layout, Width};
use crate::target::Target;

/// A tile of 16 by 16 matrices, two by two subgroups of them. Its texts are `shaders/prelude/cooperative.wgsl` and
/// `product_cooperative.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cooperative {
    /// Threads of a subgroup.
    pub lanes: u32,
    /// Matrices of a subgroup along columns, and as many along rows.
    pub side: u32,
    /// Whether the left and the right factor are kept in halves; the other is split in two.
    pub halves: [bool; 2],
}

/// Terms that are in shared memory at once.
const DEPTH: u32 = 32;

/// Rows and columns of a matrix.
const SIDE: u32 = 16;

/// Subgroups along columns and along rows.
const SUBGROUPS: u32 = 2;

impl Cooperative {
    /// Those for factors of which these are kept in halves, should `target` have any; the largest first.
    pub(super) fn of(target: &Target, halves: [bool; 2]) -> impl Iterator<Item = Self> {
        let lanes = target.fixed_subgroup().filter(|lanes| target.cooperative_matrices && [32, 64].contains(lanes));
        let limits = target.limits.clone();
        let all = lanes.into_iter().flat_map(move |lanes| [4, 2].map(|side| Self { lanes, side, halves }));
        all.filter(move |matrices| {
            let most = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
            // Twice the products of a larger tile keep too many numbers at hand.
            let worth = if matrices.side == 4 { halves == [true; 2] } else { halves.contains(&true) };
            worth
                && matrices.invocations() <= most
                && matrices.shared_bytes() <= limits.max_compute_workgroup_storage_size
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
    fn shared_bytes(self) -> u32 {
        let slices = self.slices(Layout::Nt).into_iter().zip(self.halves);
        let vectors: u32 = slices.map(|(vectors, half)| if half { vectors } else { 2 * vectors }).sum();
        8 * vectors + 4 * SIDE * SIDE * SUBGROUPS * SUBGROUPS
    }

    /// How long one term of all sums takes, as measured on an NVIDIA H200 beside the paces of [`Tiling`](super::Tiling).
    pub(super) fn pace(self) -> Pace {
        match (self.side, self.halves) {
            (4, _) => Pace { alone: 550, each: 150 },
            (_, [true, true]) => Pace { alone: 250, each: 90 },
            _ => Pace { alone: 280, each: 120 },
        }
    }

    /// Whether it is any faster than others for factors that lie so: where `b` is read along k, the larger tile is half
    /// as fast as the smaller.
    pub(super) fn takes(self, layout: Layout) -> bool {
        self.side == 2 || layout != Layout::Nt
    }

    /// What its texts are written out for.
    pub(super) fn constants(self, layout: Layout, width: Width) -> Vec<(&'static str, u32)> {
        let [columns, rows] = self.tile();
        let [a, b] = self.slices(layout);
        let passes = |extent: u32| (extent * DEPTH / 4).div_ceil(self.invocations());
        let raw = |half: bool| u32::from(half && width == Width::Four);
        vec![
            ("L", self.lanes),
            ("R", self.side),
            ("C", self.side),
            ("X", SUBGROUPS),
            ("Y", SUBGROUPS),
            ("D", DEPTH),
            ("TA", u32::from(!self.halves[0])),
            ("TB", u32::from(!self.halves[1])),
            ("RA", raw(self.halves[0])),
            ("RB", raw(self.halves[1])),
            ("AA", u32::from(layout != Layout::Tn)),
            ("BB", u32::from(layout == Layout::Nt)),
            ("AN", a),
            ("BN", b),
            ("PA", passes(rows)),
            ("PB", passes(columns)),
        ]
    }
}
