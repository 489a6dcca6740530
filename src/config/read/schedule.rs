//! Reads `schedule`, and whether the run has what it lives on.

use toml::Spanned;
use toml::de::DeValue;

use super::super::keys::SCHEDULE;
use super::super::section::Interval::{AboveZeroToOne, FromZeroToBelowOne, FromZeroToOne, NotNegative, Positive};
use super::super::section::{Notes, Section};
use super::super::{Anneal, DataConfig, OptimizerConfig, ScheduleConfig};

/// The defaults of `torch.optim.lr_scheduler`, but for `steps`: left out, they are those of the run.
pub(super) fn schedule<'t>(
    value: &'t Spanned<DeValue<'t>>,
    notes: &mut Notes<'t>,
) -> Option<(ScheduleConfig, Section<'t>)> {
    let (given, word) = Section::typed(&SCHEDULE, value, notes)?;
    let mut float = |key, interval| given.float32(key, interval, notes);
    let mut or = |key, interval, default: f32| float(key, interval).unwrap_or(default);
    let schedule = match word? {
        "linear" => ScheduleConfig::Linear {
            start_factor: or("start_factor", AboveZeroToOne, 1.0 / 3.0),
            end_factor: or("end_factor", FromZeroToOne, 1.0),
            steps: steps(&given, notes),
        },
        "cosine" => ScheduleConfig::Cosine { eta_min: or("eta_min", NotNegative, 0.0), steps: steps(&given, notes) },
        "step" => {
            let gamma = or("gamma", Positive, 0.1);
            given.require("step_size", "the steps from one change of the learning rate to the next", notes);
            ScheduleConfig::Step { step_size: whole(&given, "step_size", notes).unwrap_or(1), gamma }
        }
        "exponential" => {
            let gamma = or("gamma", Positive, 1.0);
            given.require("gamma", "what the learning rate is multiplied by", notes);
            ScheduleConfig::Exponential { gamma, every: whole(&given, "every", notes).unwrap_or(1) }
        }
        "one_cycle" => one_cycle(&given, notes),
        "plateau" => {
            let factor = or("factor", FromZeroToBelowOne, 0.1);
            let threshold = or("threshold", NotNegative, 1e-4);
            let min_lr = or("min_lr", NotNegative, 0.0);
            let patience = given.integer("patience", 0..=u64::MAX, notes).unwrap_or(10);
            let cooldown = given.integer("cooldown", 0..=u64::MAX, notes).unwrap_or(0);
            ScheduleConfig::Plateau { factor, patience, threshold, cooldown, min_lr }
        }
        _ => ScheduleConfig::Constant,
    };
    Some((schedule, given))
}

fn one_cycle<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> ScheduleConfig {
    given.require("max_lr", "the greatest learning rate", notes);
    let mut or = |key, interval, default: f32| given.float32(key, interval, notes).unwrap_or(default);
    let (max_lr, pct_start) = (or("max_lr", Positive, 1.0), or("pct_start", FromZeroToOne, 0.3));
    let (div_factor, final_div_factor) = (or("div_factor", Positive, 25.0), or("final_div_factor", Positive, 1e4));
    let base_momentum = or("base_momentum", FromZeroToBelowOne, 0.85);
    let max_momentum = or("max_momentum", FromZeroToBelowOne, 0.95);
    ScheduleConfig::OneCycle {
        max_lr,
        steps: steps(given, notes),
        pct_start,
        div_factor,
        final_div_factor,
        anneal: given.choice("anneal", Anneal::WORDS, notes).unwrap_or(Anneal::Cos),
        cycle_momentum: given.boolean("cycle_momentum", notes).unwrap_or(true),
        base_momentum,
        max_momentum,
        three_phase: given.boolean("three_phase", notes).unwrap_or(false),
    }
}

fn steps<'t>(given: &Section<'t>, notes: &mut Notes<'t>) -> Option<u64> {
    whole(given, "steps", notes)
}

fn whole<'t>(given: &Section<'t>, key: &str, notes: &mut Notes<'t>) -> Option<u64> {
    given.integer(key, 1..=u64::MAX, notes)
}

/// Notes what the schedule needs and the rest of the run does not give. An optimizer that is `None`
/// is a wrong one.
pub(super) fn check<'t>(
    (schedule, given): &(ScheduleConfig, Section<'t>),
    train: &Section<'t>,
    optimizer: Option<&OptimizerConfig>,
    data: Option<&DataConfig>,
    notes: &mut Notes<'t>,
) {
    match schedule {
        ScheduleConfig::Plateau { .. } => {
            let needs = "a schedule of type `plateau` follows the validation loss, so it needs";
            if train.value("evaluate_every").is_none() {
                notes.say(given.at("type"), format!("{needs} `evaluate_every` in `[train]`"));
            }
            if data.is_some_and(|data| data.validation == 0.0) {
                let message = format!("{needs} a part of the data for it; `validation` in `[data]` is 0");
                notes.say(given.at("type"), message);
            }
        }
        ScheduleConfig::OneCycle { cycle_momentum: true, .. } => {
            if let Some(optimizer) = optimizer.filter(|optimizer| !optimizer.has_momentum()) {
                let message = format!(
                    "a schedule of type `one_cycle` moves the momentum, and this `{}` has none; \
                     wanted an optimizer with momentum, or `cycle_momentum = false`",
                    optimizer.type_name()
                );
                notes.say(given.at("cycle_momentum"), message);
            }
        }
        _ => {}
    }
}
