//! Every shader is held against the op that dispatches it, and translated for every backend, with no device.

#![allow(clippy::cast_possible_truncation, reason = "a handful of bindings")]

use std::collections::{BTreeMap, BTreeSet};

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use plimsoll::ops::matmul::kernel::{Epilogue, Product, Variant, variants};
use plimsoll::ops::{Binding, Dispatch, Layout, Op, Operand};
use plimsoll::shader::{Handing, Shader};
use plimsoll::target::{Rates, Target, TextureRates, Windows};

/// Every target whose kernels might differ: each shipped profile, and graphics cards.
fn targets() -> Vec<Target> {
    let shipped = Target::shipped().map(|name| Target::profile(name).unwrap());
    let shipped = shipped
        .flat_map(|target| [Windows::Stepwise, Windows::Whole].map(|windows| Target { windows, ..target.clone() }));
    let wide = Target { subgroup_min_size: 16, subgroup_max_size: 16, ..Target::profile("lavapipe").unwrap() };
    // Bindings so small that whatever can be cut into pieces is.
    let mut narrow = Target::profile("webgpu-default").unwrap();
    narrow.limits.max_storage_buffer_binding_size = 1024;
    // Those that read from a texture wherever there is a kernel for it.
    let textures = Some(TextureRates::FREE);
    let rates = Some(Rates { textures, ..Rates::assumed() });
    let textured = [Windows::Stepwise, Windows::Whole].map(|windows| Target {
        rates,
        windows,
        ..Target::profile("lavapipe").unwrap()
    });
    shipped.chain([wide, narrow]).chain(textured).collect()
}

/// Every dispatch of every specimen on every target, with floats in full and in halves.
fn dispatches() -> Vec<Dispatch> {
    let (targets, specimens) = (targets(), Op::specimens());
    let of = |target| specimens.iter().flat_map(move |s| [false, true].map(|halves| s.dispatches(target, halves)));
    targets.iter().flat_map(of).flatten().collect()
}

/// Each distinct text once, with every dispatch of it.
fn by_shader() -> BTreeMap<String, Vec<Dispatch>> {
    let mut texts: BTreeMap<String, Vec<Dispatch>> = BTreeMap::new();
    for dispatch in dispatches() {
        texts.entry(dispatch.shader.label()).or_default().push(dispatch);
    }
    texts
}

fn parse(shader: &Shader) -> (naga::Module, ModuleInfo) {
    parsed(shader, shader.text())
}

fn parsed(shader: &Shader, text: String) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|e| panic!("{}: {}", shader.label(), e.emit_to_string(&text)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .subgroup_stages(naga::valid::ShaderStages::all())
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", shader.label(), e.emit_to_string(&text)));
    (module, info)
}

/// Whether a type is an array of atomic words.
fn is_atomic(module: &naga::Module, ty: naga::Handle<naga::Type>) -> bool {
    let naga::TypeInner::Array { base, .. } = module.types[ty].inner else { return false };
    matches!(module.types[base].inner, naga::TypeInner::Atomic(_))
}

/// For each binding of a module, whether it is read and written.
fn uses(module: &naga::Module, info: &ModuleInfo) -> Vec<(bool, bool)> {
    let mut bound = BTreeMap::new();
    for (handle, global) in module.global_variables.iter() {
        let Some(binding) = &global.binding else { continue };
        let used = info.get_entry_point(0)[handle];
        // Half a word is written by changing the word, which is no reading of what the half was.
        let read = used.contains(GlobalUse::READ) && !is_atomic(module, global.ty);
        bound.insert(binding.binding, (read, used.contains(GlobalUse::WRITE)));
    }
    assert!(bound.keys().copied().eq(0..bound.len() as u32), "bindings are numbered from 0 without gaps");
    bound.into_values().collect()
}

#[test]
fn names_bindings_and_params_are_what_the_op_says() {
    let all = dispatches();
    // What is changed in place has a second binding where it is read from the texture.
    let file = |dispatch: &Dispatch| (dispatch.shader.name, dispatch.bindings.len());
    let mut of_files = BTreeMap::<_, Vec<(bool, bool)>>::new();
    for (_, dispatches) in by_shader() {
        let (module, info) = parse(&dispatches[0].shader);
        let found = uses(&module, &info);
        let whole = of_files.entry(file(&dispatches[0])).or_insert_with(|| vec![(false, false); found.len()]);
        for (whole, (read, written)) in whole.iter_mut().zip(found) {
            *whole = (whole.0 | read, whole.1 | written);
        }
    }
    for (label, dispatches) in by_shader() {
        let shader = &dispatches[0].shader;
        let (module, info) = parse(shader);
        assert_eq!(module.entry_points.len(), 1, "{label}");
        assert_eq!(module.entry_points[0].name, shader.name, "{label}: entry point and file have one name");
        let workgroup = shader.workgroup();
        assert_eq!(module.entry_points[0].workgroup_size, workgroup.size, "{label}: the workgroup's size");
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let (mut params, mut shared) = (0, 0);
        for (_, global) in module.global_variables.iter() {
            match global.space {
                naga::AddressSpace::Immediate => params = layouter[global.ty].size,
                naga::AddressSpace::WorkGroup => shared += layouter[global.ty].size,
                _ => {}
            }
        }
        assert_eq!(shared, workgroup.storage_bytes, "{label}: shared memory");
        for dispatch in &dispatches {
            assert_eq!(params as usize, dispatch.params.len(), "{label}: size of Params");
        }
        let own = file(&dispatches[0]);
        let of_file = all.iter().filter(|d| file(d) == own);
        directions_agree(&label, &uses(&module, &info), &of_files[&own], &of_file.collect::<Vec<_>>());
    }
}

/// Which bindings a shader reads and writes, against what the dispatches of its file say together: a binding behind a
/// flag is used by some of them only, and one that a text is not written out for by other texts of the file, `in_others`.
fn directions_agree(label: &str, found: &[(bool, bool)], in_others: &[(bool, bool)], dispatches: &[&Dispatch]) {
    for dispatch in dispatches {
        assert_eq!(found.len(), dispatch.bindings.len(), "{label}: number of bindings");
    }
    for (i, (&(read, written), &other)) in found.iter().zip(in_others).enumerate() {
        let said = |f: &dyn Fn(&Binding) -> bool| dispatches.iter().any(|d| f(&d.bindings[i]));
        let writes = said(&|b| b.writes.is_some());
        assert!(written <= writes, "{label}: binding {i} is written, which no dispatch says");
        assert_eq!(other.1, writes, "{label}: whether binding {i} is written");
        // What goes through a window in one dispatch reads again what it wrote of the timestep before.
        let of_its_own = label.contains("_window_") && written;
        let told = of_its_own || said(&|b| b.reads.is_some());
        assert!(!read || told, "{label}: binding {i} is read, which no dispatch says");
        assert!(other.0 || other.1, "{label}: binding {i} is not used");
    }
}

#[test]
fn an_output_is_written_and_an_input_is_not() {
    for dispatch in dispatches() {
        for binding in &dispatch.bindings {
            assert!(!matches!(binding.writes, Some(Operand::Input(_))), "{} writes an input", dispatch.shader.name);
            assert!(binding.reads.is_some() || binding.writes.is_some(), "{} binds for nothing", dispatch.shader.name);
        }
    }
}

#[test]
fn every_shader_validates_and_translates_for_every_backend() {
    for (label, dispatches) in by_shader() {
        let (module, info) = parse(&dispatches[0].shader);
        to_spirv(&module, &info).unwrap_or_else(|e| panic!("{label}: SPIR-V: {e}"));
        to_metal(&module, &info).unwrap_or_else(|e| panic!("{label}: MSL: {e}"));
        to_hlsl(&module, &info).unwrap_or_else(|e| panic!("{label}: HLSL: {e}"));
    }
}

#[test]
fn kernels_are_the_same_whichever_way_a_device_hands_them_their_parameters() {
    let mut seen = 0;
    for (label, dispatches) in by_shader() {
        let shader = &dispatches[0].shader;
        let plain = members(&parse(shader).0);
        for handing in Handing::ALL.into_iter().filter(|handing| *handing != Handing::default()) {
            let label = format!("{label}, {handing:?}");
            let text = shader.text_for(handing);
            let (module, info) = parsed(shader, text);
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let of = |space| module.global_variables.iter().map(|(_, g)| g).filter(move |g| g.space == space);
            let space = if handing.uniforms { naga::AddressSpace::Uniform } else { naga::AddressSpace::Immediate };
            let handed: Vec<_> = of(space).map(|g| (g.binding, layouter[g.ty].size)).collect();
            let [(binding, size)] = handed[..] else { panic!("{label}: {handed:?}") };
            let binding = binding.map(|binding| (binding.group, binding.binding));
            assert_eq!(binding, handing.uniforms.then_some((1, 0)), "{label}: beside what the dispatch binds");
            let other = if handing.uniforms { naga::AddressSpace::Immediate } else { naga::AddressSpace::Uniform };
            assert_eq!(of(other).count(), 0, "{label}");
            for dispatch in &dispatches {
                assert_eq!(size as usize, dispatch.params.len(), "{label}: as long as what the host writes");
            }
            // Each member where the host writes it, as where it is an immediate.
            assert_eq!(members(&module), plain, "{label}");
            let copies = of(naga::AddressSpace::Private).filter(|g| g.name.as_deref() == Some("p")).count();
            assert_eq!(copies, usize::from(handing.copied), "{label}: what is read by the name of parameters");
            to_spirv(&module, &info).unwrap_or_else(|e| panic!("{label}: SPIR-V: {e}"));
            to_metal(&module, &info).unwrap_or_else(|e| panic!("{label}: MSL: {e}"));
            to_hlsl(&module, &info).unwrap_or_else(|e| panic!("{label}: HLSL: {e}"));
        }
        seen += 1;
    }
    assert!(seen > 100, "{seen} texts");
}

/// Where the members of `Params` are.
fn members(module: &naga::Module) -> Vec<(String, u32)> {
    let params = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params")).unwrap().1;
    let naga::TypeInner::Struct { members, .. } = &params.inner else { panic!("`Params` is a struct") };
    members.iter().map(|member| (member.name.clone().unwrap(), member.offset)).collect()
}

fn to_spirv(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    let words = spv::write_vec(module, info, &options, None).map_err(|e| e.to_string())?;
    if words.is_empty() { Err("no words".into()) } else { Ok(()) }
}

fn to_metal(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let mut resources = msl::BindingMap::default();
    for (_, global) in module.global_variables.iter() {
        if let Some(binding) = &global.binding {
            let slot = if binding.group == 0 { binding.binding as u8 } else { 10 };
            let mutable = global.space != naga::AddressSpace::Uniform;
            let target = match global.space {
                naga::AddressSpace::Handle => msl::BindTarget { texture: Some(slot), ..msl::BindTarget::default() },
                _ => msl::BindTarget { buffer: Some(slot), mutable, ..msl::BindTarget::default() },
            };
            resources.insert(*binding, target);
        }
    }
    let entry = msl::EntryPointResources { resources, immediates_buffer: Some(8), sizes_buffer: Some(9) };
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(module.entry_points[0].name.clone(), entry)].into(),
        fake_missing_bindings: false,
        ..msl::Options::default()
    };
    let (text, _) =
        msl::write_string(module, info, &options, &msl::PipelineOptions::default()).map_err(|e| e.to_string())?;
    if text.contains("kernel void") { Ok(()) } else { Err("no kernel in the text".into()) }
}

fn to_hlsl(module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2,
        immediates_target: Some(hlsl::BindTarget { register: 0, space: 1, ..hlsl::BindTarget::default() }),
        special_constants_binding: Some(hlsl::BindTarget { register: 1, space: 1, ..hlsl::BindTarget::default() }),
        fake_missing_bindings: true,
        ..hlsl::Options::default()
    };
    let mut text = String::new();
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map_err(|e| e.to_string())?;
    if text.contains("numthreads") { Ok(()) } else { Err("no entry point in the text".into()) }
}

#[test]
fn every_file_of_the_shaders_folder_is_dispatched_by_some_specimen_or_forced() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let files: BTreeSet<String> =
        files.filter(|p| p.is_file()).map(|p| p.file_stem().unwrap().to_str().unwrap().to_string()).collect();
    let mut used: BTreeSet<String> = dispatches().iter().map(|d| d.shader.name.to_string()).collect();
    // No specimen is so large that matrix units would be worth it; `matmul_variants` forces these.
    let card = Target::profile("nvidia-h200").unwrap();
    let product = |layout| Product::new(layout, [4; 3], Epilogue::default());
    for variant in variants(&card, true).into_iter().filter(|v| matches!(v, Variant::Cooperative { .. })) {
        used.extend([Layout::Nn, Layout::Nt, Layout::Tn].map(|l| variant.shader(&product(l), [1; 4]).name.to_string()));
    }
    assert_eq!(files, used);
}

#[test]
fn every_prelude_is_part_of_all_texts_or_included_by_some() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let files = |folder: &str| std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file());
    let all = files(folder).chain(files(&format!("{folder}/prelude")));
    let texts: Vec<String> = all.map(|p| std::fs::read_to_string(p).unwrap()).collect();
    let included: BTreeSet<&str> =
        texts.iter().flat_map(|t| t.lines()).filter_map(|line| line.strip_prefix("//: include ")).collect();
    let preludes = files(&format!("{folder}/prelude")).map(|p| p.file_stem().unwrap().to_str().unwrap().to_string());
    let preludes: BTreeSet<String> = preludes.filter(|p| p != "functions").collect();
    assert!(included.iter().copied().eq(preludes.iter().map(String::as_str)), "{included:?} and {preludes:?}");
}

#[test]
fn no_kernel_binds_more_than_webgpu_promises() {
    for dispatch in dispatches() {
        let textures = dispatch.bindings.iter().filter(|binding| binding.texture_row.is_some()).count();
        let buffers = dispatch.bindings.len() - textures;
        assert!(buffers <= 8 && textures <= 4, "{} binds {buffers} and {textures}", dispatch.shader.name);
        assert!(dispatch.params.len() <= 128, "{}", dispatch.shader.name);
    }
}
