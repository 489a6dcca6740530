//! Reads `[train]`.

use super::super::keys::TRAIN;
use super::super::section::{Interval, Notes, Section};
use super::super::{
    DataConfig, Length, LossScaleConfig, NonFiniteConfig, OptimizerConfig, ScheduleConfig, Source, StorageConfig,
    TrainConfig,
};
use super::{optimizer, schedule};

/// How the run learns from `data`, of which `None` is not known.
pub(super) fn train<'t>(top: &Section<'t>, data: Option<&DataConfig>, notes: &mut Notes<'t>) -> TrainConfig {
    let default = data.map_or_else(|| TrainConfig::left_out(&DataConfig::left_out()), TrainConfig::left_out);
    let Some(train) = top.section("train", TRAIN, notes) else {
        return default;
    };
    let (batch, accumulate) = batch(&train, default.batch, notes);
    let given = train.value("optimizer");
    // An optimizer that is left out has its default; one that is wrong fits everything.
    let optimizer = given.map_or(Some(default.optimizer.clone()), |value| optimizer::optimizer(value, notes));
    TrainConfig {
        batch: batch.unwrap_or(default.batch),
        window: window(&train, data, notes).or(default.window),
        accumulate: accumulate.unwrap_or(default.accumulate),
        length: length(&train, notes).unwrap_or(default.length),
        report_every: train.count("report_every", notes).unwrap_or(default.report_every),
        evaluate_every: train.integer("evaluate_every", 1..=u64::MAX, notes),
        clip_norm: train.float32("clip_norm", Interval::Positive, notes),
        clip_value: train.float32("clip_value", Interval::Positive, notes),
        carry_state: carry_state(&train, data, notes).unwrap_or(default.carry_state),
        storage: train.choice("storage", StorageConfig::WORDS, notes).unwrap_or(default.storage),
        parameter_storage: parameter_storage(&train, notes).unwrap_or(default.parameter_storage),
        loss_scale: loss_scale(&train, notes).unwrap_or(default.loss_scale),
        non_finite: train.choice("non_finite", NonFiniteConfig::WORDS, notes),
        loss: optimizer::loss(&train, data, notes).unwrap_or(default.loss),
        schedule: fitting_schedule(&train, optimizer.as_ref(), data, notes),
        optimizer: optimizer.unwrap_or(default.optimizer),
        warmup: train.integer("warmup", 0..=u64::MAX, notes).unwrap_or(default.warmup),
        groups: optimizer::groups(&train, notes),
    }
}

fn batch<'t>(train: &Section<'t>, default: u32, notes: &mut Notes<'t>) -> (Option<u32>, Option<u32>) {
    let batch = train.count("batch", notes);
    let accumulate = train.count("accumulate", notes);
    // A batch that is left out has its default; one that is wrong has been noted already.
    let whole = batch.or_else(|| train.value("batch").is_none().then_some(default));
    if let (Some(batch), Some(accumulate)) = (whole, accumulate)
        && !batch.is_multiple_of(accumulate)
    {
        notes.say(train.at("accumulate"), does_not_divide(batch, accumulate));
    }
    (batch, accumulate)
}

fn window<'t>(train: &Section<'t>, data: Option<&DataConfig>, notes: &mut Notes<'t>) -> Option<u32> {
    let window = train.count("window", notes)?;
    if let Some(data) = data.filter(|data| matches!(data.source, Source::Table { .. } | Source::Idx { .. })) {
        let source = data.source.type_name();
        let message = format!("`window` is for data that goes on in time; each example of type `{source}` is whole");
        notes.say(train.at("window"), message);
    }
    Some(window)
}

fn length<'t>(train: &Section<'t>, notes: &mut Notes<'t>) -> Option<Length> {
    let steps = train.integer("steps", 1..=u64::MAX, notes).map(Length::Steps);
    let epochs = train.integer("epochs", 1..=u64::MAX, notes).map(Length::Epochs);
    if train.value("steps").is_some() && train.value("epochs").is_some() {
        let message = "`steps` and `epochs` both say when the run ends; wanted only one of them";
        notes.say(train.at("steps").max(train.at("epochs")), message.to_owned());
    }
    steps.or(epochs)
}

fn carry_state<'t>(train: &Section<'t>, data: Option<&DataConfig>, notes: &mut Notes<'t>) -> Option<bool> {
    let carry_state = train.boolean("carry_state", notes)?;
    if let Some(data) = data.filter(|_| carry_state) {
        let message = if data.is_without_time() {
            format!("`carry_state` is for sequences; an example of type `{}` is none", data.source.type_name())
        } else if data.shuffle {
            "`carry_state` is for examples that go on where the last ones ended; \
             wanted `shuffle = false` in `[data]`"
                .to_owned()
        } else {
            return Some(carry_state);
        };
        notes.say(train.at("carry_state"), message);
    }
    Some(carry_state)
}

fn is_in_halves(train: &Section) -> bool {
    train.value("storage").is_some_and(|storage| storage.get_ref().as_str() == Some("f16"))
}

/// Halves only beside halves.
fn parameter_storage<'t>(train: &Section<'t>, notes: &mut Notes<'t>) -> Option<StorageConfig> {
    let storage = train.choice("parameter_storage", StorageConfig::WORDS, notes)?;
    if storage == StorageConfig::F16 && !is_in_halves(train) {
        let message = "`parameter_storage = \"f16\"` is for `storage = \"f16\"`, what products make of halves being \
                       kept in halves too; add that or leave this out";
        notes.say(train.at("parameter_storage"), message.to_owned());
        return None;
    }
    Some(storage)
}

/// `"dynamic"` or a number, which only halves are in need of.
fn loss_scale<'t>(train: &Section<'t>, notes: &mut Notes<'t>) -> Option<LossScaleConfig> {
    let value = train.value("loss_scale")?;
    if !is_in_halves(train) {
        let message = "`loss_scale` is for `storage = \"f16\"`, whose small numbers it saves; leave it out";
        notes.say(train.at("loss_scale"), message.to_owned());
        return None;
    }
    match value.get_ref().as_str() {
        Some("dynamic") => Some(LossScaleConfig::Dynamic),
        Some(_) => {
            notes.not_wanted("loss_scale", value, "\"dynamic\" or a number greater than 0");
            None
        }
        None => train.float32("loss_scale", Interval::Positive, notes).map(LossScaleConfig::Static),
    }
}

fn fitting_schedule<'t>(
    train: &Section<'t>,
    optimizer: Option<&OptimizerConfig>,
    data: Option<&DataConfig>,
    notes: &mut Notes<'t>,
) -> ScheduleConfig {
    let Some(read) = train.value("schedule").and_then(|value| schedule::schedule(value, notes)) else {
        return ScheduleConfig::Constant;
    };
    schedule::check(&read, train, optimizer, data, notes);
    read.0
}

fn does_not_divide(batch: u32, accumulate: u32) -> String {
    let divisors = divisors_near(batch, accumulate);
    let list: Vec<_> = divisors.iter().map(u32::to_string).collect();
    let list = list.join(", ");
    format!("`accumulate` is {accumulate}, which does not divide `batch`, {batch}; {list} would")
}

/// The divisors of `n`, or the dozen nearest to `wanted`, in their order.
fn divisors_near(n: u32, wanted: u32) -> Vec<u32> {
    const MOST: usize = 12;
    let small = (1..=n.isqrt()).filter(|d| n.is_multiple_of(*d));
    let mut divisors: Vec<u32> = small.flat_map(|d| [d, n / d]).collect();
    divisors.sort_by_key(|d| (d.abs_diff(wanted), *d));
    divisors.dedup();
    divisors.truncate(MOST);
    divisors.sort_unstable();
    divisors
}
