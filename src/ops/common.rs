//! Answers that several ops share.

use std::ops::Range;

use super::{Binding, Dispatch, Lowering, Operand, clamp};
use crate::shader::Shader;
use crate::tensor::{DType, TensorType};

impl Lowering<'_> {
    /// The type of an operand.
    pub fn type_of(&self, operand: Operand) -> &TensorType {
        match operand {
            Operand::Input(i) => &self.inputs[i],
            Operand::Output(i) => &self.outputs[i],
        }
    }

    /// The type of the value that `binding` is a range of.
    pub fn type_bound(&self, binding: &Binding) -> &TensorType {
        self.type_of(binding.reads.or(binding.writes).expect("a binding reads or writes"))
    }

    /// How kernels are told that floats of this type are stored; see `shader::numbers`.
    pub fn storage(&self, operand: Operand) -> u32 {
        self.target.storage(self.type_of(operand).dtype)
    }

    /// The same for kernels that move elements and do not look at them.
    pub(super) fn storage_to_move(&self, operand: Operand) -> u32 {
        match self.type_of(operand).dtype {
            DType::F16 => self.storage(operand),
            DType::F32 | DType::U32 => 3,
        }
    }

    /// Workgroups of `size` threads that cover `len` items, folded into two dimensions where one
    /// does not reach. Shaders count them as `w.y * n.x + w.x`.
    pub fn cover(&self, len: u64, size: u32) -> [u32; 3] {
        let groups = len.div_ceil(u64::from(size)).max(1);
        let row = u64::from(self.target.limits.max_compute_workgroups_per_dimension);
        let rows = groups.div_ceil(row);
        // As even as can be, so that few threads of the last row have nothing to do.
        let across = groups.div_ceil(rows);
        [clamp(across), clamp(rows), 1]
    }

    /// Ranges of elements of at most one binding's size that cover `len` elements of four bytes.
    pub fn chunks(&self, len: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let align = self.target.align().max(16);
        // A limit below one alignment is one the plan's check refuses.
        let most = (self.target.limits.max_storage_buffer_binding_size / align * align).max(align) / 4;
        (0..len.div_ceil(most)).map(move |i| i * most..((i + 1) * most).min(len))
    }

    /// The bytes of these entries of an operand's outermost dimension.
    pub(super) fn entries(&self, operand: Operand, entries: Range<u32>) -> Range<u64> {
        let ty = self.type_of(operand);
        let one = TensorType::new(&ty.shape[1..], ty.dtype).bytes();
        u64::from(entries.start) * one..u64::from(entries.end) * one
    }

    /// The binding moved to where the device lets one start, and how many elements the kernel has to skip.
    pub(super) fn aligned(&self, binding: Binding) -> (Binding, u32) {
        let element_bytes = self.type_bound(&binding).dtype.bytes();
        binding.aligned(self.target.align().max(16), element_bytes)
    }

    /// A kernel that goes through the elements of output 0 side by side, told how many as the first of `params`;
    /// its constants are `H`, the storage of output 0, and `V`, how many elements a thread takes.
    pub(super) fn flat(&self, shader: Shader, params: Vec<u8>, bindings: Vec<Binding>) -> Dispatch {
        let len = self.outputs[0].len();
        let width = Self::width(len);
        let constants = [("H", self.storage(Operand::Output(0))), ("V", width)];
        let groups = self.cover(len / u64::from(width), 256);
        Dispatch { shader: shader.with(&constants), params, groups, bindings, tile: None }
    }

    /// The same of a kernel whose threads each stay within a row of output 0.
    pub(super) fn by_rows(&self, shader: Shader, params: Vec<u8>, bindings: Vec<Binding>) -> Dispatch {
        let (rows, cols) = self.outputs[0].as_matrix();
        let width = Self::width(cols);
        let constants = [("H", self.storage(Operand::Output(0))), ("V", width)];
        let groups = self.cover(rows.saturating_mul(cols / u64::from(width)), 256);
        Dispatch { shader: shader.with(&constants), params, groups, bindings, tile: None }
    }

    /// How many elements at once a kernel can access that goes through `len` of them side by side.
    pub(super) fn width(len: u64) -> u32 {
        if len.is_multiple_of(4) { 4 } else { 1 }
    }

    /// Writes the whole of output 0, over the last input where that is to be added to.
    pub fn write_or_add(&self, accumulate: bool) -> Binding {
        if accumulate { self.update(self.inputs.len() - 1, 0) } else { self.write(0) }
    }

    /// Reads the whole of output `i`, which an earlier dispatch of the same op has written.
    pub fn read_again(&self, i: usize) -> Binding {
        Binding::read(Operand::Output(i), 0..self.outputs[i].bytes())
    }
}

/// Why an op cannot take its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {reason}")]
pub struct ShapeError {
    /// The op's name.
    pub op: &'static str,
    /// What does not fit, with the shapes.
    pub reason: String,
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
