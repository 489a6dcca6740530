//! What is multiplied, and what becomes of it.

use crate::ops::{Function, clamp};
use crate::shader::texture;
use crate::target::Target;
use crate::tensor::DType;

/// Terms of a sum, at most, where it takes a share of the time worth saving to read what it is added to.
const FEW_TERMS: u32 = 256;

/// How the two factors lie in memory; `c` is always `(m, n)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `a (m, k)` and `b (k, n)`
    Nn,
    /// `a (m, k)` and `b (n, k)`
    Nt,
    /// `a (k, m)` and `b (k, n)`
    Tn,
}

/// Everything about one product but where its operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// How the factors lie in memory.
    pub layout: Layout,
    /// Rows of `c`.
    pub m: u32,
    /// Columns of `c`.
    pub n: u32,
    /// Terms of every sum. Without any, whatever has 16 bytes serves as `a` and `b`.
    pub k: u32,
    /// Elements from one row of `a`, as it lies, to the next: more than a row has where `a` is some
    /// columns of a wider matrix.
    pub a_stride: u32,
    /// What becomes of the sums.
    pub epilogue: Epilogue,
}

impl Product {
    /// The product of factors whose rows lie side by side.
    pub fn new(layout: Layout, [m, n, k]: [u32; 3], epilogue: Epilogue) -> Self {
        let a_stride = if layout == Layout::Tn { m } else { k };
        Self { layout, m, n, k, a_stride, epilogue }
    }

    /// Bytes that a kernel has in the texture if it reads its factors from there, where all are in full.
    pub(super) fn copied_bytes(&self, target: &Target) -> u64 {
        let sums = if self.reads_sums_from_texture(target, DType::F32) { self.sums_bytes() } else { 0 };
        self.bytes_of_each().into_iter().fold(sums, u64::saturating_add)
    }

    fn sums_bytes(&self) -> u64 {
        (u64::from(self.m) * u64::from(self.n)).saturating_mul(4)
    }

    /// Rows of a texture that they take so, at most, each in one place: either may begin within a texel.
    pub(crate) fn texture_rows(&self) -> u32 {
        let rows = self.bytes_of_each().map(|bytes| texture::rows(bytes) + 2).into_iter().fold(0, u64::saturating_add);
        clamp(rows.next_multiple_of(texture::BLOCK_ROWS))
    }

    /// Whether a kernel that reads its factors from the texture reads from there as well what it adds its sums to, of this
    /// type: of many terms the sums take so long that it matters little.
    pub(super) fn reads_sums_from_texture(&self, target: &Target, dtype: DType) -> bool {
        let rows = (texture::rows(self.sums_bytes()) + 1).next_multiple_of(texture::BLOCK_ROWS);
        let has_room = rows.saturating_add(self.texture_rows().into()) <= target.limits.max_texture_dimension_2d.into();
        self.epilogue.accumulate && self.k <= FEW_TERMS && dtype == DType::F32 && has_room
    }

    /// Bytes of each factor, where it is in full.
    pub(crate) fn bytes_of_each(&self) -> [u64; 2] {
        let [m, n, k, stride] = [self.m, self.n, self.k, self.a_stride].map(u64::from);
        let rows = if self.layout == Layout::Tn { k } else { m };
        [(rows, stride), (n, k)].map(|(rows, each)| rows.saturating_mul(each).saturating_mul(4))
    }

    /// The same with `a` being columns of a matrix that has this many.
    pub fn with_stride(self, a_stride: u32) -> Self {
        Self { a_stride, ..self }
    }
}

/// What becomes of a sum `s` before it is stored: `f(c + s)`, where the sum began with the bias,
/// or `(c + s) * f'(y)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epilogue {
    /// Adds what `c` holds.
    pub accumulate: bool,
    /// What the third operand is.
    pub extra: Extra,
    /// The function `f`.
    pub function: Function,
}

/// The third operand of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Extra {
    /// There is none.
    #[default]
    None,
    /// `(n)`, added to every row.
    Bias,
    /// `(m, n)`, results of `f`, by whose slopes there the sums are multiplied.
    Slope,
}

impl Epilogue {
    /// As the shaders read it.
    pub(super) fn flags(self) -> u32 {
        let extra = match self.extra {
            Extra::None => 0,
            Extra::Bias => 2,
            Extra::Slope => 4,
        };
        u32::from(self.accumulate) | extra | (self.function as u32) << 8
    }

    /// What texts are written out for: for this epilogue `alone`, or for any, of which each dispatch says which.
    pub(super) fn constants(self, alone: bool) -> Vec<(&'static str, u32)> {
        if !alone {
            return vec![("E", 1)];
        }
        let slope = self.extra == Extra::Slope;
        vec![("E", 0), ("A", u32::from(self.accumulate)), ("S", u32::from(slope)), ("F", self.function as u32)]
    }
}
