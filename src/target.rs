//! What a plan is made for: a device's limits and kind as plain numbers, so that no device need be at hand.

mod buffers;
mod choices;
mod memory;
mod rates;

use serde::{Deserialize, Serialize};

pub use self::buffers::{BufferMemory, MemoryKind};
pub use self::choices::{Textures, Windows};
pub use self::memory::AllowedBy;
pub use self::rates::{Rates, TextureRates, Turns};
use crate::tensor::DType;

/// What kind of processor stands behind an adapter; kernels are chosen by it, never by a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A graphics processor with its own memory.
    Discrete,
    /// A graphics processor that shares the host's memory.
    Integrated,
    /// A graphics processor lent to a virtual machine.
    Virtual,
    /// A software adapter that runs on the processor.
    Cpu,
    /// Not told.
    #[default]
    Other,
}

/// The limits that can refuse a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the largest buffer (`max_buffer_size`).
    pub max_buffer_size: u64,
    /// Bytes of the largest range one binding can see (`max_storage_buffer_binding_size`).
    pub max_storage_buffer_binding_size: u64,
    /// Every binding starts at a multiple of this many bytes.
    pub min_storage_buffer_offset_alignment: u32,
    /// Storage buffers one shader may bind.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Workgroups along one dimension of a dispatch.
    pub max_compute_workgroups_per_dimension: u32,
    /// Threads of one workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Threads of one workgroup along x.
    pub max_compute_workgroup_size_x: u32,
    /// Threads of one workgroup along y.
    pub max_compute_workgroup_size_y: u32,
    /// Bytes that the threads of one workgroup may share.
    pub max_compute_workgroup_storage_size: u32,
    /// Bytes of parameters a dispatch may carry beside its bindings; what has more of them reads them from a buffer.
    pub max_immediate_size: u32,
    /// Bytes of the largest range a kernel can see of a buffer of uniforms (`max_uniform_buffer_binding_size`); left
    /// out, what WebGPU promises.
    #[serde(default = "webgpu_uniform_bytes")]
    pub max_uniform_buffer_binding_size: u64,
    /// Every such range starts at a multiple of this many bytes; left out, what does everywhere.
    #[serde(default = "widest_uniform_alignment")]
    pub min_uniform_buffer_offset_alignment: u32,
    /// Texels of a texture along one dimension; left out, what WebGPU promises.
    #[serde(default = "webgpu_texels")]
    pub max_texture_dimension_2d: u32,
}

fn webgpu_texels() -> u32 {
    8192
}

fn webgpu_uniform_bytes() -> u64 {
    64 << 10
}

fn widest_uniform_alignment() -> u32 {
    256
}

/// A device as the planner sees it. A profile file is this, in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What to call it in reports.
    pub name: String,
    /// The graphics API, as wgpu names it.
    #[serde(default)]
    pub backend: String,
    /// The driver and its version.
    #[serde(default)]
    pub driver: String,
    /// What kind of processor it is.
    #[serde(default)]
    pub device_kind: DeviceKind,
    /// Lanes of the smallest subgroup; 0 without subgroups.
    #[serde(default)]
    pub subgroup_min_size: u32,
    /// Lanes of the largest subgroup; 0 without subgroups.
    #[serde(default)]
    pub subgroup_max_size: u32,
    /// Whether shaders may use native 16-bit floats.
    #[serde(default)]
    pub shader_f16: bool,
    /// Whether a subgroup can multiply 16 by 16 matrices of native halves and sum them in full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cooperative_matrices: bool,
    /// Bytes of memory the device offers, where it is known.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Bytes of it that the driver or its system says this process may have at the moment, beside what other processes
    /// and it itself have of it; of a device at hand that tells, and no part of its profile.
    #[serde(skip)]
    pub memory_left_bytes: Option<u64>,
    /// How the driver wants buffers placed, where it is known; only a device that was opened tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_memory: Option<BufferMemory>,
    /// What a probe found the device to reach, or what a software adapter on other than two processors is taken to, by
    /// which a kernel is chosen where two could do the same; profiles that ship have none, while a run's `plan.json` has
    /// what it was planned by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// How recurrences go through their windows; no part of a profile.
    #[serde(skip)]
    pub windows: Windows,
    /// Whether kernels may read from a texture; no part of a profile.
    #[serde(skip)]
    pub textures: Textures,
    /// The limits that can refuse a plan.
    pub limits: Limits,
}

/// A profile that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No profile of that name ships with the crate.
    #[error("there is no profile `{name}`; those that ship are: {known}; or give the path of a file")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The text is not a profile.
    #[error("{name} is not a device profile: {reason}")]
    Malformed {
        /// File or profile name.
        name: String,
        /// What is wrong, with line and column where known.
        reason: String,
    },
}

/// Profiles that ship with the crate, by name. Each says in `sources` where its figures are from.
const SHIPPED: [(&str, &str); 16] = [
    ("webgpu-default", include_str!("../profiles/webgpu-default.json")),
    ("lavapipe", include_str!("../profiles/lavapipe.json")),
    ("lavapipe-gl", include_str!("../profiles/lavapipe-gl.json")),
    ("swiftshader", include_str!("../profiles/swiftshader.json")),
    ("radv-rx6700xt", include_str!("../profiles/radv-rx6700xt.json")),
    ("radv-steam-deck", include_str!("../profiles/radv-steam-deck.json")),
    ("anv-arc-a770", include_str!("../profiles/anv-arc-a770.json")),
    ("anv-iris-xe", include_str!("../profiles/anv-iris-xe.json")),
    ("nvk-rtx3060", include_str!("../profiles/nvk-rtx3060.json")),
    ("nvidia-h200", include_str!("../profiles/nvidia-h200.json")),
    ("honeykrisp-m1", include_str!("../profiles/honeykrisp-m1.json")),
    ("turnip-adreno660", include_str!("../profiles/turnip-adreno660.json")),
    ("v3dv-pi4", include_str!("../profiles/v3dv-pi4.json")),
    ("v3dv-pi5", include_str!("../profiles/v3dv-pi5.json")),
    ("metal-m1-max", include_str!("../profiles/metal-m1-max.json")),
    ("dx12-tier3", include_str!("../profiles/dx12-tier3.json")),
];

impl Target {
    /// Names of the profiles that ship with the crate.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// A profile that ships with the crate, by name.
    pub fn profile(name: &str) -> Result<Self, ProfileError> {
        let Some((_, text)) = SHIPPED.iter().find(|(n, _)| *n == name) else {
            let known: Vec<_> = Self::shipped().collect();
            return Err(ProfileError::Unknown { name: name.to_string(), known: known.join(", ") });
        };
        Self::from_json(text, name)
    }

    /// Reads a profile, or the output of `plimsoll adapters --json`, of which it takes the first adapter.
    pub fn from_json(text: &str, name: &str) -> Result<Self, ProfileError> {
        let malformed = |reason: String| ProfileError::Malformed { name: name.to_string(), reason };
        let json: serde_json::Value = serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let target: Self = match json {
            serde_json::Value::Array(adapters) => {
                let first = adapters.into_iter().next();
                let first = first.ok_or_else(|| malformed("the list of adapters is empty".into()))?;
                serde_json::from_value(first).map_err(|e| malformed(e.to_string()))?
            }
            // Parsed again from the text, because only then does the error know its line.
            _ => serde_json::from_str(text).map_err(|e| malformed(e.to_string()))?,
        };
        target.checked().map_err(malformed)
    }

    /// Refuses numbers no device can have, so that planning need not doubt them.
    ///
    /// # Errors
    /// What no device can have, with its name and number.
    pub fn checked(self) -> Result<Self, String> {
        let align = self.limits.min_storage_buffer_offset_alignment;
        if !align.is_power_of_two() || !(4..=256).contains(&align) {
            return Err(format!(
                "min_storage_buffer_offset_alignment is {align} and must be a power of two from 4 to 256"
            ));
        }
        let align = self.limits.min_uniform_buffer_offset_alignment;
        if !align.is_power_of_two() || align > 256 {
            return Err(format!(
                "min_uniform_buffer_offset_alignment is {align} and must be a power of 2, at most 256"
            ));
        }
        if self.limits.max_texture_dimension_2d > 1 << 16 {
            let texels = self.limits.max_texture_dimension_2d;
            return Err(format!("max_texture_dimension_2d is {texels} and must be at most 65536"));
        }
        self.buffer_memory.map_or(Ok(()), |memory| memory.check())?;
        if self.rates.is_some_and(|rates| rates.checked().is_none()) {
            return Err(format!("rates are numbers of no device: {:?}", self.rates));
        }
        let positive = [
            ("max_buffer_size", self.limits.max_buffer_size),
            ("max_storage_buffer_binding_size", self.limits.max_storage_buffer_binding_size),
            ("max_compute_workgroups_per_dimension", self.limits.max_compute_workgroups_per_dimension.into()),
            ("max_compute_invocations_per_workgroup", self.limits.max_compute_invocations_per_workgroup.into()),
        ];
        match positive.iter().find(|(_, n)| *n == 0) {
            Some((limit, _)) => Err(format!("{limit} is 0, so nothing could ever run")),
            None => Ok(self),
        }
    }

    /// What to choose kernels by: what was measured; of a software adapter that was not, what such reach; of any other
    /// `None`, as two graphics processors have little in common.
    pub fn known_rates(&self) -> Option<Rates> {
        let assumed = (self.device_kind == DeviceKind::Cpu).then(Rates::assumed);
        self.rates.or(assumed)
    }

    /// Whether both are one adapter of one graphics API, with one driver.
    pub fn is_of_one_device_with(&self, other: &Self) -> bool {
        let named = |of: &Self| (of.name.clone(), of.backend.clone(), of.driver.clone());
        named(self) == named(other)
    }

    /// Lanes of a subgroup, where every subgroup has the same number of them.
    pub fn fixed_subgroup(&self) -> Option<u32> {
        let fixed = self.subgroup_min_size == self.subgroup_max_size && self.subgroup_min_size > 0;
        fixed.then_some(self.subgroup_min_size)
    }

    /// How kernels are told that floats are stored: 0 in full, 1 as two halves to a word, 2 as halves that
    /// the device can access one by one.
    pub fn storage(&self, dtype: DType) -> u32 {
        match (dtype, self.shader_f16) {
            (DType::F16, true) => 2,
            (DType::F16, false) => 1,
            (DType::F32 | DType::U32, _) => 0,
        }
    }

    /// Whether a dispatch with `bytes` of parameters reads them from a buffer of uniforms, as it cannot carry so many.
    pub fn wants_uniforms(&self, bytes: usize) -> bool {
        bytes as u64 > u64::from(self.limits.max_immediate_size)
    }

    /// Bytes that every binding's offset is a multiple of.
    pub fn align(&self) -> u64 {
        u64::from(self.limits.min_storage_buffer_offset_alignment)
    }

    /// Bytes that the place of every value is a multiple of: the device's wish, and at least four
    /// numbers, which kernels that read four at once rely on.
    pub fn place_align(&self) -> u64 {
        self.align().max(16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_can_be_read_and_says_where_its_figures_are_from() {
        for (name, text) in SHIPPED {
            let target = Target::profile(name).unwrap();
            assert!(target.align() >= 32, "{name}: wgpu lets no binding begin nearer");
            assert!(target.limits.max_storage_buffer_binding_size <= target.limits.max_buffer_size, "{name}");
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            let sources = json["sources"].as_array().unwrap_or_else(|| panic!("{name} states no sources"));
            assert!(sources.iter().all(|s| s.as_str().is_some_and(|s| s.len() > 20)) && sources.len() >= 2, "{name}");
        }
    }

    #[test]
    fn every_profile_there_is_a_file_of_is_shipped() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = files.filter_map(|f| f.strip_suffix(".json").map(String::from)).collect();
        let mut shipped: Vec<_> = Target::shipped().map(String::from).collect();
        files.sort();
        shipped.sort();
        assert_eq!(files, shipped);
    }

    #[test]
    fn a_profile_survives_being_written_and_read() {
        let target = Target::profile("lavapipe").unwrap();
        let text = serde_json::to_string(&[&target]).unwrap();
        assert_eq!(Target::from_json(&text, "adapters").unwrap(), target);
    }

    #[test]
    fn a_bad_profile_says_what_is_wrong() {
        let unknown = Target::profile("lavapip").unwrap_err().to_string();
        assert!(unknown.contains("lavapipe"), "{unknown}");
        let broken = Target::from_json("{\n  \"name\": 3 }", "x.json").unwrap_err();
        assert!(broken.to_string().contains("line 2"), "{broken}");
        let mut target = Target::profile("lavapipe").unwrap();
        target.limits.min_storage_buffer_offset_alignment = 24;
        let text = serde_json::to_string(&target).unwrap();
        let odd = Target::from_json(&text, "x.json").unwrap_err().to_string();
        assert!(odd.contains("power of two"), "{odd}");
        let mut target = Target::profile("lavapipe").unwrap();
        target.limits.min_uniform_buffer_offset_alignment = 512;
        assert!(target.checked().unwrap_err().contains("min_uniform_buffer_offset_alignment is 512"));
        assert!(Target::from_json("[]", "x.json").unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn what_no_driver_tells_of_its_memory_is_refused() {
        let told = |change: &dyn Fn(&mut BufferMemory)| {
            let mut target = Target::profile("lavapipe").unwrap();
            change(target.buffer_memory.as_mut().unwrap());
            target.checked().map_or_else(|reason| reason, |_| "nothing".into())
        };
        assert_eq!(told(&|_| ()), "nothing");
        assert!(told(&|memory| memory.align = 0).contains("buffer_memory.align is 0"));
        assert!(told(&|memory| memory.size_align = 48).contains("buffer_memory.size_align is 48"));
        assert!(told(&|memory| memory.uniform_align = 1 << 21).contains("at most 1048576"));
        assert!(told(&|memory| memory.readback.host_visible = false).contains("memory type 0 both"));
    }
}
