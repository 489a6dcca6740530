//! The command line of Plimsoll: what it is asked, which command answers, and with which exit code
//! it ends.

// No input may bring the program down: see `clippy.toml`.
#![warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod adapters;
mod args;
mod bench;
mod diff;
mod driver;
mod environment;
mod estimate;
mod explain;
mod fit;
mod log;
mod output;
mod pack;
mod plan;
mod progress;
mod report;
mod sample;
mod stop;
mod table;
mod train;

use std::panic::{catch_unwind, set_hook};
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use output::{Failure, INTERNAL, tell};
use plimsoll::config::Config;

fn main() -> ExitCode {
    // A panic is a fault of Plimsoll's. It is told as an error like any other, without a backtrace.
    set_hook(Box::new(|info| tell(&format!("a fault of Plimsoll's, please report it: {info}"))));
    let cli = Cli::parse();
    let needs_no_driver = match &cli.command {
        Command::Plan(args) => !args.here,
        command => matches!(command, Command::Pack(_) | Command::Config(_)),
    };
    if !needs_no_driver {
        environment::start_over_as_drivers_need();
    }
    let answered = || log::start(cli.log.as_deref()).and_then(|()| answer(&cli.command));
    match catch_unwind(answered) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(),
        Err(_) => ExitCode::from(INTERNAL),
    }
}

fn answer(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Adapters(args) => adapters::adapters(args),
        Command::Plan(args) => plan::plan(args),
        Command::Fit(args) => fit::fit(args),
        Command::Pack(args) => pack::pack(args),
        Command::Bench(args) => bench::bench(args),
        Command::Train(args) => train::train(args),
        Command::Report(args) => report::report(args),
        Command::Sample(args) => sample::sample(args),
        Command::Config(args) => output::say(if args.default { Config::DEFAULT_FILE } else { Config::REFERENCE }),
    }
}
