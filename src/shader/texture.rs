//! The texture that kernels may read what is only read from.
//!
//! Mesa's software adapter reads a storage buffer number by number, for each thread of a subgroup through memory, and a
//! texture without that: products whose factors are in a texture take a third of the time on some processors, and so do
//! optimizers whose parameters, gradients and state are. A plan
//! has one texture, and what a dispatch wants there is copied to it before, each operand from the start of a row on:
//!
//! ```text
//!             4096 texels of 16 bytes
//! row 0       [ a ..................... ]
//!     1       [ a ........ ]
//!     2       [ b ..................... ]
//! ```

/// Texels of a row. Their number is a power of two, so that kernels find a texel by shifts, and rows are as long as
/// Vulkan promises that rows may be.
pub const TEXELS: u32 = 4096;
/// Bytes of a texel: four numbers, or eight halves.
pub const TEXEL_BYTES: u64 = 16;
/// Bytes of a row.
pub const ROW_BYTES: u64 = TEXELS as u64 * TEXEL_BYTES;

/// Rows that a texture has a multiple of: llvmpipe gives it so many whether it wants them or not.
pub const BLOCK_ROWS: u64 = 4;

/// Rows that so many bytes take.
pub fn rows(bytes: u64) -> u64 {
    bytes.div_ceil(ROW_BYTES)
}
