//! Buffers and textures of plans: what they are used for, and how they are asked for.

use super::Device;
use crate::engine::EngineError;
use crate::graph::Role;
use crate::plan::Texture;
use crate::shader::texture::TEXELS;

/// What the texture is made of: bits are copied, and read as they are.
pub(super) const TEXTURE_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Uint;

/// How a plan's buffer for `role` is used.
pub(super) fn usage(role: Role) -> wgpu::BufferUsages {
    let bound = match role {
        // What the host only writes; drivers place such buffers in a way of their own.
        Role::Uniforms => wgpu::BufferUsages::UNIFORM,
        _ => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
    };
    bound | wgpu::BufferUsages::COPY_DST
}

/// Creates a buffer, or says that the device has no room for it.
pub(super) fn buffer(
    device: &Device,
    bytes: u64,
    given: u64,
    usage: wgpu::BufferUsages,
    what: &'static str,
) -> Result<wgpu::Buffer, EngineError> {
    given_room(device, bytes, given, what, |device| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: bytes,
            usage,
            mapped_at_creation: false,
        })
    })
}

/// Creates the texture that kernels read from, or says that the device has no room for it.
pub(super) fn texture(device: &Device, of: Texture, given: u64) -> Result<wgpu::Texture, EngineError> {
    let what = Role::Texture.name();
    given_room(device, of.bytes(), given, what, |device| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: Some(what),
            size: wgpu::Extent3d { width: TEXELS, height: crate::ops::clamp(of.rows), depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: TEXTURE_FORMAT,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::STORAGE_BINDING,
            view_formats: &[],
        })
    })
}

/// What `make` makes of so many `bytes`, or that the device has no room for it.
fn given_room<T>(
    device: &Device,
    bytes: u64,
    given: u64,
    what: &'static str,
    make: impl FnOnce(&wgpu::Device) -> T,
) -> Result<T, EngineError> {
    if device.refusing.refuses(bytes) {
        let reason = "a test has it refuse this".into();
        return Err(EngineError::OutOfMemory { bytes, what, given, reason });
    }
    let memory = device.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validity = device.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make(&device.device);
    let invalid = pollster::block_on(validity.pop());
    let refused = pollster::block_on(memory.pop());
    tracing::debug!(bytes, what, refused = refused.is_some() || invalid.is_some(), "asked for memory");
    match refused.or(invalid) {
        Some(error) => Err(EngineError::OutOfMemory { bytes, what, given, reason: error.to_string() }),
        None => Ok(made),
    }
}
