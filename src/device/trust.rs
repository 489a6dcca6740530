//! What wgpu does only for those who vouch for it.

/// A module of one of the kernels. In a release it is compiled without wgpu's own checks of indices and bounds of
/// loops, which cost kernels with loops up to a third of their speed; in a debug build with them.
#[allow(unsafe_code, reason = "the checks are left out by a function that wgpu calls unsafe")]
pub(super) fn module(device: &wgpu::Device, label: &str, text: String) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let description = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    if cfg!(debug_assertions) {
        return device.create_shader_module(description);
    }
    // SAFETY: the text is one of the crate's own, no user's. Kernels clamp what they index by to the extents they
    // are told, those are the shapes of the values bound, and `Plan::replay` has proved every range that is bound
    // to be of its value. Their loops end: each counts up to a number, or halves one. The tests run the very same texts
    // with the checks.
    unsafe { device.create_shader_module_trusted(description, wgpu::ShaderRuntimeChecks::unchecked()) }
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
