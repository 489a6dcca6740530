//! Keeps a Vulkan layer of Mesa quiet where there is no desktop.
//!
//! Mesa's device-select layer, which sorts adapters for a desktop, writes `error: XDG_RUNTIME_DIR is
//! invalid` to standard error, as if something had failed, when none is running. It heeds one
//! variable of its environment, which a process cannot safely change once it runs; so the program
//! starts itself over with it, keeping its process id.

/// Starts this program over without that layer, if the layer would complain.
#[cfg(target_os = "linux")]
pub(crate) fn start_over_without_desktop_layer() {
    use std::env::{args_os, current_exe, var_os};
    use std::os::unix::process::CommandExt;

    const SWITCHED_OFF: &str = "NODEVICE_SELECT";
    if var_os("XDG_RUNTIME_DIR").is_some() || var_os(SWITCHED_OFF).is_some() {
        return;
    }
    let Ok(program) = current_exe() else { return };
    let mut args = args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = args.next() {
        again.arg0(name);
    }
    // Returns only if it failed, and then the layer's words are all that is lost.
    let _ = again.args(args).env(SWITCHED_OFF, "1").exec();
}

/// Other systems have no such layer.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start_over_without_desktop_layer() {}
