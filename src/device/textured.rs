//! The texture of a plan, and what is copied to it.

use super::run::DeviceEngine;
use crate::engine::Engine;
use crate::ops::clamp;
use crate::shader::texture::{ROW_BYTES, TEXEL_BYTES, TEXELS};

/// A texture, and what kernels see of it.
pub(super) struct Textured {
    texture: wgpu::Texture,
    view: wgpu::TextureView,
}

impl Textured {
    pub(super) fn new(texture: wgpu::Texture) -> Self {
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Self { texture, view }
    }

    /// As kernels bind it.
    pub(super) fn bound(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::TextureView(&self.view)
    }

    /// Records that so many `bytes` of `from` are copied to the start of a row.
    fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, offset: u64, bytes: u64, row: u64) {
        let mut copy = |offset, row, width: u32, height: u32| {
            let layout = wgpu::TexelCopyBufferLayout {
                offset,
                bytes_per_row: Some(clamp(ROW_BYTES)),
                rows_per_image: Some(height),
            };
            let origin = wgpu::Origin3d { x: 0, y: clamp(row), z: 0 };
            encoder.copy_buffer_to_texture(
                wgpu::TexelCopyBufferInfo { buffer: from, layout },
                wgpu::TexelCopyTextureInfo { origin, ..self.texture.as_image_copy() },
                wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            );
        };
        let (rows, rest) = (bytes / ROW_BYTES, bytes % ROW_BYTES);
        if rows > 0 {
            copy(offset, row, TEXELS, clamp(rows));
        }
        if rest > 0 {
            copy(offset + rows * ROW_BYTES, row + rows, clamp(rest / TEXEL_BYTES), 1);
        }
    }
}

impl DeviceEngine {
    /// Whether something is copied for the dispatch of a step, before the pass that it is in.
    pub(super) fn wants_copies(&self, step: usize) -> bool {
        self.plan().schedule.steps[step].copied().next().is_some()
    }

    /// Records what is copied for the dispatch of a step.
    pub(super) fn copy_for(&self, encoder: &mut wgpu::CommandEncoder, step: usize, copy: u32) {
        let (Some(texture), plan) = (&self.texture, self.plan()) else { return };
        for (access, row) in plan.schedule.steps[step].copied() {
            let place = access.reads.and_then(|value| plan.value(value, copy)).expect("what is read has a place");
            let (from, offset) = (&self.arenas[place.arena.index()], place.offset + access.bytes.start - access.slack);
            texture.copy(encoder, from, offset, access.copied_bytes(), row);
        }
    }
}
