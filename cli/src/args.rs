//! What can be asked on the command line.

mod plan;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use plimsoll::bytes::Bytes;
use plimsoll::config::Config;

use crate::estimate::ProbeArgs;
pub(crate) use plan::{DiffArgs, FitArgs, PlanArgs, PlanCommand};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; also when Ctrl-C or a signal ended a training early, which saves it
  1  a fault of Plimsoll itself
  2  bad usage or input: arguments, run file, text, profile, weights; a file that is not there; a
     folder that another run is writing to
  3  refused: the plan exceeds a limit, or the run the host's memory; nothing was allocated
  4  device: no adapter, or it failed; a device that is lost is opened anew once before that
  5  storage: the disk or its permissions kept a file from being read or written, or the disk has
     too little room for what the run would write
  130  a second Ctrl-C, which ends at once; what was saved before stays whole";

const RUN_FILE: &str = "\
A run file is TOML. All but the layers may be left out. `plimsoll config` prints one with every
key there is; this one says what the default run is:";

/// At the end of `-h`.
const SHORT: &str = "\
Exit codes: 0 done, 2 bad usage or input, 3 refused, 4 device, 5 storage, 130 a second Ctrl-C,
1 a fault of Plimsoll.
`--help` shows examples and more.";

const DEVICE: &str = "\
The device is chosen by these environment variables, or else is the fastest kind there is:
  WGPU_BACKEND       vulkan, metal, dx12, gl; several with commas
  WGPU_ADAPTER_NAME  a part of the adapter's name
  WGPU_POWER_PREF    low or high";

/// A tensor training engine on wgpu that plans every byte before the first dispatch.
#[derive(Parser)]
#[command(name = "plimsoll", version, arg_required_else_help = true, after_help = format!("\
Start here:
  plimsoll plan       shows what the built-in run would take; needs no GPU and no driver
  plimsoll train      trains it on Plimsoll's own sources, in a minute or two
  plimsoll sample runs/default

{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log to standard error what this level lets through: error, warn, info, debug, trace (of Plimsoll; of what
    /// lies below it only warnings), or one for each part, as in `plimsoll=debug,wgpu_core=warn`; left out: what `RUST_LOG` says, or nothing
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Adapters(AdaptersArgs),
    Plan(PlanArgs),
    Fit(FitArgs),
    Pack(PackArgs),
    Bench(BenchArgs),
    Train(TrainArgs),
    Report(ReportArgs),
    Sample(SampleArgs),
    Config(ConfigArgs),
}

/// Lists the adapters of this machine and what they offer.
///
/// Shows every adapter with its backend, driver, memory, and the limits and features that matter to
/// a plan; the one that `train` would take comes first.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll adapters
  WGPU_BACKEND=gl plimsoll adapters
  plimsoll adapters --json > here.json    a profile, for `plimsoll plan --profile here.json`

If WGPU_BACKEND names no backend, those of OpenGL are shown only where nothing else can train.

{DEVICE}

{EXIT_CODES}"))]
pub(crate) struct AdaptersArgs {
    /// Measure what the adapter that `train` takes reaches, and keep it for `plan`, `train` and `bench`
    #[arg(long)]
    pub(crate) probe: bool,
    /// Print a JSON array, which serves as a device profile
    #[arg(long)]
    pub(crate) json: bool,
}

/// Packs buffers of known lifetimes into as little memory as it finds.
///
/// Reads minimalloc's CSV: a line for each buffer, with the columns `id` (or `buffer`, `buffer_id`), `lower` (or
/// `begin`, `start`), `upper`, `size`, and perhaps `alignment`. A buffer is alive from `lower` up to but not at
/// `upper`; a column named `end` in place of `upper` has its last moment. A column `offset` is checked and not used.
///
/// Gets better with time and never worse. Stops when the packing is proved to be the smallest, when it fits --capacity,
/// or when the time is up. No two buffers that are alive at once share a byte: that is checked anew before anything is
/// shown or written.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll pack buffers.csv
  plimsoll pack buffers.csv --capacity 1MiB --out packed.csv
  plimsoll pack buffers.csv --time 500ms --json
  plimsoll pack buffers.csv --effort 1000000    the same packing on every machine

{EXIT_CODES}
`pack` exits with 3 if what it found exceeds --capacity; its last line says whether any packing could fit."))]
pub(crate) struct PackArgs {
    /// The buffers
    #[arg(value_name = "FILE.csv")]
    pub(crate) file: PathBuf,
    /// Memory there is, such as 1MiB or 1048576; whatever fits is good enough
    #[arg(long, value_name = "SIZE")]
    pub(crate) capacity: Option<Bytes>,
    /// How long it may take, such as 10s, 500ms or 2min
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) time: Time,
    /// Stop after this effort instead of after a time; a unit is about a microsecond
    #[arg(long, value_name = "N", conflicts_with = "time")]
    pub(crate) effort: Option<u64>,
    /// Write the file here, with a column `offset`
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) out: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A length of time as people write it.
#[derive(Clone, Copy)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("min", 60.0), ("s", 1.0), ("h", 3600.0)];
        let refuse = || format!("`{text}` is no length of time; wanted one such as 10s, 500ms, 2min or 1h");
        let split = |(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds));
        let (number, seconds) = UNITS.into_iter().find_map(split).ok_or_else(refuse)?;
        let number: f64 = number.trim().parse().map_err(|_| refuse())?;
        Duration::try_from_secs_f64(number * seconds).map(Time).map_err(|_| refuse())
    }
}

/// Shows where the time of a run's steps goes.
///
/// Trains for a few seconds and saves nothing. Says what a step takes on the wall and on processors, and, by the
/// device's own clock, what each op of each layer takes, beside what a product and a pass over numbers reach on this device.
/// Probes take 24 MiB, on a graphics card 150, for a moment before the run takes its memory.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll bench
  plimsoll bench run.toml --seconds 10
  plimsoll bench run.toml --json

{DEVICE}

{EXIT_CODES}"))]
pub(crate) struct BenchArgs {
    /// The run file; left out: the built-in default run
    #[arg(value_name = "RUN.TOML")]
    pub(crate) run: Option<PathBuf>,
    /// For how long steps are timed
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub(crate) seconds: Time,
    /// Memory the run may take, such as 64MiB; overrides `[budget] memory`
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    #[command(flatten)]
    pub(crate) probe: ProbeArgs,
    /// Print what was measured as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Trains a run, and saves what came of it.
///
/// Plans the run for the device at hand; if it does not fit, refuses before anything is allocated.
/// Then trains, shows a sample, and leaves a folder with the weights (safetensors, by PyTorch's
/// names), the complete run file, the vocabulary, a line of metrics a step, and a summary.
///
/// Ctrl-C ends the training after the current step and saves it; a second Ctrl-C ends at once and
/// saves nothing more. On the way the run saves all of its state now and then, as `[checkpoint]`
/// says; however it ends, `--resume` goes on from there as if it had never stopped, to the bit.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll train
  plimsoll train run.toml --out runs/first
  plimsoll train run.toml --steps 200 --memory 64MiB
  plimsoll train run.toml --init runs/first/model.safetensors
  plimsoll train --resume runs/first
  plimsoll train --resume runs/first --steps 4000
  plimsoll train edited.toml --resume runs/first    with another `accumulate`, say

What is in the folder:
  model.safetensors  the weights: rnn.weight_ih_l0, ...
  checkpoints/       all of the run's state at some steps, the newest `keep` of them
  config.toml        the run with all that was given here; trains again
  vocabulary.json    the units of the text, by id
  metrics.jsonl      a line a step: step, loss, learning_rate, grad_norm, tokens; and with
                     `evaluate_every`: step, validation_loss, validation_accuracy
  events.out.*       the same for TensorBoard: `tensorboard --logdir DIR`
  plan.json          what was planned, as `plimsoll plan --json` prints it
  summary.json       adapter, planned_bytes, allocated_bytes, allocations_after_first_step, driver
                     (what it was to reserve and what it did, `expected` and `measured`), steps,
                     train_loss (mean of the last 50 steps), validation_loss, test_loss and their
                     accuracies, unigram_entropy, bigram_entropy, seconds, cpu_seconds,
                     tokens_per_second

{RUN_FILE}
{}
{DEVICE}

{EXIT_CODES}", indented(Config::DEFAULT_FILE)))]
pub(crate) struct TrainArgs {
    /// The run file; left out: the built-in default run
    #[arg(value_name = "RUN.TOML")]
    pub(crate) run: Option<PathBuf>,
    /// Updates to make; overrides `[train] steps`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// The folder to save to, new or empty; left out: runs/NAME, NAME that of the run file or
    /// `default`, numbered (runs/NAME-2) where that is taken
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Save to --out even if it is not empty; files of an earlier run are replaced
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Go on with the run in this folder from its newest whole checkpoint; a run file beside it
    /// may change `accumulate`, `report_every`, `evaluate_every`, `workers`, the run's length,
    /// `[checkpoint]` and `[budget]`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "init", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    /// Weights to start from, by the same names and shapes
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) init: Option<PathBuf>,
    /// Memory the run may take, such as 64MiB; overrides `[budget] memory`
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,
    #[command(flatten)]
    pub(crate) probe: ProbeArgs,
    /// What random numbers are drawn from; overrides `seed`
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// Writes a run as one page for a browser: what it is, how it learnt, what it takes, where its time goes.
///
/// The page needs nothing but itself, and no network. It can be made of a run that has ended, was cut off, or is
/// under way. Where there is an adapter, it takes some seconds to time the ops of a step and have a model of text
/// write; beside a run under way it does not. Nothing else in the folder is changed.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll report runs/default
  plimsoll report runs/default --out page.html --no-measure

{DEVICE}

{EXIT_CODES}"))]
pub(crate) struct ReportArgs {
    /// The folder of a run, as `plimsoll train` makes it
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Where the page is written; left out: DIR/report.html
    #[arg(long, value_name = "FILE.html")]
    pub(crate) out: Option<PathBuf>,
    /// Measure nothing, and open no device
    #[arg(long)]
    pub(crate) no_measure: bool,
}

/// Has a trained model write text.
///
/// Prints the prompt and what the model writes after it. Plans and takes only the memory that
/// writing needs.
#[derive(Args)]
#[command(after_help = SHORT, after_long_help = format!("\
Examples:
  plimsoll sample runs/default
  plimsoll sample runs/default --prompt 'fn main' --length 1000
  plimsoll sample runs/default --temperature 0      always the likeliest unit

{DEVICE}

{EXIT_CODES}"))]
pub(crate) struct SampleArgs {
    /// The folder of a run, as `plimsoll train` left it
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Text to go on from; left out: the first unit of the vocabulary, unprinted
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) prompt: String,
    /// Units to write
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(crate) length: u32,
    /// How bold the choices are: 0 takes the likeliest, 1 follows the model's odds
    #[arg(long, value_name = "T", default_value_t = 0.8, value_parser = temperature, allow_negative_numbers = true)]
    pub(crate) temperature: f32,
    /// What the choices are drawn from
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Prints a run file with every key there is, each explained.
///
/// Lines that begin with `#` and no space are alternatives to what stands before them.
#[derive(Args)]
#[command(after_help = SHORT)]
pub(crate) struct ConfigArgs {
    /// Print the file of the default run instead
    #[arg(long)]
    pub(crate) default: bool,
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}").trim_end().to_string() + "\n").collect()
}

fn temperature(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|t: &f32| t.is_finite() && *t >= 0.0);
    number.ok_or_else(|| "it must be a number of at least 0".into())
}
