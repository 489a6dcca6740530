//! One run of a shader, and what it binds.

use std::ops::Range;

use super::{Operand, Tile, clamp};
use crate::shader::Shader;

/// A range of a value that a dispatch binds, and what it does there.
///
/// A binding that both reads and writes reads one value and writes another in the very same
/// bytes, which the op's [`Rule::in_place`](super::Rule::in_place) must demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The value whose content is read.
    pub reads: Option<Operand>,
    /// The value whose content is made.
    pub writes: Option<Operand>,
    /// Which bytes of the value, from its own start.
    pub bytes: Range<u64>,
    /// Bytes bound in front of those, so that the binding starts at a multiple of the device's
    /// alignment; the shader is told to skip them. See [`Binding::aligned`].
    pub slack: u64,
    /// The row of the plan's texture that it is copied to before the shader runs, which reads it from there; `None`
    /// where the shader has it in a buffer. See [`texture`](crate::shader::texture).
    pub texture_row: Option<u32>,
}

impl Binding {
    /// Reads these bytes of the value.
    pub fn read(operand: Operand, bytes: Range<u64>) -> Self {
        Self { reads: Some(operand), writes: None, bytes, slack: 0, texture_row: None }
    }

    /// Writes these bytes of the value.
    pub fn write(operand: Operand, bytes: Range<u64>) -> Self {
        Self { reads: None, writes: Some(operand), bytes, slack: 0, texture_row: None }
    }

    /// Reads `from` and writes `to` in the same bytes.
    pub fn update(from: Operand, to: Operand, bytes: Range<u64>) -> Self {
        Self { reads: Some(from), writes: Some(to), bytes, slack: 0, texture_row: None }
    }

    /// The same range bound from the last multiple of `align` on, and how many elements of
    /// `element_bytes` the shader has to skip.
    pub fn aligned(mut self, align: u64, element_bytes: u64) -> (Self, u32) {
        self.slack = self.bytes.start % align;
        let skip = clamp(self.slack / element_bytes);
        (self, skip)
    }

    /// Bytes from where it is bound.
    pub(crate) fn bound_bytes(&self) -> u64 {
        (self.bytes.end - self.bytes.start).saturating_add(self.slack)
    }
}

/// One run of a shader.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The shader to run.
    pub shader: Shader,
    /// The shader's `Params`, as bytes.
    pub params: Vec<u8>,
    /// Workgroups along x, y and z.
    pub groups: [u32; 3],
    /// What is bound, in binding order.
    pub bindings: Vec<Binding>,
    /// What a workgroup does, if it makes a tile of a product.
    pub tile: Option<Tile>,
}

impl Dispatch {
    /// Bytes that are copied to the texture for it, if any are.
    pub(crate) fn copied_bytes(&self) -> Option<u64> {
        let copied = self.bindings.iter().filter(|binding| binding.texture_row.is_some());
        copied.map(Binding::bound_bytes).reduce(u64::saturating_add)
    }
}
