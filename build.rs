//! Gathers the text that the default run learns: the project's own Rust and WGSL sources, one after
//! the other in the order of their paths.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package's folder"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for what is built"));
    let mut paths = Vec::new();
    for (folder, extension) in [("shaders", "wgsl"), ("src", "rs")] {
        // A folder stands for all that is in it, files that are yet to come included.
        println!("cargo::rerun-if-changed={folder}");
        gather(&root.join(folder), extension, &mut paths)?;
    }
    println!("cargo::rerun-if-changed=build.rs");
    // Separators differ between systems, and the order must not.
    paths.sort_by_cached_key(|path| path.to_string_lossy().replace('\\', "/"));
    let mut text = String::new();
    for path in &paths {
        text += &fs::read_to_string(path)?.replace("\r\n", "\n");
    }
    fs::write(out.join("embedded.txt"), text)
}

/// Adds the files below `folder` that have this extension.
fn gather(folder: &Path, extension: &str, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue; // What an editor keeps beside a file is none of the text.
        }
        if path.is_dir() {
            gather(&path, extension, paths)?;
        } else if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
    Ok(())
}
