//! The WGSL texts. A shader's name, its file and its entry point are one word.

mod numbers;
mod template;
pub mod texture;

/// Takes `shaders/prelude/NAME.wgsl` under its name.
macro_rules! preludes {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../shaders/prelude/", $name, ".wgsl")))),+]
    };
}

/// What several kernels say alike, for them to include.
const PRELUDES: &[template::Prelude] = &preludes![
    "behind",
    "blocks_nn",
    "blocks_nt",
    "blocks_tn",
    "cooperative",
    "curves",
    "elman",
    "elman_gradient",
    "factor_a",
    "factor_b_nn",
    "factor_b_nt",
    "finish",
    "finish_rows",
    "gates",
    "gru",
    "gru_gradient",
    "lstm",
    "lstm_gradient",
    "matmul_factors_nn",
    "matmul_factors_nt",
    "matmul_factors_tn",
    "matmul_finish",
    "matmul_params",
    "moment",
    "numbers",
    "optimizer",
    "parts",
    "philox",
    "product_cooperative",
    "product_direct_nn",
    "product_direct_nt",
    "product_subgroup_nn",
    "product_subgroup_nt",
    "product_tiled",
    "runs_a_across",
    "runs_a_along",
    "runs_b_across",
    "runs_b_along",
    "state",
    "tiles",
    "total",
    "window_shared_nn",
    "window_shared_nt",
    "window_subgroup_nn",
    "window_subgroup_nt",
];

/// How every kernel declares its parameters, and how where they are no immediates.
const IMMEDIATES: &str = "var<immediate> p: Params;";
const UNIFORMS: &str = "@group(1) @binding(0) var<uniform> p: Params;";

/// How a device hands a kernel its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handing {
    /// In a buffer of uniforms, in a group of its own, where they cannot be immediates.
    pub uniforms: bool,
    /// The entry point copies them before all else. Mesa's software adapter reads a parameter once for all threads of a
    /// subgroup where nothing has branched yet, and anywhere else once for each.
    pub copied: bool,
}

impl Handing {
    /// Every way there is.
    pub const ALL: [Self; 4] = [
        Self { uniforms: false, copied: false },
        Self { uniforms: false, copied: true },
        Self { uniforms: true, copied: false },
        Self { uniforms: true, copied: true },
    ];
}

/// A compute shader of the `shaders` folder, with the constants its template is written out for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// File stem and entry point.
    pub name: &'static str,
    source: &'static str,
    constants: Vec<(&'static str, u32)>,
}

impl Shader {
    /// Names a shader and takes its text; use [`shader!`](crate::shader!).
    ///
    /// Of the crate alone, as a release compiles what it names without checks.
    pub(crate) const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, source, constants: Vec::new() }
    }

    /// The same shader written out for these constants as well.
    pub fn with(mut self, constants: &[(&'static str, u32)]) -> Self {
        self.constants.extend(constants);
        let names = || self.constants.iter().map(|(name, _)| *name);
        debug_assert!(
            names().enumerate().all(|(i, name)| names().position(|other| other == name) == Some(i)),
            "{}: a constant with two meanings among {:?}",
            self.name,
            self.constants
        );
        self
    }

    /// What it is written out for under this name.
    pub(crate) fn constant(&self, name: &str) -> Option<u32> {
        self.constants.iter().find(|(of, _)| *of == name).map(|(_, to)| *to)
    }

    /// What profilers and errors call it: the name, then its constants.
    pub fn label(&self) -> String {
        let constants: Vec<_> = self.constants.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if constants.is_empty() {
            return self.name.to_string();
        }
        format!("{}[{}]", self.name, constants.join(","))
    }

    /// The whole text: what all kernels share, then the kernel.
    pub fn text(&self) -> String {
        let kernel = template::expand(self.name, self.source, &self.constants, PRELUDES);
        let kernel = kernel.unwrap_or_else(|error| panic!("{error}"));
        let functions = include_str!("../shaders/prelude/functions.wgsl");
        let wants = [("<f16>", "enable f16;\n"), ("coop_mat", "enable wgpu_cooperative_matrix;\n")];
        let enabled: String =
            wants.iter().filter(|(word, _)| kernel.contains(word)).map(|(_, enable)| *enable).collect();
        format!("{enabled}{functions}{kernel}")
    }

    /// The same for a device that hands the kernel its parameters in this way.
    pub fn text_for(&self, handing: Handing) -> String {
        let text = self.text();
        let text = if handing.uniforms { text.replacen(IMMEDIATES, UNIFORMS, 1) } else { text };
        if !handing.copied {
            return text;
        }
        let text = text.replacen(" p: Params;", " handed: Params;\nvar<private> p: Params;", 1);
        let entry = text.find(&format!("fn {}(", self.name)).expect("a shader has its entry point");
        let (before, entry) = text.split_at(entry);
        // Its own body reads what was handed, under the same name: only of that a compiler knows that it is the same for all
        // threads, as it must be where these wait for one another.
        let copied = " {\n    p = handed;\n    let p = handed;\n";
        format!("{before}{}", entry.replacen(" {\n", copied, 1))
    }

    /// Threads and shared memory of one workgroup, read off the text.
    pub fn workgroup(&self) -> Workgroup {
        let text = self.text();
        let (_, size) = text.split_once("@workgroup_size(").expect("a compute shader states its workgroup");
        let (size, _) = size.split_once(')').expect("a bracket opened is closed");
        let mut extents = size.split(',').map(|n| n.trim().parse().expect("workgroup sizes are numbers"));
        let size = [(); 3].map(|()| extents.next().unwrap_or(1));
        let storage_bytes = text.lines().filter_map(shared_array).sum();
        Workgroup { size, storage_bytes }
    }
}

/// What one workgroup of a shader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workgroup {
    /// Threads along x, y and z.
    pub size: [u32; 3],
    /// Bytes its threads share.
    pub storage_bytes: u32,
}

impl Workgroup {
    /// Threads in all.
    pub fn invocations(&self) -> u32 {
        self.size.iter().product()
    }
}

/// Bytes of `var<workgroup> name: array<T, N>;`, the one form of shared memory the shaders use.
fn shared_array(line: &str) -> Option<u32> {
    let (_, declaration) = line.split_once("var<workgroup>")?;
    let (element, len) = declaration.split_once("array<")?.1.rsplit_once(',')?;
    let len: u32 = len.trim_end_matches([';', '>', ' ', 'u']).trim().parse().ok()?;
    let numbers = if element.contains("vec4") { 4 } else { 1 };
    Some(len * numbers * if element.contains("f16") { 2 } else { 4 })
}

/// Binds `shaders/NAME.wgsl` to the op that dispatches it.
#[macro_export]
#[doc(hidden)]
macro_rules! shader {
    ($name:literal) => {
        $crate::shader::Shader::new(
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name, ".wgsl")),
        )
    };
}
