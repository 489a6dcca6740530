//! Variables that drivers heed and a user need not know of.
//!
//! A process cannot safely change its environment once it runs; so the program starts itself over with
//! what is missing, keeping its process id. What the user has set stays as it is.
//!
//! | variable | heeded by | set to |
//! |---|---|---|
//! | `NODEVICE_SELECT` | Mesa's device-select layer | 1 where there is no desktop, for without one it writes `error: XDG_RUNTIME_DIR is invalid` as if something had failed |
//! | `LP_NATIVE_VECTOR_WIDTH` | Mesa's software adapter | 512 where an AMD processor has registers that wide, of which it uses half by itself; a training step takes an eighth less |

/// Starts this program over with the variables that are missing, if any is.
#[cfg(target_os = "linux")]
pub(crate) fn start_over_as_drivers_need() {
    use std::env::{args_os, current_exe};
    use std::os::unix::process::CommandExt;

    let missing = missing();
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

/// The variables to start over with.
#[cfg(target_os = "linux")]
fn missing() -> Vec<(&'static str, &'static str)> {
    let set = |name: &str| std::env::var_os(name).is_some();
    let mut missing = Vec::new();
    if !set("XDG_RUNTIME_DIR") && !set("NODEVICE_SELECT") {
        missing.push(("NODEVICE_SELECT", "1"));
    }
    if has_wide_registers() && !set("LP_NATIVE_VECTOR_WIDTH") {
        missing.push(("LP_NATIVE_VECTOR_WIDTH", "512"));
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
