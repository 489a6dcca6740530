//! Compiled shaders, one for each shader text of a plan.

use std::collections::HashMap;

use crate::plan::Plan;
use crate::schedule::Step;

/// The pipelines of one plan.
pub(super) struct Pipelines {
    compiled: Vec<wgpu::ComputePipeline>,
    layouts: HashMap<usize, wgpu::BindGroupLayout>,
    /// For each step, which of `compiled` it runs.
    of_step: Vec<usize>,
}

impl Pipelines {
    /// Compiles what `plan` dispatches.
    pub(super) fn new(device: &wgpu::Device, plan: &Plan) -> Self {
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut all = Self { compiled: Vec::new(), layouts: HashMap::new(), of_step: Vec::new() };
        for step in &plan.schedule.steps {
            let key = step.dispatch.shader.label();
            let index = *known.entry(key).or_insert_with(|| all.compile(device, step));
            all.of_step.push(index);
        }
        all
    }

    fn compile(&mut self, device: &wgpu::Device, step: &Step) -> usize {
        let shader = &step.dispatch.shader;
        let label = shader.label();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(shader.text().into()),
        });
        let bindings = step.accesses.len();
        let layout = self.layouts.entry(bindings).or_insert_with(|| bind_group_layout(device, bindings));
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(layout)],
            immediate_size: crate::ops::clamp(step.dispatch.params.len() as u64),
        });
        self.compiled.push(device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(shader.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        }));
        self.compiled.len() - 1
    }

    /// The pipeline that step `step` runs, and its number.
    pub(super) fn of(&self, step: usize) -> (usize, &wgpu::ComputePipeline) {
        let index = self.of_step[step];
        (index, &self.compiled[index])
    }

    /// The layout of bind groups with `bindings` bindings.
    pub(super) fn layout(&self, bindings: usize) -> &wgpu::BindGroupLayout {
        &self.layouts[&bindings]
    }
}

/// All bindings are read-write: one buffer may not be bound both read-only and read-write in a
/// dispatch, and arenas hold what is read beside what is written. The replay proves that no
/// dispatch writes what it should not.
fn bind_group_layout(device: &wgpu::Device, bindings: usize) -> wgpu::BindGroupLayout {
    let entries: Vec<_> = (0u32..)
        .take(bindings)
        .map(|binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: false },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}
