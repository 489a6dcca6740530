//! What the device sends, as numbers.

use crate::tensor::{DType, TensorType};

/// A size on the device as one on the host.
pub(super) fn index(n: u64) -> usize {
    usize::try_from(n).expect("what is uploaded fits in memory")
}

/// The only number, or the first.
pub(super) fn number(bytes: &[u8]) -> f32 {
    numbers(bytes)[0]
}

/// The numbers of a slot that holds one tensor of this type.
pub(super) fn decoded(bytes: &[u8], ty: Option<&TensorType>) -> Vec<f32> {
    match ty {
        Some(ty) if ty.dtype == DType::F16 => {
            let halves = bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32());
            // A slot of halves ends with a whole word.
            halves.take(index(ty.len())).collect()
        }
        _ => numbers(bytes),
    }
}

/// All numbers.
pub(super) fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
