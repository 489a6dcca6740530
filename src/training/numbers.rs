//! What the device sends, as numbers, and numbers as it keeps them.

use std::borrow::Cow;

use crate::data::Data;
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

/// What a slot that holds one tensor of this type keeps of `data`.
///
/// # Errors
/// The place and the number of the first that is finite, and infinite as it is kept.
pub(super) fn encoded<'a>(data: &'a Data, ty: Option<&TensorType>) -> Result<Cow<'a, [u8]>, (usize, f32)> {
    match (data, ty) {
        (Data::F32(x), Some(ty)) if ty.dtype == DType::F16 => {
            if let Some(at) = x.iter().position(|x| x.is_finite() && !half::f16::from_f32(*x).is_finite()) {
                return Err((at, x[at]));
            }
            let mut bytes: Vec<u8> = x.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            Ok(Cow::Owned(bytes))
        }
        _ => Ok(Cow::Borrowed(data.bytes())),
    }
}

/// All numbers.
pub(super) fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
