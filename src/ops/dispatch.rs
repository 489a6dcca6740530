//! One run of a shader, and what it binds.

use std::ops::Range;

use super::{Operand, Tile, clamp};
use crate::shader::Shader;
use crate::shader::texture::rows;

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
    /// The row of the plan's texture from which on the shader reads it, copied there before unless it is `texture_kept`; `None`
    /// where the shader has it in a buffer. See [`texture`](crate::shader::texture).
    pub texture_row: Option<u32>,
    /// Whether it is in the texture already, where the dispatches of the same node before had it copied.
    pub texture_kept: bool,
}

impl Binding {
    /// Reads these bytes of the value.
    pub fn read(operand: Operand, bytes: Range<u64>) -> Self {
        Self { reads: Some(operand), writes: None, bytes, slack: 0, texture_row: None, texture_kept: false }
    }

    /// Writes these bytes of the value.
    pub fn write(operand: Operand, bytes: Range<u64>) -> Self {
        Self { reads: None, writes: Some(operand), bytes, slack: 0, texture_row: None, texture_kept: false }
    }

    /// Reads `from` and writes `to` in the same bytes.
    pub fn update(from: Operand, to: Operand, bytes: Range<u64>) -> Self {
        Self { reads: Some(from), writes: Some(to), bytes, slack: 0, texture_row: None, texture_kept: false }
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
        let copied = self.bindings.iter().filter(|binding| binding.texture_row.is_some() && !binding.texture_kept);
        copied.map(Binding::bound_bytes).reduce(u64::saturating_add)
    }
}

/// Has what is read from the texture by one of these dispatches of a node after another copied there once, for as long as
/// it lies in the same row, and neither it nor what lies there is written in between.
pub(crate) fn keep_in_texture(dispatches: &mut [Dispatch]) {
    // What lies in the texture, and in which rows.
    let mut kept: Vec<(Binding, Range<u64>)> = Vec::new();
    for dispatch in dispatches {
        let mut copied = Vec::new();
        for binding in &mut dispatch.bindings {
            let Some(row) = binding.texture_row.map(u64::from) else { continue };
            let lies = row..row + rows(binding.bound_bytes());
            binding.texture_kept = false;
            binding.texture_kept = kept.iter().any(|(earlier, of)| earlier == binding && *of == lies);
            copied.extend((!binding.texture_kept).then(|| (binding.clone(), lies)));
        }
        for (new, lies) in copied {
            kept.retain(|(_, of)| of.end <= lies.start || lies.end <= of.start);
            kept.push((new, lies));
        }
        let written = |operand| dispatch.bindings.iter().any(|binding| binding.writes == operand);
        kept.retain(|(binding, _)| !written(binding.reads));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shader;
    use crate::shader::texture::ROW_BYTES;

    /// A dispatch that reads these from the texture, each so many bytes of an operand from a row on, and writes this.
    fn reading(read: &[(Operand, u64, u32)], written: Operand) -> Dispatch {
        let reads = |&(operand, bytes, row)| Binding { texture_row: Some(row), ..Binding::read(operand, 0..bytes) };
        let bindings = read.iter().map(reads).chain([Binding::write(written, 0..16)]).collect();
        Dispatch { shader: shader!("copy"), params: Vec::new(), groups: [1; 3], bindings, tile: None }
    }

    #[test]
    fn what_lies_in_the_texture_is_copied_again_only_where_that_is_written_or_it_is_written_over() {
        let (weight, state, other) = (Operand::Input(0), Operand::Input(1), Operand::Input(2));
        let [of_step, out] = [0, 1].map(Operand::Output);
        let kept = |dispatches: &mut [Dispatch]| {
            keep_in_texture(dispatches);
            dispatches.iter().map(|dispatch| dispatch.bindings[0].texture_kept).collect::<Vec<_>>()
        };
        let step = || reading(&[(weight, 2 * ROW_BYTES, 0), (of_step, 64, 2)], of_step);
        let mut steps = [step(), step(), step()];
        assert_eq!(kept(&mut steps), [false, true, true]);
        assert!(steps.iter().all(|step| !step.bindings[1].texture_kept), "each timestep writes its own");
        assert_eq!(steps.each_ref().map(Dispatch::copied_bytes), [Some(2 * ROW_BYTES + 64), Some(64), Some(64)]);
        // Other bytes, in another row, where other bytes have come in between, and what is written in between.
        let one = |bytes, row| reading(&[(weight, bytes, row)], out);
        assert_eq!(kept(&mut [one(64, 0), one(32, 0), one(32, 1), one(32, 1)]), [false, false, false, true]);
        let over = || reading(&[(state, ROW_BYTES + 4, 1)], out);
        assert_eq!(kept(&mut [one(64, 2), over(), one(64, 2)]), [false, false, false]);
        assert_eq!(kept(&mut [one(64, 3), over(), one(64, 3)]), [false, false, true]);
        let reads_out = || reading(&[(out, 64, 0)], other);
        for (written, is_kept) in [(of_step, true), (out, false)] {
            let between = reading(&[(state, 64, 1)], written);
            assert_eq!(kept(&mut [reads_out(), between, reads_out()]), [false, false, is_kept]);
        }
        let mut all = [step(), step()];
        all[1].bindings[0].texture_row = None;
        assert_eq!((kept(&mut all), all[1].copied_bytes()), (vec![false, false], Some(64)), "read from a buffer");
    }
}
