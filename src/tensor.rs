//! The type of a tensor: its shape and how each element is stored.

use std::fmt;

/// How an element is stored. Arithmetic on floats is always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// Four bytes, floating point.
    F32,
    /// Two bytes, floating point: half the memory, 11 bits of precision.
    F16,
    /// Four bytes, whole numbers: token ids, positions, masks.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 => 2,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
        })
    }
}

/// Shape and storage of a tensor, row-major and dense.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Extent of each dimension, outermost first.
    pub shape: Vec<u32>,
    /// Storage of one element.
    pub dtype: DType,
}

impl TensorType {
    /// A dense tensor of `shape`.
    pub fn new(shape: &[u32], dtype: DType) -> Self {
        Self { shape: shape.to_vec(), dtype }
    }

    /// A dense `f32` tensor of `shape`.
    pub fn f32(shape: &[u32]) -> Self {
        Self::new(shape, DType::F32)
    }

    /// A dense `u32` tensor of `shape`.
    pub fn u32(shape: &[u32]) -> Self {
        Self::new(shape, DType::U32)
    }

    /// Number of elements, at most `u64::MAX`.
    pub fn len(&self) -> u64 {
        let extents = self.shape.iter().map(|&d| u64::from(d));
        extents.fold(1, u64::saturating_mul)
    }

    /// Whether any dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of storage, at most `u64::MAX`.
    pub fn bytes(&self) -> u64 {
        self.len().saturating_mul(self.dtype.bytes())
    }

    /// The tensor as a matrix: all dimensions but the last are rows.
    pub fn as_matrix(&self) -> (u64, u64) {
        let cols = self.shape.last().map_or(1, |&d| u64::from(d));
        let rows = self.shape[..self.shape.len().saturating_sub(1)].iter();
        let rows = rows.fold(1u64, |r, &d| r.saturating_mul(u64::from(d)));
        (rows, cols)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_past_64_bits_saturate_instead_of_wrapping() {
        let huge = TensorType::f32(&[u32::MAX, u32::MAX, u32::MAX]);
        assert_eq!(huge.len(), u64::MAX);
        assert_eq!(huge.bytes(), u64::MAX);
    }

    #[test]
    fn a_matrix_has_the_last_dimension_as_columns() {
        assert_eq!(TensorType::f32(&[2, 3, 5]).as_matrix(), (6, 5));
        assert_eq!(TensorType::f32(&[7]).as_matrix(), (1, 7));
        assert_eq!(TensorType::f32(&[]).as_matrix(), (1, 1));
    }
}
