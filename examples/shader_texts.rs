//! Writes every shader text there is into a folder, one file each, for another WGSL compiler to look at: with
//! parameters as immediates, and from a buffer of uniforms.
//!
//! ```text
//! cargo run --example shader_texts -- target/shader_texts
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use plimsoll::ops::matmul::kernel::{Epilogue, Product, variants};
use plimsoll::ops::{Layout, Op, timestep_by_each_kernel};
use plimsoll::shader::{Handing, Shader};
use plimsoll::target::{DeviceKind, Rates, Target, TextureRates, Windows};

/// The kinds of device that kernels differ by.
fn targets() -> Result<Vec<Target>, plimsoll::target::ProfileError> {
    let mut all = Target::shipped().map(Target::profile).collect::<Result<Vec<_>, _>>()?;
    let lavapipe = Target::profile("lavapipe")?;
    all.push(Target { subgroup_min_size: 16, subgroup_max_size: 16, ..lavapipe.clone() });
    all.push(Target { device_kind: DeviceKind::Discrete, ..lavapipe.clone() });
    // One that reads factors of products from a texture wherever there is a kernel for it.
    let textures = Some(TextureRates::FREE);
    all.push(Target { rates: Some(Rates { textures, ..Rates::assumed() }), ..lavapipe });
    // Each window in as many dispatches as it has timesteps, and in one.
    let both = [Windows::Stepwise, Windows::Whole];
    Ok(all.into_iter().flat_map(|target| both.map(|windows| Target { windows, ..target.clone() })).collect())
}

/// How the operands of a product lie, where what lies in halves does so as `storage` says.
fn mixtures(storage: u32) -> [[u32; 4]; 5] {
    let s = storage;
    // All; activations; what makes a weight's gradient; that of activations, by a copy of a weight; the copy alone.
    [[s; 4], [s, 0, 0, s], [s, s, 0, 0], [s, s, 0, s], [0, s, 0, 0]]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |shader: &Shader| {
        for handing in Handing::ALL {
            let uniforms = if handing.uniforms { "_uniforms" } else { "" };
            let copied = if handing.copied { "_copied" } else { "" };
            let name = format!("{}{uniforms}{copied}", shader.label());
            texts.entry(name).or_insert_with(|| shader.text_for(handing));
        }
    };
    for target in targets()? {
        for specimen in Op::specimens() {
            for dispatch in specimen.mixed_dispatches(&target) {
                add(&dispatch.shader);
                timestep_by_each_kernel(&dispatch, &target).iter().for_each(|(_, own)| add(&own.shader));
            }
        }
        // No one specimen gets most of these.
        let all = variants(&target, false).into_iter();
        for (variant, layout) in all.flat_map(|v| [Layout::Nn, Layout::Nt, Layout::Tn].map(|layout| (v, layout))) {
            let product = Product::new(layout, [4, 4, 4], Epilogue::default());
            (0..=2).flat_map(mixtures).for_each(|storages| add(&variant.shader(&product, storages)));
            if variant.is_textured() {
                // What is added to is in the texture as well, where it is in full.
                let onto = Product { epilogue: Epilogue { accumulate: true, ..Epilogue::default() }, ..product };
                (0..=1).for_each(|factors| add(&variant.shader(&onto, [factors, factors, 0, 4])));
            }
        }
    }
    std::fs::create_dir_all(&folder)?;
    for (label, text) in &texts {
        let name = label.replace(['[', ',', '='], "_").replace(']', "");
        std::fs::write(folder.join(format!("{name}.wgsl")), text)?;
    }
    println!("{} texts in {}", texts.len(), folder.display());
    Ok(())
}
