//! What can be asked of a plan.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use plimsoll::bytes::Bytes;
use plimsoll::config::Config;
use plimsoll::target::Target;

use super::{DEVICE, EXIT_CODES, RUN_FILE, SHORT, indented};

/// Shows what a run would take, to the byte, without running it.
///
/// The dry run: plans the run for a device that need not be here and says where every byte goes:
/// by role, by layer, at the peak, beside the least that any placement could take. Ends with FITS,
/// or with REFUSED, every limit exceeded, and what would fit. Needs no GPU and no driver, and what this machine has
/// makes no difference to it, unless it is asked about the device at hand by `--here`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll plan
  plimsoll plan run.toml --memory 64MiB
  plimsoll plan run.toml --profile lavapipe
  plimsoll plan run.toml --profile here.json --json
  plimsoll plan run.toml --here
  plimsoll plan run.toml --explain
  plimsoll plan run.toml --svg plan.svg
  plimsoll plan run.toml --html plan.html
  plimsoll plan --json > before.json
  plimsoll plan diff before.json after.json

Profiles that ship with Plimsoll:{}.
A FILE is such a profile, or what `plimsoll adapters --json` printed, of which the first adapter
counts. It says nothing of the memory that was left when it was written.

With --here the device is the one that `plimsoll train` would take. It is not measured: a time is told if it was
before.

{DEVICE}

{RUN_FILE}
{}
{EXIT_CODES}", shipped(), indented(Config::DEFAULT_FILE)))]
pub(crate) struct PlanArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PlanCommand>,
    /// The run file; left out: the built-in default run
    #[arg(value_name = "RUN.TOML")]
    pub(crate) run: Option<PathBuf>,
    /// Memory the plan may take, such as 64MiB; overrides `[budget] memory`. In CI, a gate: what takes more exits with 3
    #[arg(long, visible_alias = "budget", value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    /// The device to plan for: a shipped profile by name, or a FILE
    #[arg(long, value_name = "NAME|FILE", default_value = "webgpu-default")]
    pub(crate) profile: String,
    /// Plan for the device at hand and for what this host has left, as `train` does, and say what it would say
    #[arg(long, conflicts_with = "profile")]
    pub(crate) here: bool,
    /// Also say what each way of saving memory brings, why each tensor is kept for the way back, and what PyTorch
    /// would keep
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Also draw the plan: memory over the steps, every value where it lies
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Also write the plan as one page for a browser: the picture, to be searched and zoomed, and all tables
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum PlanCommand {
    Diff(DiffArgs),
}

/// Shows what sets two plans apart: by role, by layer, at the peak.
///
/// Reads what `plimsoll plan --json` printed for each.
#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The plan to compare with
    #[arg(value_name = "BEFORE.json")]
    pub(crate) before: PathBuf,
    /// The plan to be compared
    #[arg(value_name = "AFTER.json")]
    pub(crate) after: PathBuf,
}

/// Shows what memory buys in time: every way known to make a run's updates, and the fastest that fits.
///
/// A batch in micro-steps, a window in segments whose middle is made again on the way back, activations recomputed in
/// blocks of layers, gradients released one by one: all make the same updates, up to the order of sums. Each is planned; shown are those of which none is both
/// faster and smaller than another. Needs no GPU and no driver.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll fit run.toml
  plimsoll fit run.toml --memory 30MiB
  plimsoll fit run.toml --memory 30MiB --out smaller.toml --svg front.svg
  plimsoll fit run.toml --device rtx-3060.json

`plan` and `train` do the same of themselves where a run does not fit, unless `bargain = false` stands under `[budget]`.

{EXIT_CODES}"))]
pub(crate) struct FitArgs {
    /// The run file; left out: the built-in default run
    #[arg(value_name = "RUN.TOML")]
    pub(crate) run: Option<PathBuf>,
    /// Memory the run may take, such as 64MiB; overrides `[budget] memory`
    #[arg(long, visible_alias = "budget", value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    /// The device to plan for: a shipped profile by name, or a FILE
    #[arg(long, visible_alias = "device", value_name = "NAME|FILE", default_value = "webgpu-default")]
    pub(crate) profile: String,
    /// Write the run file of the fastest way that fits
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) out: Option<PathBuf>,
    /// Also draw memory against time
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) svg: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The names of the profiles there are, in lines of a terminal's width.
fn shipped() -> String {
    const WIDTH: usize = 92;
    let (mut out, mut width) = (String::new(), 0);
    for (i, name) in Target::shipped().enumerate() {
        if i > 0 {
            out += ",";
        }
        width += name.len() + 2;
        let breaks = i == 0 || width > WIDTH;
        out += if breaks { "\n  " } else { " " };
        width = if breaks { name.len() + 2 } else { width };
        out += name;
    }
    out
}
