//! What is chosen where, and that the texts agree with the numbers in Rust.

use super::*;
use crate::ops::{Function, Operand, clamp};
use crate::target::TextureRates;
use crate::tensor::TensorType;

const LAYOUTS: [Layout; 3] = [Layout::Nn, Layout::Nt, Layout::Tn];

fn product(layout: Layout, extents: [u32; 3]) -> Product {
    Product::new(layout, extents, Epilogue::default())
}

fn on(profile: &str) -> Target {
    Target::profile(profile).expect("it ships")
}

fn chosen(profile: &str, extents: [u32; 3]) -> Variant {
    choose(&product(Layout::Nn, extents), &on(profile), true, false)
}

/// Every kernel of every kind of device, once.
fn all() -> Vec<Variant> {
    let wide = Target { subgroup_min_size: 16, subgroup_max_size: 16, ..on("lavapipe") };
    let mut all = Vec::new();
    for target in [on("lavapipe"), on("swiftshader"), wide, on("webgpu-default"), on("nvidia-h200")] {
        for halves in [true, false] {
            all.extend(variants(&target, halves).into_iter().filter(|v| !all.contains(v)).collect::<Vec<_>>());
        }
    }
    all
}

#[test]
fn a_software_adapter_gets_tiles_as_large_as_the_product_fills() {
    let tile = |rows, quads, width| Variant::Subgroup { lanes: 8, rows, quads, width };
    assert_eq!(chosen("lavapipe", [512, 512, 512]), tile(32, 2, Width::Four));
    assert_eq!(chosen("lavapipe", [16, 128, 128]), tile(16, 2, Width::Four));
    assert_eq!(chosen("lavapipe", [1, 512, 512]), tile(8, 2, Width::Four));
    // One tile would leave all cores but one idle.
    assert_eq!(chosen("lavapipe", [32, 32, 512]), tile(16, 1, Width::Four));
    assert_eq!(chosen("lavapipe", [512, 10, 64]), tile(32, 1, Width::One));
}

#[test]
fn the_tallest_tiles_are_for_adapters_that_a_probe_found_quick_with_them() {
    let of = |share: Option<f64>, extents| {
        let rates = share.map(|share| Rates { tall_tiles: Some(share), ..Rates::assumed() });
        let target = Target { rates, ..on("lavapipe") };
        let chosen = choose(&product(Layout::Tn, extents), &target, true, false);
        (chosen.is_tall(), chosen.work_on(&target, extents[2]).cost)
    };
    let large = [1024, 1024, 256];
    let others = of(None, large);
    assert!(!others.0);
    assert_eq!(of(Some(1.3), large), others, "slower than others");
    let (tall, cost) = of(Some(0.8), large);
    // It makes two tiles of others.
    assert!(tall && cost < 2 * others.1, "{cost}");
    assert!(of(Some(1.0), large).1 > cost, "its time is told by what was found");
    assert!(!of(Some(0.8), [32, 1024, 256]).0, "half of it would be for nothing");
    assert!(!of(Some(0.8), [1024, 1024, 64]).0, "little to load and much to store");
    assert!(of(Some(0.8), [256, 256, 256]).0 && !of(Some(0.8), [192, 256, 256]).0, "few of them, one too many");
}

#[test]
fn factors_are_read_from_a_texture_only_where_that_pays_for_copying_them() {
    let chosen = |textures, rates: TextureRates, extents| {
        let rates = Some(Rates { textures: Some(rates), ..Rates::assumed() });
        let target = Target { rates, textures, ..on("lavapipe") };
        choose(&product(Layout::Nt, extents), &target, true, false)
    };
    let found = TextureRates { tiles: Some(0.5), streams: None, seconds: 5e-5, bytes_per_second: 28e9 };
    let is = |rates, extents| chosen(Textures::Quicker, rates, extents).is_textured();
    assert!(is(found, [512, 512, 512]));
    assert!(!is(found, [16, 64, 64]), "a pass that ends takes longer than all of it");
    assert!(is(TextureRates { seconds: 0.0, ..found }, [16, 64, 64]));
    assert!(!is(TextureRates { bytes_per_second: 1e6, ..found }, [512, 512, 512]), "slow to copy");
    assert!(!is(TextureRates { tiles: None, ..found }, [512, 512, 512]), "not quicker");
    assert!(!is(TextureRates { tiles: Some(4.0), ..found }, [512, 512, 512]), "slow to read");
    assert!(!is(found, [512, 512, 511]), "no rows of fours");
    assert!(!chosen(Textures::Never, found, [512, 512, 512]).is_textured());
    assert!(!self::chosen("lavapipe", [512, 512, 512]).is_textured(), "nothing was measured");
}

#[test]
fn four_elements_are_loaded_at_once_only_where_all_rows_start_at_fours() {
    let target = on("lavapipe");
    let width = |layout, extents, at_quads| choose(&product(layout, extents), &target, at_quads, false).width();
    assert_eq!(width(Layout::Nn, [7, 8, 12], true), Width::Four);
    assert_eq!(width(Layout::Nn, [7, 8, 12], false), Width::One);
    assert_eq!(width(Layout::Nn, [8, 8, 13], true), Width::One);
    assert_eq!(width(Layout::Nt, [8, 9, 12], true), Width::One);
    assert_eq!(width(Layout::Tn, [8, 12, 13], true), Width::Four, "no row is as long as k");
    assert_eq!(width(Layout::Tn, [7, 12, 8], true), Width::One);
    let strided = |stride| choose(&product(Layout::Nn, [8, 8, 8]).with_stride(stride), &target, true, false).width();
    assert_eq!([strided(12), strided(13)], [Width::Four, Width::One]);
}

#[test]
fn a_graphics_processor_gets_shared_tiles_and_smaller_ones_where_there_would_be_few() {
    let tile = |extents| chosen("webgpu-default", extents).tile();
    assert_eq!(tile([2048, 2048, 64]), [128, 128]);
    assert_eq!(tile([512, 512, 64]), [32, 32]);
    assert_eq!(tile([32, 1024, 256]), [8, 32]);
    // With the threads and the memory of a card, more share the terms of few sums.
    let Variant::Tiled { tiling, .. } = chosen("nvk-rtx3060", [32, 256, 1024]) else { panic!("tiles are shared") };
    assert_eq!((tiling.tile(), tiling.parts), ([16, 8], 64));
}

#[test]
fn matrix_units_multiply_halves_and_nothing_else() {
    let of = |target: &Target, layout, extents, halves| choose(&product(layout, extents), target, true, halves);
    let is_cooperative = |variant| matches!(variant, Variant::Cooperative { .. });
    let (card, large) = (on("nvidia-h200"), [2048, 2048, 2048]);
    for layout in LAYOUTS {
        assert!(is_cooperative(of(&card, layout, large, true)), "{layout:?}");
        assert_eq!(of(&card, layout, large, true).tile(), [128, 64], "{layout:?}");
        assert!(!is_cooperative(of(&card, layout, large, false)), "full precision is kept");
        assert!(!is_cooperative(of(&card, layout, [32, 64, 256], true)), "a few tiles are quicker");
        assert!(!is_cooperative(of(&on("nvk-rtx3060"), layout, large, true)), "without matrix units");
    }
    let varying = Target { subgroup_min_size: 16, ..card };
    assert!(!is_cooperative(of(&varying, Layout::Nn, large, true)), "of subgroups of unknown size");
}

#[test]
fn what_has_neither_subgroups_nor_shared_memory_computes_directly() {
    assert!(matches!(chosen("lavapipe-gl", [64, 64, 64]), Variant::Direct { height: 1, quads: 2, .. }));
    let mut small = on("webgpu-default");
    small.limits.max_compute_workgroup_storage_size = 4096;
    let variant = choose(&product(Layout::Nt, [64, 30, 64]), &small, true, false);
    assert_eq!(variant, Variant::Direct { height: 8, quads: 1, width: Width::One });
}

#[test]
fn subgroups_of_unknown_size_are_not_relied_on() {
    let either = Target { subgroup_min_size: 4, subgroup_max_size: 8, ..on("lavapipe") };
    assert!(!variants(&either, false).iter().any(|v| matches!(v, Variant::Subgroup { .. })));
}

#[test]
fn an_operand_may_start_anywhere() {
    let target = on("lavapipe");
    let all = |start| Binding::read(Operand::Input(0), start..start + 64);
    let plain = product(Layout::Nn, [4, 4, 4]);
    let types = [TensorType::f32(&[64])];
    let at = Lowering { inputs: &types, outputs: &[], wanted: &[], target: &target };
    let dispatch = dispatch(&plain, &at, [all(0), all(32)], None, all(68));
    let params: Vec<u32> = dispatch.params.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(params, [4, 4, 4, 0, 4, 0, 0, 0, 1, 1], "68 is one element past a multiple of 32");
    assert_eq!(dispatch.bindings[2], dispatch.bindings[0], "what is not there is bound to something that is");
}

#[test]
fn what_few_terms_are_added_to_is_read_from_the_texture_beside_the_factors() {
    let rates = Rates { textures: Some(TextureRates::FREE), ..Rates::assumed() };
    let target = Target { rates: Some(rates), ..on("lavapipe") };
    let onto = Epilogue { accumulate: true, ..Epilogue::default() };
    let dispatched = |target: &Target, extents: [u32; 3], epilogue| {
        let made = Product { epilogue, ..product(Layout::Tn, extents) };
        let [m, n, k] = extents.map(u64::from);
        let types = [TensorType::f32(&[clamp(m * k)]), TensorType::f32(&[clamp(n * k)])];
        let outputs = [TensorType::f32(&[clamp(m * n + 4)])];
        let at = Lowering { inputs: &types, outputs: &outputs, wanted: &[true], target };
        let factors = [(0, m), (1, n)].map(|(i, extent)| Binding::read(Operand::Input(i), 0..4 * extent * k));
        let c = Binding::update(Operand::Output(0), Operand::Output(0), 16..16 + 4 * m * n);
        dispatch(&made, &at, factors, None, c)
    };
    // Of 64 KiB a row: the factors have one each, and what is added to begins 16 bytes behind where it is bound.
    let few = dispatched(&target, [256, 256, 64], onto);
    assert_eq!(few.shader.constant("HC"), Some(4));
    let rows: Vec<_> = few.bindings.iter().map(|binding| binding.texture_row).collect();
    assert_eq!(rows, [Some(1), Some(0), None, None, Some(2)]);
    let [c, was] = [3, 4].map(|at| few.bindings[at].clone());
    assert_eq!((was.reads, &was.bytes, was.writes), (c.reads, &c.bytes, None));
    let start = |at: usize| u32::from_le_bytes(few.params[20 + 4 * at..24 + 4 * at].try_into().unwrap());
    assert_eq!([start(3), start(4)], [4, 2 * clamp(texture::ROW_BYTES / 4) + 4]);
    // Of many terms, with nothing to add to, and where the texture would be too large for it, there is no such binding.
    let without = |target: &Target, extents, epilogue| {
        let dispatch = dispatched(target, extents, epilogue);
        assert_eq!((dispatch.bindings.len(), dispatch.shader.constant("HC")), (4, Some(0)), "{extents:?}");
    };
    without(&target, [256, 256, 260], onto);
    without(&target, [256, 256, 64], Epilogue::default());
    let mut small = target.clone();
    small.limits.max_texture_dimension_2d = texture::TEXELS;
    without(&small, [16384, 16384, 64], onto);
}

#[test]
fn workgroups_are_what_the_texts_say() {
    for variant in all() {
        for layout in LAYOUTS {
            let found = variant.shader(&product(layout, [4, 4, 4]), [0; 4]).workgroup();
            let (size, bytes) = match variant {
                Variant::Subgroup { lanes, .. } | Variant::Textured { lanes, .. } => ([lanes, 1, 1], 0),
                Variant::Tiled { tiling, .. } => ([tiling.invocations(), 1, 1], 16 * tiling.vectors()),
                Variant::Cooperative { matrices, .. } => {
                    ([matrices.invocations(), 1, 1], matrices.shared_bytes(layout))
                }
                Variant::Direct { height, .. } => ([8, height, 1], 0),
            };
            assert_eq!((found.size, found.storage_bytes), (size, bytes), "{variant:?}");
        }
    }
}

#[test]
fn flags_are_what_the_texts_say() {
    let flags = |extra, accumulate| Epilogue { accumulate, extra, function: Function::Identity }.flags();
    let function = Epilogue { function: Function::Tanh, ..Epilogue::default() };
    for shader in all().into_iter().flat_map(|v| LAYOUTS.map(|l| v.shader(&product(l, [4, 4, 4]), [0; 4]))) {
        let text = shader.text();
        for (name, value) in [
            ("ACCUMULATE", flags(Extra::None, true)),
            ("BIAS", flags(Extra::Bias, false)),
            ("SLOPE", flags(Extra::Slope, false)),
            ("FUNCTION", function.flags().ilog2()),
        ] {
            assert!(text.contains(&format!("const {name} = {value}u;")), "{}: {name}", shader.label());
        }
    }
}

#[test]
fn every_text_is_valid() {
    let tanh = Epilogue { function: Function::Tanh, ..Epilogue::default() };
    let adding = Epilogue { accumulate: true, ..tanh };
    let with_slopes = Epilogue { extra: Extra::Slope, ..adding };
    for variant in all() {
        for layout in LAYOUTS {
            for epilogue in [Epilogue::default(), tanh, adding, with_slopes] {
                for storage in 0..=2 {
                    let product = Product { epilogue, ..product(layout, [4, 4, 4]) };
                    if storage == 0 && matches!(variant, Variant::Cooperative { .. }) {
                        continue;
                    }
                    let shader = variant.shader(&product, [storage; 4]);
                    let module = naga::front::wgsl::parse_str(&shader.text());
                    let module = module.unwrap_or_else(|e| panic!("{}: {e}", shader.label()));
                    let info = naga::valid::Validator::new(
                        naga::valid::ValidationFlags::all(),
                        naga::valid::Capabilities::all(),
                    )
                    .subgroup_stages(naga::valid::ShaderStages::all())
                    .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{}: {e:?}", shader.label()));
                    // No specimen is so large that it would get some of these.
                    let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
                    let words = naga::back::spv::write_vec(&module, &info, &options, None);
                    assert!(words.is_ok_and(|words| !words.is_empty()), "{}", shader.label());
                }
            }
        }
    }
}
