//! How a workgroup makes a tile of cooperative matrices.

use super::Layout;
use super::tiling::Pace;
use crate::target::Target;

/// A tile of 16 by 16 matrices. Its texts are `shaders/prelude/cooperative.wgsl` and `product_cooperative.wgsl`.
///
/// For products of halves only: each is exact in full precision, and is summed in it. A factor that is kept in full
/// could be split into two halves, but not where its numbers may be larger than 65504 or lie below 6e-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cooperative {
    /// Threads of a subgroup.
    pub lanes: u32,
    /// Matrices of a subgroup along rows and along columns.
    pub matrices: [u32; 2],
    /// Subgroups along columns and along rows.
    pub subgroups: [u32; 2],
    /// Terms that are in shared memory at once.
    pub depth: u32,
}

/// Rows and columns of a matrix.
const SIDE: u32 = 16;

impl Cooperative {
    /// Those that `target` has, the largest first.
    pub(super) fn of(target: &Target) -> impl Iterator<Item = Self> {
        let lanes = target.fixed_subgroup().filter(|lanes| target.cooperative_matrices && [32, 64].contains(lanes));
        let all = lanes
            .into_iter()
            .flat_map(|lanes| [4, 2].map(|x| Self { lanes, matrices: [2, 2], subgroups: [x, 2], depth: 32 }));
        let all: Vec<Self> = all.filter(|matrices| matrices.fits(target)).collect();
        all.into_iter()
    }

    /// Whether a workgroup has the threads and the memory on `target`.
    pub fn fits(self, target: &Target) -> bool {
        let limits = &target.limits;
        let most = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        let shared = [Layout::Nn, Layout::Nt, Layout::Tn].into_iter().map(|layout| self.shared_bytes(layout));
        self.invocations() <= most && shared.max() <= Some(limits.max_compute_workgroup_storage_size)
    }

    /// Threads of a workgroup.
    pub fn invocations(self) -> u32 {
        self.lanes * self.subgroups[0] * self.subgroups[1]
    }

    /// Columns and rows of a tile.
    pub fn tile(self) -> [u32; 2] {
        let ([rows, columns], [x, y]) = (self.matrices, self.subgroups);
        [SIDE * columns * x, SIDE * rows * y]
    }

    /// Vectors of four halves in a slice of each factor, with two for each run of it.
    fn slices(self, layout: Layout) -> [u32; 2] {
        let [columns, rows] = self.tile();
        let across = |extent: u32| self.depth * (extent / 4 + 2);
        let a = if layout == Layout::Tn { across(rows) } else { rows * (self.depth / 4 + 2) };
        [a, across(columns)]
    }

    /// Bytes that a workgroup shares.
    pub(super) fn shared_bytes(self, layout: Layout) -> u32 {
        let vectors: u32 = self.slices(layout).into_iter().sum();
        8 * vectors + 4 * SIDE * SIDE * self.subgroups[0] * self.subgroups[1]
    }

    /// How long one term of all sums takes, as measured on an NVIDIA H200 beside the paces of [`Tiling`](super::Tiling).
    ///
    /// Twice as many matrices for each subgroup are no faster at best, and at times, from one start of the same program to
    /// the next, three times as slow: the registers of a thread are too few for them.
    pub(super) fn pace(self) -> Pace {
        match self.subgroups {
            [4, 2] => Pace { alone: 280, each: 75 },
            _ => Pace { alone: 250, each: 90 },
        }
    }

    /// What its texts are written out for.
    pub(super) fn constants(self, layout: Layout) -> Vec<(&'static str, u32)> {
        let ([r, c], [x, y]) = (self.matrices, self.subgroups);
        let [columns, rows] = self.tile();
        let [a, b] = self.slices(layout);
        let passes = |extent: u32, at_once: u32| (extent * self.depth / at_once).div_ceil(self.invocations());
        // Four neighbours at once, or four by four of a factor that is turned.
        let of_b = if layout == Layout::Nt { 16 } else { 4 };
        vec![
            ("L", self.lanes),
            ("R", r),
            ("C", c),
            ("X", x),
            ("Y", y),
            ("D", self.depth),
            ("AA", u32::from(layout != Layout::Tn)),
            ("AN", a),
            ("BN", b),
            ("PA", passes(rows, 4)),
            ("PB", passes(columns, of_b)),
        ]
    }
}
