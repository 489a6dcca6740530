//! What the device sends, as numbers, and numbers as it keeps them.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;

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

/// Whether `x` is, to a half's precision, the same number in a half: 65520 and above are infinite in one.
pub(crate) fn fits_in_half(x: f32) -> bool {
    !x.is_finite() || x.abs() < 65_520.0
}

/// What a slot that holds one tensor of this type keeps of `data`.
pub(super) fn encoded<'a>(data: &'a Data, ty: Option<&TensorType>) -> Cow<'a, [u8]> {
    match (data, ty) {
        (Data::F32(x), Some(ty)) if ty.dtype == DType::F16 => {
            // A slot of halves ends with a whole word.
            let mut halves = vec![half::f16::ZERO; x.len().next_multiple_of(2)];
            halves[..x.len()].convert_from_f32_slice(x);
            Cow::Owned(bytemuck::cast_slice(&halves).to_vec())
        }
        _ => Cow::Borrowed(data.bytes()),
    }
}

/// All numbers.
pub(super) fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
