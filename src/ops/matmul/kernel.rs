//! Which kernel multiplies two matrices on which device.
//!
//! | family | for | a workgroup makes | it shares |
//! |---|---|---|---|
//! | subgroup | processors whose subgroups have one known size | TM rows of Q * 4L columns | the rows of `a`, lane to lane |
//! | textured | the same, where a probe found it quicker | the same | the same, and reads both factors from a texture |
//! | tiled | graphics processors | 4RY rows of 4CX columns | slices of both factors, in shared memory |
//! | cooperative | those with matrix units, of halves | 64 rows of 128 columns, or of 64 | the same, in halves |
//! | direct | any device | 8Y rows of 32Q columns | nothing |
//!
//! All but two kinds sum over k in ascending order with one accumulator an element, so they agree to the
//! last bit wherever a device rounds `fma` alike in all of them. Tiles of which several parts of a workgroup
//! make a part of each sum, for products that would keep few workgroups busy, add those up at the end, and in
//! which order matrix units sum is theirs to know, if always the same.

use crate::ops::{Binding, Dispatch, Lowering};
use crate::shader;
use crate::shader::{Shader, texture};
use crate::target::{DeviceKind, Rates, Target, Textures};
use crate::tensor::DType;

mod cooperative;
mod dispatch;
mod product;
mod tile;
mod tiling;

pub use cooperative::Cooperative;
pub(crate) use dispatch::put_in_texture;
pub use dispatch::{Operands, dispatch_with};
pub use product::{Epilogue, Extra, Layout, Product};
pub use tile::Tile;
pub use tiling::Tiling;
use tiling::{Pace, TILINGS};

/// A kernel and the constants it is written out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// One subgroup a workgroup.
    Subgroup {
        /// Threads of a subgroup: 4, 8 or 16.
        lanes: u32,
        /// Rows of a tile, a multiple of `lanes`.
        rows: u32,
        /// Columns of a lane, in fours.
        quads: u32,
        /// Elements of one load.
        width: Width,
    },
    /// One subgroup a workgroup, the factors in a texture, four elements a load.
    Textured {
        /// Threads of a subgroup: 4, 8 or 16.
        lanes: u32,
        /// Rows of a tile, a multiple of `lanes`.
        rows: u32,
        /// Columns of a lane, in fours.
        quads: u32,
    },
    /// Slices of the factors in shared memory.
    Tiled {
        /// What a workgroup and each of its threads make.
        tiling: Tiling,
        /// Elements of one load.
        width: Width,
    },
    /// The matrix units of a graphics processor.
    Cooperative {
        /// What a workgroup makes, and of what.
        matrices: Cooperative,
        /// Elements of one load.
        width: Width,
    },
    /// Every thread for itself.
    Direct {
        /// Threads of a workgroup along y; along x there are 8.
        height: u32,
        /// Columns of a thread, in fours.
        quads: u32,
        /// Elements of one load.
        width: Width,
    },
}

/// Elements of one load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// For any matrices.
    One = 1,
    /// For matrices whose rows all start at multiples of four elements; about 1.5 times as fast on
    /// a software adapter.
    Four = 4,
}

/// Rows and quads of the subgroup tiles that are worth their compilation.
const SUBGROUP_TILES: [[u32; 2]; 7] = [[8, 2], [16, 1], [16, 2], [32, 1], [32, 2], [64, 1], [64, 2]];

/// Rows of those of whose quads each is of another gate.
const GATED_ROWS: [u32; 2] = [16, 32];
/// Quads that a thread sums, from which on a tile takes so many registers that a probe has to tell how fast it is.
const MANY_QUADS: u32 = 128;

/// How what is stored so in a buffer is stored in a texture; see `shader::numbers`.
pub(crate) fn in_texture(storage: u32) -> u32 {
    4 + storage.min(1)
}

/// What four terms of sums take, in units of [`Tile::cost`], and what an element takes that is loaded by fours from a buffer,
/// and from a texture.
const QUAD: u32 = 8;
const LOAD: u32 = 7;
const TEXTURE_LOAD: u32 = 2;

/// Terms of sums from which on the tallest tile is worth having: it loads less for each of them, and stores as much.
const LEAST_TALL: u32 = 128;
/// So many of it, at least, for each workgroup that is at work at once: of few, one too many has the others wait.
const ENOUGH_TALL: f64 = 8.0;

/// Subgroup tiles of as many quads as there are gates, each of another gate of the same units; none where `target` has
/// other kernels.
pub(crate) fn gated(target: &Target, gates: u32) -> impl Iterator<Item = Variant> {
    let lanes = subgroup_lanes(target).into_iter();
    let tiles = lanes.flat_map(|lanes| GATED_ROWS.map(|rows| (lanes, rows)));
    let tiles = tiles.filter(|(lanes, rows)| rows % lanes == 0 && lanes * rows <= 256);
    tiles.map(move |(lanes, rows)| Variant::Subgroup { lanes, rows, quads: gates, width: Width::Four })
}

/// Threads of a subgroup, where tiles are made by one.
fn subgroup_lanes(target: &Target) -> Option<u32> {
    let cpu = target.device_kind == DeviceKind::Cpu;
    target.fixed_subgroup().filter(|lanes| cpu && [4, 8, 16].contains(lanes))
}

/// Every kernel that can run on `target`, whatever it multiplies, should both factors be kept in `halves` or not;
/// those made for it first.
pub fn variants(target: &Target, halves: bool) -> Vec<Variant> {
    let widths = [Width::Four, Width::One];
    let cpu = target.device_kind == DeviceKind::Cpu;
    let subgroup = subgroup_lanes(target).into_iter().flat_map(|lanes| {
        // Of those of 64 rows one of 64 columns, which narrow registers have no use for.
        let worth = move |[rows, quads]: &[u32; 2]| rows % lanes == 0 && (*rows < 64 || lanes * quads == 16);
        let all = SUBGROUP_TILES
            .into_iter()
            .filter(worth)
            .flat_map(move |[rows, quads]| widths.map(|width| Variant::Subgroup { lanes, rows, quads, width }));
        all.filter(|variant| !variant.is_tall() || variant.width() == Width::Four)
    });
    let textured = subgroup.clone().filter(|variant| variant.width() == Width::Four && !variant.is_tall());
    let textured = textured.filter_map(Variant::textured);
    let tilings = TILINGS.into_iter().map(|(tiling, _)| tiling).filter(|tiling| tiling.fits(target));
    let tiled = tilings.flat_map(|tiling| widths.map(|width| Variant::Tiled { tiling, width }));
    // A software adapter runs a workgroup on one core, so that a tall one would leave others idle.
    let height = if cpu { 1 } else { 8 };
    let direct = [2, 1].into_iter().flat_map(|quads| widths.map(|width| Variant::Direct { height, quads, width }));
    let cooperative = Cooperative::of(target).filter(|_| halves && !cpu);
    let cooperative = cooperative.flat_map(|matrices| widths.map(|width| Variant::Cooperative { matrices, width }));
    if cpu {
        subgroup.chain(textured).chain(direct).chain(tiled).collect()
    } else {
        tiled.chain(cooperative).chain(direct).collect()
    }
}

impl Variant {
    /// Columns and rows of `c` that one workgroup makes.
    pub fn tile(self) -> [u32; 2] {
        match self {
            Variant::Subgroup { lanes, rows, quads, .. } | Variant::Textured { lanes, rows, quads } => {
                [4 * lanes * quads, rows]
            }
            Variant::Tiled { tiling, .. } => tiling.tile(),
            Variant::Cooperative { matrices, .. } => matrices.tile(),
            Variant::Direct { height, quads, .. } => [32 * quads, 8 * height],
        }
    }

    /// Fours of columns that a thread sums.
    pub(crate) fn quads(self) -> u32 {
        match self {
            Variant::Subgroup { quads, .. } | Variant::Textured { quads, .. } | Variant::Direct { quads, .. } => quads,
            Variant::Tiled { tiling, .. } => tiling.quads[0],
            Variant::Cooperative { .. } => 1,
        }
    }

    /// The constants that every text of this kernel's family is written out for.
    pub(crate) fn constants(self, layout: Layout) -> Vec<(&'static str, u32)> {
        let mut constants = match self {
            Variant::Subgroup { lanes, rows, quads, .. } | Variant::Textured { lanes, rows, quads } => {
                vec![("L", lanes), ("TM", rows), ("Q", quads)]
            }
            Variant::Tiled { tiling, .. } => tiling.constants(layout),
            Variant::Cooperative { matrices, .. } => matrices.constants(layout),
            Variant::Direct { height, quads, .. } => vec![("Y", height), ("Q", quads)],
        };
        constants.push(("V", self.width() as u32));
        constants
    }

    /// The text for products of this kind, of operands `a`, `b`, `extra` and `c` stored as
    /// [`Target::storage`] says.
    pub fn shader(self, product: &Product, [a, b, extra, c]: [u32; 4]) -> Shader {
        use Layout::{Nn, Nt, Tn};
        let shader = match (self, product.layout) {
            (Variant::Subgroup { .. } | Variant::Textured { .. }, Nn) => shader!("matmul_subgroup_nn"),
            (Variant::Subgroup { .. } | Variant::Textured { .. }, Nt) => shader!("matmul_subgroup_nt"),
            (Variant::Subgroup { .. } | Variant::Textured { .. }, Tn) => shader!("matmul_subgroup_tn"),
            (Variant::Tiled { .. }, Nn) => shader!("matmul_tiled_nn"),
            (Variant::Tiled { .. }, Nt) => shader!("matmul_tiled_nt"),
            (Variant::Tiled { .. }, Tn) => shader!("matmul_tiled_tn"),
            (Variant::Cooperative { .. }, Nn) => shader!("matmul_cooperative_nn"),
            (Variant::Cooperative { .. }, Nt) => shader!("matmul_cooperative_nt"),
            (Variant::Cooperative { .. }, Tn) => shader!("matmul_cooperative_tn"),
            (Variant::Direct { .. }, Nn) => shader!("matmul_direct_nn"),
            (Variant::Direct { .. }, Nt) => shader!("matmul_direct_nt"),
            (Variant::Direct { .. }, Tn) => shader!("matmul_direct_tn"),
        };
        let mut constants = self.constants(product.layout);
        let textured = self.is_textured();
        constants.extend(product.epilogue.constants(textured || matches!(self, Variant::Subgroup { .. })));
        let factor = |storage: u32| if textured { in_texture(storage) } else { storage };
        constants.extend([("HA", factor(a)), ("HB", factor(b)), ("HE", extra), ("HC", c)]);
        shader.with(&constants)
    }

    /// Whether it can make this product, should its operands start at multiples of four elements.
    pub fn fits(self, product: &Product) -> bool {
        let inner = match product.layout {
            Layout::Nn | Layout::Nt => product.k,
            Layout::Tn => product.m,
        };
        self.width() == Width::One || [inner, product.n, product.a_stride].iter().all(|extent| extent % 4 == 0)
    }

    /// Elements of one load.
    pub fn width(self) -> Width {
        match self {
            Variant::Subgroup { width, .. }
            | Variant::Tiled { width, .. }
            | Variant::Cooperative { width, .. }
            | Variant::Direct { width, .. } => width,
            Variant::Textured { .. } => Width::Four,
        }
    }

    /// Whether it is one of those of which a probe has to tell how fast they are: on some processors a quarter faster than
    /// any other, on some as much slower, and they take a driver a second to compile.
    pub fn is_tall(self) -> bool {
        matches!(self, Variant::Subgroup { lanes: 8, rows, quads, .. } if rows * quads >= MANY_QUADS)
    }

    /// What a probe found it to take beside what `term_cost` tells; `None` where it is not known.
    pub(crate) fn share(self, target: &Target) -> Option<f64> {
        match self {
            Variant::Textured { .. } if target.textures == Textures::Never => None,
            Variant::Textured { .. } => target.rates?.textures?.tiles,
            _ if self.is_tall() => target.rates?.tall_tiles,
            _ => Some(1.0),
        }
    }

    /// Whether it reads both factors from the plan's texture.
    pub fn is_textured(self) -> bool {
        matches!(self, Variant::Textured { .. })
    }

    /// Whether a texture may be as large as it wants for this product, if it wants one.
    pub(crate) fn has_room(self, product: &Product, target: &Target) -> bool {
        let most = target.limits.max_texture_dimension_2d;
        !self.is_textured() || texture::TEXELS <= most && product.texture_rows() <= most
    }

    /// The same tile of factors in a texture, where there is one.
    pub(crate) fn textured(self) -> Option<Self> {
        let Variant::Subgroup { lanes, rows, quads, .. } = self else { return None };
        Some(Variant::Textured { lanes, rows, quads })
    }

    /// Tiles of it in this product.
    pub(crate) fn tiles(self, product: &Product) -> u64 {
        let [columns, rows] = self.tile();
        u64::from(product.n.div_ceil(columns)) * u64::from(product.m.div_ceil(rows))
    }

    /// Whether it is too tall for this product.
    fn is_too_tall(self, product: &Product, rates: Rates) -> bool {
        let few = (self.tiles(product) as f64) < ENOUGH_TALL * rates.workgroups;
        self.is_tall() && (few || product.k < LEAST_TALL)
    }

    /// Whether it is for the devices that `other` is for, so that their costs compare.
    fn is_made_for_what(self, other: Variant) -> bool {
        let matrices = matches!((self, other), (Variant::Cooperative { .. }, Variant::Tiled { .. }));
        let textured = matches!((self, other), (Variant::Textured { .. }, Variant::Subgroup { .. }));
        matrices || textured || std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// How long it takes for this product, in units that compare it with its own family only, where it takes such a
    /// `share` of the time that is told by its size.
    pub(crate) fn cost(self, product: &Product, share: f64) -> u64 {
        let tiles = self.tiles(product);
        match self.pace() {
            Some(Pace { alone, each }) => u64::from(alone) * 100 + tiles * u64::from(each),
            None => tiles.max(2) * u64::from(self.work(0, share).cost),
        }
    }

    /// How long it takes in the same units until it begins, as so many bytes of its factors are copied.
    pub(crate) fn copying(self, product: &Product, bytes: u64, rates: Rates) -> u64 {
        let textures = rates.textures.filter(|_| self.is_textured());
        let seconds = textures.map_or(0.0, |textures| textures.seconds_of(bytes));
        let unit = rates.unit_seconds * (f64::from(product.k) + rates.tile_terms) / rates.workgroups;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is the most where it is too much"
        )]
        let units = (seconds / unit).ceil() as u64;
        units
    }

    /// That of a graphics processor's kernel.
    fn pace(self) -> Option<Pace> {
        match self {
            Variant::Tiled { tiling, .. } => Some(tiling.pace()),
            Variant::Cooperative { matrices, .. } => Some(matrices.pace()),
            Variant::Subgroup { .. } | Variant::Textured { .. } | Variant::Direct { .. } => None,
        }
    }

    /// How long one term of all sums of a tile takes, in the same units.
    fn term_cost(self) -> u32 {
        let [columns, rows] = self.tile();
        // Elements loaded and quads summed.
        let (loaded, summed) = match self {
            Variant::Subgroup { quads, .. } => (rows + columns, rows * quads),
            Variant::Textured { quads, .. } => return TEXTURE_LOAD * (rows + columns) + QUAD * rows * quads,
            // Each of the 8 threads along x loads all rows.
            Variant::Direct { height, quads, .. } => (height * (64 + columns), rows * quads),
            Variant::Tiled { .. } | Variant::Cooperative { .. } => {
                return self.pace().expect("it has one").alone;
            }
        };
        // Fitted to times on llvmpipe, where an element loaded alone takes twice as long as one of four.
        let load = if self.width() == Width::Four { LOAD } else { 2 * LOAD };
        load * loaded + QUAD * summed
    }

    /// What a workgroup does for sums of so many terms on `target`.
    pub(crate) fn work_on(self, target: &Target, terms: u32) -> Tile {
        self.work(terms, self.share(target).unwrap_or(1.0))
    }

    fn work(self, terms: u32, share: f64) -> Tile {
        Tile { terms, cost: tile::shared(self.term_cost(), share), ..Tile::default() }
    }
}

/// The dispatch of `product` by the kernel that is best for it on the target.
pub fn dispatch(
    product: &Product,
    at: &Lowering,
    [a, b]: [Binding; 2],
    extra: Option<Binding>,
    c: Binding,
) -> Dispatch {
    let dtype = |binding: &Binding| at.type_bound(binding).dtype;
    // Where there is no third operand, the first is bound in its place, and has to be declared as what it is.
    let dtypes = [dtype(&a), dtype(&b), dtype(extra.as_ref().unwrap_or(&a)), dtype(&c)];
    let operands = Operands { a, b, extra, c, dtypes };
    let halves = dtypes[0] == DType::F16 && dtypes[1] == DType::F16;
    let variant = choose(product, at.target, operands.start_at_quads(), halves);
    dispatch_with(variant, product, at.target, operands)
}

/// The cheapest kernel of those made for `target`, should both factors be kept in `halves` or not.
pub(crate) fn choose(product: &Product, target: &Target, at_quads: bool, halves: bool) -> Variant {
    choose_of(&variants(target, halves), product, product.copied_bytes(target), target, at_quads)
}

/// The cheapest of `all`, of which those made for the target come first, where so many bytes are `copied` for one that reads
/// its factors from a texture.
pub(crate) fn choose_of(all: &[Variant], product: &Product, copied: u64, target: &Target, at_quads: bool) -> Variant {
    let family = all.iter().filter(|v| v.is_made_for_what(all[0]));
    let fitting = family.filter(|v| v.fits(product) && (at_quads || v.width() == Width::One));
    let rates = target.rates.unwrap_or(Rates::assumed());
    let known = fitting.filter(|v| !v.is_too_tall(product, rates) && v.has_room(product, target));
    let known = known.filter_map(|v| Some((v, v.share(target)?)));
    let quickest =
        known.min_by_key(|(v, share)| v.cost(product, *share).saturating_add(v.copying(product, copied, rates)));
    *quickest.expect("every family has a kernel for any product").0
}

#[cfg(test)]
mod tests;
