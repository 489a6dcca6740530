//! Variables that drivers heed and a user need not know of.
//!
//! A process cannot safely change its environment once it runs; so the program starts itself over with
//! what is missing, keeping its process id. What the user has set stays as it is.
//!
//! | variable | heeded by | set to |
//! |---|---|---|
//! | `NODEVICE_SELECT` | Mesa's device-select layer | 1 where there is no desktop, for without one it writes `error: XDG_RUNTIME_DIR is invalid` as if something had failed |
//! | `LP_NATIVE_VECTOR_WIDTH` | Mesa's software adapter | 512 where an AMD processor has registers that wide, of which it uses half by itself; a training step takes an eighth less |
//! | `MESA_SHADER_CACHE_DIR` | Mesa | a folder for each such width where one is set, for the adapter takes kernels compiled for another out of its cache as its own, which makes a step half as long again |

#[cfg(target_os = "linux")]
use std::ffi::OsString;
#[cfg(target_os = "linux")]
use std::path::Path;

/// Starts this program over with the variables that are missing, if any is.
#[cfg(target_os = "linux")]
pub(crate) fn start_over_as_drivers_need() {
    use std::env::{args_os, current_exe, var_os};
    use std::os::unix::process::CommandExt;

    let cache = plimsoll::run::Cache::of_user();
    let missing = missing(&|name| var_os(name), has_wide_registers(), cache.folder());
    let Ok(program) = current_exe() else { return };
    if missing.is_empty() {
        return;
    }
    let mut args = args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = args.next() {
        again.arg0(name);
    }
    // Returns only if it failed, and then quiet and speed are all that is lost.
    let _ = again.args(args).envs(missing).exec();
}

/// The variables to start over with, where `wide` says whether registers of 512 bits are worth having and files that can
/// be made anew go to `cache`.
#[cfg(target_os = "linux")]
fn missing(
    variable: &dyn Fn(&str) -> Option<OsString>,
    wide: bool,
    cache: Option<&Path>,
) -> Vec<(&'static str, OsString)> {
    const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";
    let set = |name: &str| variable(name).is_some();
    let mut missing = Vec::new();
    if !set("XDG_RUNTIME_DIR") && !set("NODEVICE_SELECT") {
        missing.push(("NODEVICE_SELECT", "1".into()));
    }
    if wide && !set(WIDTH) {
        missing.push((WIDTH, "512".into()));
    }
    // In whatever way the number is written, as Mesa reads it in more than one.
    let written = variable(WIDTH).and_then(|width| Some(width.to_str()?.trim().to_string()));
    let written = written.filter(|width| !width.is_empty() && width.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let bits = written.or((wide && !set(WIDTH)).then(|| "512".into()));
    let elsewhere = ["MESA_SHADER_CACHE_DIR", "MESA_GLSL_CACHE_DIR"].into_iter().any(set);
    if let (Some(bits), Some(cache), false) = (bits, cache, elsewhere) {
        let folder = cache.join(format!("mesa-{bits}"));
        // Mesa makes no more than the last folder of a path.
        if std::fs::create_dir_all(&folder).is_ok() {
            missing.push(("MESA_SHADER_CACHE_DIR", folder.into()));
        }
    }
    missing
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn has_wide_registers() -> bool {
    // Measured: a step takes an eighth less on AMD's, and a third to a half more on Intel's.
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let amd = about.lines().any(|line| line.starts_with("vendor_id") && line.ends_with("AuthenticAMD"));
    amd && std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(all(target_os = "linux", not(target_arch = "x86_64")))]
fn has_wide_registers() -> bool {
    false
}

/// Drivers of other systems need nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start_over_as_drivers_need() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// What is missing of an environment, as words, with the cache's folder cut off.
    fn words(set: &[(&str, &str)], wide: bool, cache: Option<&PathBuf>) -> Vec<String> {
        let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, to)| OsString::from(to));
        let at = cache.map(|cache| format!("{}/", cache.display())).unwrap_or_default();
        let missing = missing(&variable, wide, cache.map(PathBuf::as_path));
        let word = |(name, to): (&str, OsString)| format!("{name}={}", to.to_string_lossy()).replacen(&at, "", 1);
        missing.into_iter().map(word).collect()
    }

    #[test]
    fn each_width_of_registers_has_a_cache_of_its_own() {
        let cache = std::env::temp_dir().join(format!("plimsoll-environment-{}", std::process::id()));
        let desktop = ("XDG_RUNTIME_DIR", "/run/user/1000");
        let of = |set: &[(&str, &str)], wide| words(&[&[desktop], set].concat(), wide, Some(&cache));
        assert!(of(&[], false).is_empty());
        assert!(!cache.exists(), "nothing is made where nothing is chosen");
        let wide = ["LP_NATIVE_VECTOR_WIDTH=512", "MESA_SHADER_CACHE_DIR=mesa-512"];
        assert_eq!(of(&[], true), wide);
        assert!(cache.join("mesa-512").is_dir());
        let width = |bits| ("LP_NATIVE_VECTOR_WIDTH", bits);
        for wide in [false, true] {
            assert_eq!(of(&[width("256")], wide), ["MESA_SHADER_CACHE_DIR=mesa-256"]);
            assert_eq!(of(&[width("512 ")], wide), ["MESA_SHADER_CACHE_DIR=mesa-512"]);
            assert_eq!(of(&[width("0x200")], wide), ["MESA_SHADER_CACHE_DIR=mesa-0x200"]);
            assert!(of(&[width("../512")], wide).is_empty() && of(&[width("")], wide).is_empty());
            for name in ["MESA_SHADER_CACHE_DIR", "MESA_GLSL_CACHE_DIR"] {
                assert!(of(&[width("512"), (name, "/elsewhere")], wide).is_empty());
            }
        }
        std::fs::remove_dir_all(&cache).unwrap();
        std::fs::write(&cache, "a file").unwrap();
        assert_eq!(of(&[], true), wide[..1], "where no folder can be made");
        std::fs::remove_file(&cache).unwrap();
        assert_eq!(words(&[], true, None), ["NODEVICE_SELECT=1", "LP_NATIVE_VECTOR_WIDTH=512"]);
    }
}
