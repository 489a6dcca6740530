//! What each dispatch binds: ranges of a plan's buffers, or its texture.

use super::run::DeviceEngine;
use crate::schedule::Access;

impl DeviceEngine {
    /// The bind groups of a step, one for each copy that it may run on.
    pub(super) fn bind(&self, step: usize) -> Vec<wgpu::BindGroup> {
        let accesses = &self.plan.schedule.steps[step].accesses;
        let copies_of =
            |v: crate::ids::ValueId| self.plan.graph[v].home.map_or(1, |h| self.plan.slots[h.slot.index()].copies);
        let copies = accesses.iter().flat_map(Access::values).map(copies_of).max().unwrap_or(1);
        (0..copies).map(|copy| self.bind_copy(step, copy)).collect()
    }

    fn bind_copy(&self, step: usize, copy: u32) -> wgpu::BindGroup {
        let accesses = &self.plan.schedule.steps[step].accesses;
        let entries: Vec<_> = (0u32..)
            .zip(accesses)
            .map(|(binding, access)| {
                if let (Some(_), Some(texture)) = (access.texture_row, &self.texture) {
                    return wgpu::BindGroupEntry { binding, resource: texture.bound() };
                }
                let value = access.writes.or(access.reads).expect("a binding touches a value");
                let place = self.plan.value(value, copy).expect("a value that is bound has a place");
                wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &self.arenas[place.arena.index()],
                        offset: place.offset + access.bytes.start - access.slack,
                        size: wgpu::BufferSize::new(access.bound_bytes()),
                    }),
                }
            })
            .collect();
        self.device().device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: self.pipelines.layout(accesses),
            entries: &entries,
        })
    }

    /// That of the parameters that dispatches do not carry, if there are any.
    pub(super) fn bind_uniforms(&self) -> Option<wgpu::BindGroup> {
        let (arena, layout) = (self.plan.uniforms.arena?, self.pipelines.uniforms()?);
        let (buffer, size) = (&self.arenas[arena.index()], wgpu::BufferSize::new(self.plan.uniforms.stride));
        let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size });
        let entries = &[wgpu::BindGroupEntry { binding: 0, resource }];
        Some(self.device().device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries }))
    }
}
