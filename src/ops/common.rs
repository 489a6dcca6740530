//! Answers that several ops share.

use std::ops::Range;

use super::{Binding, Lowering, Operand, ShapeError};
use crate::tensor::{DType, TensorType};

impl Lowering<'_> {
    /// Writes the whole of output 0, over the last input where that is to be added to.
    pub fn write_or_add(&self, accumulate: bool) -> Binding {
        if accumulate { self.update(self.inputs.len() - 1, 0) } else { self.write(0) }
    }

    /// Reads the whole of output `i`, which an earlier dispatch of the same op has written.
    pub fn read_again(&self, i: usize) -> Binding {
        Binding::read(Operand::Output(i), 0..self.outputs[i].bytes())
    }
}

impl ShapeError {
    /// Refuses for this reason unless the inputs fit.
    pub(super) fn unless(fit: bool, op: &'static str, reason: impl FnOnce() -> String) -> Result<(), Self> {
        if fit {
            return Ok(());
        }
        Err(Self { op, reason: reason() })
    }

    /// Refuses an input that does not hold floating point numbers.
    pub(super) fn unless_floats(op: &'static str, name: &str, of: &TensorType) -> Result<(), Self> {
        let floats = of.dtype != DType::U32;
        Self::unless(floats, op, || format!("{name} {of} holds whole numbers, not floats"))
    }

    /// Refuses an input that is not of the only type possible.
    pub(super) fn unless_is(op: &'static str, name: &str, of: &TensorType, expected: &TensorType) -> Result<(), Self> {
        Self::unless(of == expected, op, || format!("{name} {of} must be {expected}"))
    }
}

/// Refuses a last input that cannot be added to `sum`, where an op adds to its last input.
pub(super) fn check_old(
    op: &'static str,
    accumulate: bool,
    inputs: &[TensorType],
    sum: &TensorType,
) -> Result<(), ShapeError> {
    let old = inputs.last().filter(|_| accumulate);
    let fits = old.is_none_or(|old| old == sum);
    ShapeError::unless(fits, op, || format!("{} cannot be added to: the result is {sum}", inputs[inputs.len() - 1]))
}

/// What the sum of a reference starts from: the last input of an accumulating op, else zeros.
pub(super) fn start(accumulate: bool, inputs: &[&[f64]], len: usize) -> Vec<f64> {
    if accumulate { inputs[inputs.len() - 1].to_vec() } else { vec![0.0; len] }
}

/// The id or flag that a reference is given as a float.
#[expect(clippy::cast_possible_truncation, reason = "f64 holds every u32")]
pub(super) fn index(x: f64) -> usize {
    x as usize
}

/// The bytes of a range of `f32` elements.
pub(super) fn bytes_of_f32(elements: &Range<u64>) -> Range<u64> {
    elements.start * 4..elements.end * 4
}

/// `n` ids, which reach every one below `classes` and come in no order.
pub(super) fn scattered(n: u32, classes: u32) -> Vec<u32> {
    (0..n).map(|i| i * 7919 % 10_007 % classes).collect()
}
