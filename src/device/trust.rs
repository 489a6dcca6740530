//! What wgpu does only for those who vouch for it.

/// A module of one of the kernels. In a release it is compiled without wgpu's own checks of indices and bounds of
/// loops, which cost small kernels up to a fifth of their time; in a debug build with them.
#[allow(unsafe_code, reason = "the checks are left out by a function that wgpu calls unsafe")]
pub(super) fn module(device: &wgpu::Device, label: &str, text: String) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let description = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    if cfg!(debug_assertions) {
        return device.create_shader_module(description);
    }
    let checks = wgpu::ShaderRuntimeChecks {
        bounds_checks: false,
        force_loop_bounding: false,
        ..wgpu::ShaderRuntimeChecks::checked()
    };
    // SAFETY: the text is one of the crate's own, for nobody else can make a `Shader`. Each of its kernels guards or
    // clamps what it indexes by to the extents that its parameters tell, and its loops count up to such an extent, or
    // halve a number. That those are the shapes of what is bound is so for every plan that ops have lowered themselves
    // to, and `Plan::replay`, which sessions and probes begin with, proves each bound range to be of its value. A
    // plan whose dispatches were changed by hand is the caller's to vouch for; see `DeviceEngine::new`.
    unsafe { device.create_shader_module_trusted(description, checks) }
}

/// Leave to use what wgpu calls experimental, where `features` has any of it.
#[allow(unsafe_code, reason = "experimental features are had by a function that wgpu calls unsafe")]
pub(super) fn experiments(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: of all that is experimental only cooperative matrices are used, by kernels of which every load and store
    // is of shared memory that is as large as the matrices it is cut into.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}
