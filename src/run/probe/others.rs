//! Ways to make products that are chosen only where they were found quicker.

use super::programs::{LARGE, Other, TINY};
use super::{Probe, WORTH_COMPILING};
use crate::device::Device;
use crate::error::Error;
use crate::target::TextureRates;

/// Bytes that are copied in a second, at most, should the clock have told nothing.
const MOST_COPIED: f64 = 1e12;

/// What the tallest tiles take beside what their size lets expect, where they are quicker than `others`, the seconds of a
/// product made by other tiles.
pub(super) fn tall_tiles(device: &Device, others: f64) -> Result<Option<f64>, Error> {
    let Some((plan, waited_for)) = Other::Tall.plan(device.target())? else { return Ok(None) };
    let mut probe = Probe::new(device, plan, waited_for)?;
    let nothing = probe.nothing()?;
    let tall = probe.each(LARGE.0, nothing)?.alone;
    let expected = others * Other::Tall.work(device.target());
    tracing::debug!(tall, others, expected, "probed the tallest tiles");
    Ok(Some(tall / expected).filter(|_| tall > 0.0 && tall < WORTH_COMPILING * others))
}

/// What tiles of factors in a texture take beside what their sizes let expect, and what it takes to copy these, where
/// that is quicker than `others`, the seconds of a product of factors in buffers; with `idle` seconds of a dispatch.
pub(super) fn textures(device: &Device, others: f64, idle: f64) -> Result<Option<TextureRates>, Error> {
    let Some((plan, waited_for)) = Other::Textured.plan(device.target())? else { return Ok(None) };
    let steps = plan.schedule.steps_of(LARGE.0).iter();
    let bytes: u64 = steps.filter_map(|step| step.dispatch.copied_bytes()).sum();
    let mut probe = Probe::new(device, plan, waited_for)?;
    let nothing = probe.nothing()?;
    let (large, tiny) = (probe.each(LARGE.0, nothing)?, probe.each(TINY.0, nothing)?);
    let copies = probe.each_of(LARGE.0, nothing, &|engine, program| {
        engine.copy(program);
        Ok(())
    })?;
    let seconds = (tiny.least - idle).max(0.0);
    let copied = (bytes as f64 / copies.least).min(MOST_COPIED);
    let rates = TextureRates { share: 1.0, seconds, bytes_per_second: copied };
    let alone = large.alone - rates.seconds_of(bytes);
    let share = alone / (others * Other::Textured.work(device.target()));
    tracing::debug!(large = large.alone, others, seconds, copied, share, "probed textures");
    let is_quicker = alone > 0.0 && large.alone < WORTH_COMPILING * others;
    Ok(is_quicker.then_some(TextureRates { share, ..rates }))
}
