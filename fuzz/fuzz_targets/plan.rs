//! The plan of whatever run a `run.toml` describes, of sizes up to the largest that can be written: it is made or
//! refused, and what is made has no fault and keeps its own bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::Error;
use plimsoll::bytes::Bytes;
use plimsoll::config::{Config, LayerKind, Predict, Source, TargetKind};
use plimsoll::nn::{Inputs, Targets, Time};
use plimsoll::plan::Rates;
use plimsoll::run::PlanReport;
use plimsoll::target::Target;
use plimsoll::training::{Planned, Training};

/// Recurrent steps and layers of a run that is planned here: each is a dispatch or more.
const MOST_WORK: u64 = 64;

fuzz_target!(|data: &[u8]| {
    let Some((&[steps, size], text)) = plimsoll_fuzz::split(data) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(config) = Config::from_toml(text, "run.toml") else { return };
    if work(&config) > MOST_WORK {
        return;
    }
    let (inputs, targets, time) = task(&config, u32::from(size));
    let training = config.training(inputs, targets, time, u64::from(steps));
    let target = Target::profile("webgpu-default").expect("it ships");
    match training.plan(&target) {
        Ok(planned) => {
            planned.plan.replay().expect("a plan has no fault");
            assert!(planned.plan.lower_bound_bytes() <= planned.plan.planned_bytes());
            let report = PlanReport::new(&planned);
            assert_eq!(report.fits, report.violations.is_empty());
            assert!(!serde_json::to_string(&report).expect("a report can be written").is_empty());
            bargain(&training, &target, planned.plan.planned_bytes() / 256 * u64::from(steps));
        }
        Err(error @ (Error::Fault(_) | Error::Clash(_))) => panic!("{error}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// In a budget of so many bytes a run is the fastest that fits, or refused; and a little more changes nothing for worse.
fn bargain(training: &Training, target: &Target, bytes: u64) {
    let within = |bytes: u64| {
        let training = Training { memory: Some(Bytes(bytes)), ..training.clone() };
        training.bargain(target).expect("what can be planned can be bargained about")
    };
    let (less, more) = (within(bytes), within(bytes + bytes / 16));
    if less.fits() {
        less.plan.replay().expect("a plan has no fault");
        assert!(less.plan.planned_bytes() <= bytes && more.fits());
        let seconds = |planned: &Planned| planned.seconds(&Rates::assumed());
        assert!(seconds(&more) <= seconds(&less) * (1.0 + 1e-9));
    }
}

/// How much there is to plan: its layers, each as often as it has steps and stands on itself.
fn work(config: &Config) -> u64 {
    let stack = |kind: &LayerKind| match kind {
        LayerKind::Rnn { layers, .. } | LayerKind::Gru { layers, .. } | LayerKind::Lstm { layers, .. } => {
            u64::from(*layers) * if kind.is_bidirectional() { 2 } else { 1 }
        }
        _ => 1,
    };
    let layers = config.layers.iter().map(|layer| stack(&layer.kind)).fold(0, u64::saturating_add);
    layers.saturating_mul(u64::from(config.train.timesteps()))
}

/// What examples of the data that the config names could be.
fn task(config: &Config, size: u32) -> (Inputs, Targets, Time) {
    let (few, width) = (size + 1, |names: &[String]| u32::try_from(names.len()).expect("few fit into the input"));
    let learnt = |kind: TargetKind, n: u32| match kind {
        TargetKind::Number => Targets::Numbers(n),
        TargetKind::Class => Targets::Classes(few),
        TargetKind::Bit => Targets::Bits(n),
    };
    let time = |predict: Option<Predict>| match predict {
        None => Time::None,
        Some(Predict::Each) => Time::EachStep,
        Some(Predict::Last) => Time::WholeSequence,
    };
    match &config.data.source {
        Source::Text { .. } => (Inputs::Tokens { vocabulary: few }, Targets::Classes(few), Time::EachStep),
        Source::Table { inputs, targets, target, .. } => {
            (Inputs::Features { features: width(inputs) }, learnt(*target, width(targets)), Time::None)
        }
        Source::Series { inputs, targets, predict, .. } => {
            (Inputs::Features { features: width(inputs) }, Targets::Numbers(width(targets)), time(Some(*predict)))
        }
        Source::Idx { rows_as_steps, .. } => {
            let time = if *rows_as_steps { Time::WholeSequence } else { Time::None };
            (Inputs::Features { features: few }, Targets::Classes(10), time)
        }
        Source::Arrays { target, vocabulary, predict, .. } => {
            let tokens = |vocabulary| Inputs::Tokens { vocabulary };
            let inputs = vocabulary.map_or(Inputs::Features { features: few }, tokens);
            (inputs, learnt(*target, few), time(*predict))
        }
    }
}
