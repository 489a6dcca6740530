//! What a report measures itself, within a few seconds: where a step's time goes, what the device holds, and
//! how the model writes.

use plimsoll::device::Device;
use plimsoll::error::Error;
use plimsoll::run::{BenchReport, Saved};
use plimsoll::training::{Sampling, Session, Writer};

use super::folder::{Found, State};
use crate::progress::duration;

/// For how long steps are timed.
const SECONDS: f64 = 1.0;
/// Steps that are made at least: one to compile, some to be timed, some with every dispatch timed.
const STEPS: f64 = 10.0;
/// What all of it may take, by what the run says of its steps.
const MOST_SECONDS: f64 = 12.0;
/// Units of the sample.
const SAMPLE: usize = 400;

/// What was measured.
pub(super) struct Measured {
    pub(super) bench: BenchReport,
    /// What the device held for the run, by its own counters.
    pub(super) held: Option<u64>,
}

/// What came of measuring, or in a sentence why there is none.
pub(super) struct Measurements {
    pub(super) time: Result<Measured, String>,
    pub(super) sample: Result<String, String>,
}

impl Measurements {
    pub(super) fn of(found: &Found, wanted: bool) -> Self {
        let device = match hindrance(found, wanted) {
            Some(why) => Err(why),
            None => Device::open().map_err(|error| format!("Nothing could be measured here: {error}.")),
        };
        match device {
            Err(why) => Self { time: Err(why.clone()), sample: Err(why) },
            Ok(device) => Self { time: time(found, &device), sample: sample(found, &device) },
        }
    }
}

/// Why no device is to be opened.
fn hindrance(found: &Found, wanted: bool) -> Option<String> {
    if !wanted {
        return Some("Nothing was measured for this page, as --no-measure asks.".into());
    }
    (found.state == State::UnderWay)
        .then(|| "Nothing was measured for this page: the run is under way, and both would be slower for it.".into())
}

fn time(found: &Found, device: &Device) -> Result<Measured, String> {
    let run =
        found.run.as_ref().map_err(|why| format!("Nothing was measured, as its data cannot be read here: {why}."))?;
    if let Some(step) = found.seconds_a_step().filter(|step| step * STEPS > MOST_SECONDS) {
        let step = duration(step);
        return Err(format!(
            "Nothing was measured: a step takes some {step}, so it would take longer than a report should. \
             `plimsoll bench` on the run's config.toml does it."
        ));
    }
    let measure = || -> Result<Measured, Error> {
        let session = Session::start(run.plan(device.target())?, device)?;
        let held = session.held().map(|held| held.bytes);
        Ok(Measured { bench: run.bench(device, session, SECONDS)?, held })
    };
    measure().map_err(|error| format!("Nothing could be measured here: {error}"))
}

fn sample(found: &Found, device: &Device) -> Result<String, String> {
    if !found.path.join("model.safetensors").is_file() {
        return Err("It has written nothing yet: its weights are saved when the run ends.".into());
    }
    let write = || -> Result<String, Error> {
        let saved = Saved::open(&found.path)?;
        let mut session = saved.session(device)?;
        let length = if found.config.data.source.is_of_words() { SAMPLE / 5 } else { SAMPLE };
        Writer::new(&mut session, &saved.vocabulary, Sampling::default())?.write("", length)
    };
    write().map_err(|error| format!("It could not be made to write: {error}"))
}
