//! How a workgroup of a graphics processor shares a tile of a product out among its threads.

use super::Layout;
use crate::target::Target;

/// A tile in shared memory. Its texts are `shaders/prelude/tiles.wgsl` and `product_tiled.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// Rows and columns of a thread, in fours.
    pub quads: [u32; 2],
    /// Threads along columns and along rows.
    pub threads: [u32; 2],
    /// Threads that share the terms of each sum; where more than one do, `quads` are one each.
    pub parts: u32,
    /// Terms that are in shared memory at once.
    pub depth: u32,
}

/// How long one term of all sums of a tile takes, in units that compare tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Of a tile alone.
    pub alone: u32,
    /// What each tile adds where there are many, in hundredths.
    pub each: u32,
}

/// The shared tiles that are worth their compilation, the largest first, and the pace of each.
///
/// Paces were measured on an NVIDIA H200 of 132 multiprocessors, where a unit is 1.25e-10 s, with `cargo bench --bench
/// variants`. On a smaller processor tiles add more to one another, which changes little of which of them is best.
pub(super) const TILINGS: [(Tiling, Pace); 8] = [
    (Tiling { quads: [2, 2], threads: [16, 16], parts: 1, depth: 16 }, Pace { alone: 1050, each: 660 }),
    (Tiling { quads: [2, 1], threads: [16, 8], parts: 1, depth: 16 }, Pace { alone: 500, each: 222 }),
    (Tiling { quads: [1, 1], threads: [16, 8], parts: 1, depth: 16 }, Pace { alone: 365, each: 160 }),
    (Tiling { quads: [1, 1], threads: [8, 8], parts: 4, depth: 64 }, Pace { alone: 150, each: 130 }),
    (Tiling { quads: [1, 1], threads: [4, 8], parts: 8, depth: 64 }, Pace { alone: 90, each: 80 }),
    (Tiling { quads: [1, 1], threads: [2, 8], parts: 16, depth: 64 }, Pace { alone: 75, each: 48 }),
    (Tiling { quads: [1, 1], threads: [2, 8], parts: 32, depth: 128 }, Pace { alone: 50, each: 68 }),
    (Tiling { quads: [1, 1], threads: [4, 2], parts: 64, depth: 256 }, Pace { alone: 28, each: 50 }),
];

impl Tiling {
    /// Columns and rows of a tile.
    pub fn tile(self) -> [u32; 2] {
        let ([rows, columns], [x, y]) = (self.quads, self.threads);
        [4 * columns * x, 4 * rows * y]
    }

    /// Threads of a workgroup.
    pub fn invocations(self) -> u32 {
        self.threads[0] * self.threads[1] * self.parts
    }

    /// Vectors of four that a workgroup shares: slices of both factors, or the parts of its sums.
    pub(super) fn vectors(self) -> u32 {
        let [columns, rows] = self.tile();
        let slices = self.depth * (columns + rows) / 4;
        if self.parts > 1 { slices.max(4 * self.invocations()) } else { slices }
    }

    /// How long one term of all sums takes.
    pub(super) fn pace(self) -> Pace {
        // A tile that is not chosen from is forced, and never compared.
        TILINGS.iter().find(|(tiling, _)| *tiling == self).map_or(TILINGS[0].1, |(_, pace)| *pace)
    }

    /// Whether a workgroup has the threads and the memory on `target`.
    pub fn fits(self, target: &Target) -> bool {
        let limits = &target.limits;
        self.invocations() <= limits.max_compute_invocations_per_workgroup
            && self.invocations() <= limits.max_compute_workgroup_size_x
            && 16 * self.vectors() <= limits.max_compute_workgroup_storage_size
    }

    /// What its texts are written out for.
    pub(super) fn constants(self, layout: Layout) -> Vec<(&'static str, u32)> {
        let ([rows, columns], [x, y]) = (self.quads, self.threads);
        // Blocks of four by four in a slice.
        let blocks = (rows * y + columns * x) * (self.depth / 4);
        // Eight quads of a factor that lies along k, in slices of four blocks, can be told apart by their blocks.
        let turns = |quads: u32, along: bool| u32::from(along && self.depth == 16 && quads.is_multiple_of(8));
        vec![
            ("R", rows),
            ("C", columns),
            ("X", x),
            ("Y", y),
            ("S", self.parts),
            ("D", self.depth),
            ("L", x.min(8)),
            ("EA", (rows * y).min(8)),
            ("EB", (columns * x).min(8)),
            ("U", (self.depth / self.parts).min(4)),
            ("P", blocks.div_ceil(self.invocations())),
            ("AA", turns(rows * y, layout != Layout::Tn)),
            ("BB", turns(columns * x, layout == Layout::Nt)),
            ("N", self.vectors()),
        ]
    }
}
