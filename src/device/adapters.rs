//! Which adapters there are, which of them can train, and which is taken.

use crate::target::{DeviceKind, Limits, Rates, Target, Textures, Windows};

use super::{Device, heaps, trust};

/// A graphics adapter of this machine.
#[derive(Clone, Debug)]
pub struct Adapter {
    adapter: wgpu::Adapter,
    /// Its limits and kind; see also [`Adapter::profile`]. It is opened for no more immediates than stand there.
    pub target: Target,
    /// Why it cannot train; `None` if it can.
    pub unfit: Option<String>,
}

/// Why no adapter could be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// Nothing to run on.
    #[error("no graphics adapter can be used{wish}.\n{seen}\n{advice}")]
    None {
        /// What the environment asked for.
        wish: String,
        /// The adapters that are there, a line each, with what is wrong with them.
        seen: String,
        /// What to install on this system.
        advice: String,
    },
    /// An environment variable holds a word that means nothing.
    #[error("{variable} is `{value}`; it may be {accepted}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The values that mean something.
        accepted: &'static str,
    },
    /// The driver would not open the adapter.
    #[error("the adapter {name} would not open: {reason}")]
    Open {
        /// The adapter.
        name: String,
        /// The driver's words.
        reason: String,
    },
}

/// Every adapter of the backends that `WGPU_BACKEND` names, in the order in which they would be
/// taken.
///
/// If it names none, OpenGL is looked at only where no other adapter can train: what it shows has
/// shown already, and its libraries write to the terminal when asked.
///
/// # Errors
/// [`AdapterError::None`] if there is not one.
pub fn adapters() -> Result<Vec<Adapter>, AdapterError> {
    let all = seen()?;
    if all.is_empty() { Err(none(&all, None)) } else { Ok(all) }
}

/// The adapter that the environment asks for, or else the fastest kind there is.
pub(super) fn choose() -> Result<Adapter, AdapterError> {
    let all = seen()?;
    let first = all.iter().find(|a| a.would_do());
    first.cloned().ok_or_else(|| none(&all, wish().as_deref()))
}

/// Every adapter there is, those of OpenGL only if they are asked for or no other would do; the one
/// to take comes first.
fn seen() -> Result<Vec<Adapter>, AdapterError> {
    let low_power = power_preference()?;
    let mut all = match backends()? {
        Some(backends) => enumerate(backends),
        None => enumerate(wgpu::Backends::all() - wgpu::Backends::GL),
    };
    if backends()?.is_none() && !all.iter().any(Adapter::would_do) {
        all.extend(enumerate(wgpu::Backends::GL));
    }
    all.sort_by_key(|a| (!a.would_do(), rank(a.target.device_kind, low_power), a.target.backend == "gl"));
    Ok(all)
}

fn enumerate(backends: wgpu::Backends) -> Vec<Adapter> {
    let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
    description.backends = backends;
    description.flags = wgpu::InstanceFlags::from_build_config().with_env();
    let instance = wgpu::Instance::new(description);
    let found = pollster::block_on(instance.enumerate_adapters(backends));
    let found: Vec<_> = found.into_iter().map(Adapter::new).collect();
    for Adapter { target, unfit, .. } in &found {
        tracing::debug!(adapter = target.name, backend = target.backend, driver = target.driver, unfit, "found");
    }
    found
}

/// What `WGPU_ADAPTER_NAME` asks for.
fn wish() -> Option<String> {
    std::env::var("WGPU_ADAPTER_NAME").ok().filter(|w| !w.is_empty())
}

fn rank(kind: DeviceKind, low_power: bool) -> u8 {
    match kind {
        DeviceKind::Discrete => u8::from(low_power),
        DeviceKind::Integrated => u8::from(!low_power),
        DeviceKind::Virtual => 2,
        DeviceKind::Other => 3,
        DeviceKind::Cpu => 4,
    }
}

/// The backends that `WGPU_BACKEND` names, if it names any.
fn backends() -> Result<Option<wgpu::Backends>, AdapterError> {
    let accepted = "a list, separated by commas, of vulkan, metal, dx12, gl";
    let Ok(value) = std::env::var("WGPU_BACKEND") else { return Ok(None) };
    let mut backends = wgpu::Backends::empty();
    for word in value.split(',').map(|w| w.trim().to_lowercase()).filter(|w| !w.is_empty()) {
        backends |= match word.as_str() {
            "vulkan" | "vk" => wgpu::Backends::VULKAN,
            "metal" | "mtl" => wgpu::Backends::METAL,
            "dx12" | "d3d12" => wgpu::Backends::DX12,
            "gl" | "gles" | "opengl" => wgpu::Backends::GL,
            _ => return Err(AdapterError::Environment { variable: "WGPU_BACKEND", value, accepted }),
        };
    }
    Ok(Some(backends).filter(|b| !b.is_empty()))
}

fn power_preference() -> Result<bool, AdapterError> {
    match std::env::var("WGPU_POWER_PREF").as_deref() {
        Ok("low") => Ok(true),
        Ok("" | "high" | "none") | Err(_) => Ok(false),
        Ok(value) => Err(AdapterError::Environment {
            variable: "WGPU_POWER_PREF",
            value: value.to_string(),
            accepted: "low, high or none",
        }),
    }
}

fn none(all: &[Adapter], wish: Option<&str>) -> AdapterError {
    let line = |a: &Adapter| {
        let reason = a.unfit.as_deref().unwrap_or("its name does not match");
        format!("  {} ({}): {reason}", a.target.name, a.target.backend)
    };
    let seen = match all {
        [] => "None was found.".to_string(),
        all => format!("Seen:\n{}", all.iter().map(line).collect::<Vec<_>>().join("\n")),
    };
    AdapterError::None {
        wish: wish.map_or_else(String::new, |w| format!(" whose name contains `{w}` (WGPU_ADAPTER_NAME)")),
        seen,
        advice: advice(),
    }
}

/// What to install on the system at hand.
fn advice() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is = |names: &[&str]| names.iter().any(|n| release.lines().any(|l| l.starts_with("ID") && l.contains(n)));
    let command = if is(&["debian", "ubuntu"]) {
        "apt-get install mesa-vulkan-drivers"
    } else if is(&["fedora", "rhel", "centos"]) {
        "dnf install mesa-vulkan-drivers"
    } else if is(&["arch"]) {
        "pacman -S vulkan-swrast"
    } else if is(&["alpine"]) {
        "apk add mesa-vulkan-swrast"
    } else if cfg!(target_os = "windows") {
        return "Install your graphics card's current driver; Windows' own software adapter (WARP) serves too.".into();
    } else if cfg!(target_os = "macos") {
        return "Metal needs macOS 10.13 or later and a session that may use the graphics card.".into();
    } else {
        "your distribution's Mesa Vulkan drivers"
    };
    format!("A software adapter is enough: {command}. `plimsoll plan` needs no adapter at all.")
}

impl Adapter {
    fn new(adapter: wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        let memory = heaps::memory(&adapter);
        let target = Target {
            name: info.name.clone(),
            backend: info.backend.to_str().to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            device_kind: kind(info.device_type),
            subgroup_min_size: if subgroups { info.subgroup_min_size } else { 0 },
            subgroup_max_size: if subgroups { info.subgroup_max_size } else { 0 },
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            cooperative_matrices: cooperative_matrices(&adapter),
            memory_bytes: memory.bytes,
            memory_left_bytes: memory.left,
            buffer_memory: None,
            rates: None,
            windows: Windows::default(),
            textures: Textures::default(),
            limits: planned_limits(&limits, features),
        };
        let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
        let unfit = (!compute).then(|| "it runs no compute shaders".to_string());
        Self { adapter, target, unfit }
    }

    /// Whether it can train, and `WGPU_ADAPTER_NAME` is a part of its name or not set.
    pub fn would_do(&self) -> bool {
        let named = |w: String| self.target.name.to_lowercase().contains(&w.to_lowercase());
        self.unfit.is_none() && wish().is_none_or(named)
    }

    /// Opens the adapter with the limits it has, not WebGPU's defaults.
    pub fn open(&self) -> Result<Device, AdapterError> {
        let useful = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16 | wgpu::Features::TIMESTAMP_QUERY;
        let mut features = self.adapter.features() & useful;
        let max_immediate_size = self.target.limits.max_immediate_size;
        features.set(wgpu::Features::IMMEDIATES, max_immediate_size > 0);
        features.set(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, self.target.cooperative_matrices);
        let description = wgpu::DeviceDescriptor {
            label: Some("plimsoll"),
            required_features: features,
            experimental_features: trust::experiments(features),
            required_limits: wgpu::Limits { max_immediate_size, ..self.adapter.limits() },
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let opened = pollster::block_on(self.adapter.request_device(&description));
        let (device, queue) =
            opened.map_err(|e| AdapterError::Open { name: self.target.name.clone(), reason: e.to_string() })?;
        let Target { name, backend, driver, .. } = &self.target;
        tracing::info!(adapter = name, backend, driver, "opened the device");
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // What is chosen by until a probe tells.
        let here = Some(Rates::of_software(processors)).filter(|_| self.target.device_kind == DeviceKind::Cpu);
        let rates = here.filter(|here| *here != Rates::assumed());
        let target = Target { buffer_memory: heaps::buffers(&device), rates, ..self.target.clone() };
        Ok(Device::watched(device, queue, target))
    }

    /// Its target with what only an opened device tells, for which it is opened for a moment if it can train.
    pub fn profile(&self) -> Target {
        let opened = self.unfit.is_none().then(|| self.open().ok()).flatten();
        opened.map_or_else(|| self.target.clone(), |device| device.target)
    }
}

/// Whether it has matrix units for the one kind of matrices that kernels use.
fn cooperative_matrices(adapter: &wgpu::Adapter) -> bool {
    let wanted =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    adapter.features().contains(wanted)
        && adapter.cooperative_matrix_properties().iter().any(|matrix| {
            [matrix.m_size, matrix.n_size, matrix.k_size] == [16; 3]
                && matrix.ab_type == wgpu::CooperativeScalarType::F16
                && matrix.cr_type == wgpu::CooperativeScalarType::F32
        })
}

fn kind(device_type: wgpu::DeviceType) -> DeviceKind {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
        wgpu::DeviceType::Cpu => DeviceKind::Cpu,
        wgpu::DeviceType::Other => DeviceKind::Other,
    }
}

fn planned_limits(limits: &wgpu::Limits, features: wgpu::Features) -> Limits {
    let immediates = features.contains(wgpu::Features::IMMEDIATES);
    Limits {
        max_buffer_size: limits.max_buffer_size,
        max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
        min_storage_buffer_offset_alignment: limits.min_storage_buffer_offset_alignment,
        max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
        max_compute_workgroups_per_dimension: limits.max_compute_workgroups_per_dimension,
        max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
        max_compute_workgroup_size_x: limits.max_compute_workgroup_size_x,
        max_compute_workgroup_size_y: limits.max_compute_workgroup_size_y,
        max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
        max_immediate_size: if immediates { limits.max_immediate_size } else { 0 },
        max_uniform_buffer_binding_size: limits.max_uniform_buffer_binding_size,
        min_uniform_buffer_offset_alignment: limits.min_uniform_buffer_offset_alignment,
        max_texture_dimension_2d: limits.max_texture_dimension_2d,
    }
}
