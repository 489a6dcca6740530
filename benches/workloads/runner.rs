//! Trains workloads and prints a line of JSON for each: what a step takes on the wall and on
//! processors, its dispatches, the bytes planned, and what the first step took. With `--probe`, kernels are
//! chosen by what a probe of the device measures first, as the program does.
//!
//! ```text
//! cargo run --release --example workload -- w1 w3 --seconds 5 --train 'storage = "f16"'
//! ```

#[path = "../common/clock.rs"]
mod clock;
mod measure;
#[path = "mod.rs"]
mod workloads;

use std::error::Error;

use plimsoll::run::probe;
use plimsoll::{Device, Session};
use serde_json::json;

use clock::{Clock, ms};
use measure::{Trainee, measure};
use workloads::{NAMES, Workload};

/// A session and what it is given in turn.
struct Trained {
    session: Session,
    workload: Workload,
    begun: usize,
    loss: Option<f32>,
}

impl Trainee for Trained {
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let batches = &self.workload.batches;
        let reports = self.session.step(&batches[self.begun % batches.len()])?;
        self.begun += 1;
        self.loss = reports.last().map(|report| report.loss).or(self.loss);
        Ok(())
    }

    fn loss(&mut self) -> Result<f32, Box<dyn Error>> {
        let reports = self.session.finish()?;
        self.loss = reports.last().map(|report| report.loss).or(self.loss);
        Ok(self.loss.ok_or("there was no step")?)
    }
}

/// What is asked for.
struct Asked {
    names: Vec<String>,
    seconds: f64,
    settings: String,
    waits: bool,
    probes: bool,
}

fn asked() -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked { names: Vec::new(), seconds: 3.0, settings: String::new(), waits: false, probes: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match &argument[..] {
            "--seconds" => asked.seconds = value()?.parse()?,
            "--train" => asked.settings = format!("{}{}\n", asked.settings, value()?),
            "--wait" => asked.waits = true,
            "--probe" => asked.probes = true,
            name if NAMES.contains(&name) => asked.names.push(name.to_owned()),
            _ => {
                let usage = "[--seconds S] [--train 'KEY = VALUE'] [--wait] [--probe]";
                return Err(format!("`{argument}` is none of {} {usage}", NAMES.join(" ")).into());
            }
        }
    }
    if asked.names.is_empty() {
        asked.names = NAMES.map(String::from).into();
    }
    Ok(asked)
}

fn main() -> Result<(), Box<dyn Error>> {
    let asked = asked()?;
    let rates = if asked.probes { Some(probe::measure(&Device::open()?)?) } else { None };
    for name in &asked.names {
        let workload = Workload::read(name, &asked.settings)?;
        let start = Clock::start();
        let mut device = Device::open()?;
        rates.into_iter().for_each(|rates| device.set_rates(rates));
        let session = Session::new(&workload.training, &device)?;
        let start = start.spent();
        let accumulate = workload.training.accumulate as usize;
        let plan = session.plan();
        let [first, next, update] = ["first", "next", "update"].map(|program| match plan.program(program) {
            Some(_) => plan.dispatches(program),
            None => 0,
        });
        let (planned_bytes, dispatches) = (plan.planned_bytes(), first + (accumulate - 1) * next + update);
        let mut trained = Trained { session, workload, begun: 0, loss: None };
        let about = json!({
            "peer": "plimsoll",
            "version": env!("CARGO_PKG_VERSION"),
            "workload": name,
            "settings": asked.settings.trim(),
            "probed": asked.probes,
            "adapter": device.target().name,
            "driver": device.target().driver,
            "start_ms": ms(start.wall, 1),
            "memory_bytes": planned_bytes,
            "dispatches": dispatches,
        });
        measure(&mut trained, about, asked.seconds, asked.waits)?;
    }
    Ok(())
}
