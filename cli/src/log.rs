//! What the program and the libraries below it say of what they do, on standard error, where it is asked for.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use plimsoll::error::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::uptime;

use crate::output::Failure;

/// Whether lines of the log come up on the terminal.
static ON_TERMINAL: AtomicBool = AtomicBool::new(false);

/// The variable that is heeded where the command line says nothing.
const VARIABLE: &str = "RUST_LOG";

/// Has everything logged that `wanted`, or else the environment, lets through; nothing if neither is set.
///
/// # Errors
/// A filter that makes no sense.
pub(crate) fn start(wanted: Option<&str>) -> Result<(), Failure> {
    let of_environment = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let (from, text) = match (wanted, of_environment) {
        (Some(text), _) => ("--log", text.to_string()),
        (None, Some(text)) => (VARIABLE, text),
        (None, None) => return Ok(()),
    };
    // A level alone is meant for Plimsoll; of the libraries below it, what is amiss.
    let one_level = !text.contains(['=', ',', '[']) && !text.trim().eq_ignore_ascii_case("off");
    let wider = if one_level { format!("warn,plimsoll={}", text.trim()) } else { text.clone() };
    let filter = EnvFilter::try_new(wider).map_err(|error| {
        Error::Input(format!(
            "{from} is `{text}`: {error}; it may be error, warn, info, debug or trace, or one for each part, as in \
             `plimsoll=debug,wgpu_core=warn`"
        ))
    })?;
    let on_terminal = std::io::stderr().is_terminal();
    ON_TERMINAL.store(on_terminal, Ordering::Relaxed);
    let colours = on_terminal && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_timer(uptime())
        .init();
    Ok(())
}

/// Whether lines of the log come up on the terminal, where nothing else may then draw.
pub(crate) fn is_on_terminal() -> bool {
    ON_TERMINAL.load(Ordering::Relaxed)
}
