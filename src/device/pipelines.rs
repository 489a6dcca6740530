//! Compiled shaders, one for each shader text of a plan.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{buffers, trust};
use crate::plan::Plan;
use crate::schedule::{Access, Step};
use crate::shader::Handing;
use crate::target::DeviceKind;

/// The pipelines of one plan.
pub(super) struct Pipelines {
    compiled: Vec<wgpu::ComputePipeline>,
    /// By what is bound to each binding: whether it is the texture.
    layouts: HashMap<Vec<bool>, wgpu::BindGroupLayout>,
    /// Of parameters that dispatches do not carry, if there are any.
    uniforms: Option<wgpu::BindGroupLayout>,
    /// For each step, which of `compiled` it runs.
    of_step: Vec<usize>,
}

impl Pipelines {
    /// Compiles what `plan` dispatches, on as many threads as there are cores.
    pub(super) fn new(device: &wgpu::Device, plan: &Plan) -> Self {
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut layouts = HashMap::new();
        let uniforms = plan.uniforms.arena.map(|_| uniforms_layout(device, plan.uniforms.stride));
        let mut distinct: Vec<&Step> = Vec::new();
        let mut of_step = Vec::new();
        for step in &plan.schedule.steps {
            let index = *known.entry(step.dispatch.shader.label()).or_insert_with(|| {
                let bindings = bindings(&step.accesses);
                layouts.entry(bindings).or_insert_with_key(|bindings| bind_group_layout(device, bindings));
                distinct.push(step);
                distinct.len() - 1
            });
            of_step.push(index);
        }
        let copied = plan.target.device_kind == DeviceKind::Cpu;
        let started = Instant::now();
        let compiled = in_parallel(&distinct, |step| {
            let of_params = uniforms.as_ref().filter(|_| plan.target.wants_uniforms(step.dispatch.params.len()));
            compile(device, &layouts[&bindings(&step.accesses)], of_params, copied, step)
        });
        tracing::info!(kernels = compiled.len(), seconds = started.elapsed().as_secs_f64(), "compiled");
        Self { compiled, layouts, uniforms, of_step }
    }

    /// The pipeline that step `step` runs, and its number.
    pub(super) fn of(&self, step: usize) -> (usize, &wgpu::ComputePipeline) {
        let index = self.of_step[step];
        (index, &self.compiled[index])
    }

    /// The layout of bind groups of what `accesses` bind.
    pub(super) fn layout(&self, accesses: &[Access]) -> &wgpu::BindGroupLayout {
        &self.layouts[&bindings(accesses)]
    }

    /// The layout of the group of parameters that dispatches do not carry.
    pub(super) fn uniforms(&self) -> Option<&wgpu::BindGroupLayout> {
        self.uniforms.as_ref()
    }
}

/// Of each binding, whether the texture is bound to it.
fn bindings(accesses: &[Access]) -> Vec<bool> {
    accesses.iter().map(|access| access.texture_row.is_some()).collect()
}

/// All buffers are bound read-write: one buffer may not be bound both read-only and read-write in a
/// dispatch, and arenas hold what is read beside what is written. The replay proves that no
/// dispatch writes what it should not.
fn bind_group_layout(device: &wgpu::Device, bindings: &[bool]) -> wgpu::BindGroupLayout {
    let buffer = wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only: false },
        has_dynamic_offset: false,
        min_binding_size: None,
    };
    let texture = wgpu::BindingType::StorageTexture {
        access: wgpu::StorageTextureAccess::ReadOnly,
        format: buffers::TEXTURE_FORMAT,
        view_dimension: wgpu::TextureViewDimension::D2,
    };
    let entries: Vec<_> = (0u32..)
        .zip(bindings)
        .map(|(binding, &is_texture)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: if is_texture { texture } else { buffer },
            count: None,
        })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

/// One range of `stride` bytes, wherever a dispatch says that its own begins.
fn uniforms_layout(device: &wgpu::Device, stride: u64) -> wgpu::BindGroupLayout {
    let entry = wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: true,
            min_binding_size: wgpu::BufferSize::new(stride),
        },
        count: None,
    };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry] })
}

/// Compiles what `step` runs; it has its parameters by the layout `uniforms`, or carries them, and has them `copied`.
fn compile(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    uniforms: Option<&wgpu::BindGroupLayout>,
    copied: bool,
    step: &Step,
) -> wgpu::ComputePipeline {
    let shader = &step.dispatch.shader;
    let label = shader.label();
    let started = Instant::now();
    let module = trust::module(device, &label, shader.text_for(Handing { uniforms: uniforms.is_some(), copied }));
    let groups: Vec<_> = [layout].into_iter().chain(uniforms).map(Some).collect();
    let carried = if uniforms.is_some() { 0 } else { step.dispatch.params.len() as u64 };
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &groups,
        immediate_size: crate::ops::clamp(carried),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(shader.name),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    });
    tracing::debug!(kernel = label, seconds = started.elapsed().as_secs_f64(), "compiled");
    pipeline
}

/// What `make` makes of each, in the same order, on as many threads as there are cores.
fn in_parallel<I: Sync, O: Send + Sync>(all: &[I], make: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let made: Vec<OnceLock<O>> = all.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(i) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < all.len()) {
            made[i].get_or_init(|| make(&all[i]));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        // This thread is one of them.
        for _ in 1..cores.min(all.len()) {
            scope.spawn(work);
        }
        work();
    });
    made.into_iter().map(|made| made.into_inner().expect("every one was made")).collect()
}
