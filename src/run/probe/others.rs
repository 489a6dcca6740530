//! Ways to make products and updates that are chosen only where they were found quicker.

use super::programs::{LARGE, Other, TINY, UPDATE, update_in_texture};
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

/// Seconds of what is made in other ways as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The large product.
    pub product: f64,
    /// The optimizer's update.
    pub update: f64,
    /// A dispatch that has next to nothing to do.
    pub idle: f64,
}

/// What it takes to have what kernels read in a texture, where that is quicker than `known`, the seconds of the same of
/// buffers.
pub(super) fn textures(device: &Device, known: Known) -> Result<Option<TextureRates>, Error> {
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
    let seconds = (tiny.least - known.idle).max(0.0);
    let copied = (bytes as f64 / copies.least).min(MOST_COPIED);
    let rates = TextureRates { tiles: None, streams: None, seconds, bytes_per_second: copied };
    let alone = large.alone - rates.seconds_of(bytes);
    let share = alone / (known.product * Other::Textured.work(device.target()));
    tracing::debug!(large = large.alone, ?known, seconds, copied, share, "probed textures");
    let is_quicker = alone > 0.0 && large.alone < WORTH_COMPILING * known.product;
    let rates = TextureRates { tiles: is_quicker.then_some(share), ..rates };
    // Not both at once in the memory of the device.
    drop(probe);
    let streams = streams(device, known, rates).unwrap_or_else(|reason| {
        tracing::warn!(%reason, "numbers in a texture cannot be probed");
        None
    });
    let rates = TextureRates { streams, ..rates };
    Ok(Some(rates).filter(|rates| rates.tiles.is_some() || rates.streams.is_some()))
}

/// What the update takes with what it reads in a texture, beside the same of buffers, if it is quicker; where copies
/// take what `rates` tell.
fn streams(device: &Device, known: Known, rates: TextureRates) -> Result<Option<f64>, Error> {
    let (plan, waited_for) = update_in_texture(device.target())?;
    let steps = plan.schedule.steps_of(UPDATE).iter();
    let copied: Vec<u64> = steps.filter_map(|step| step.dispatch.copied_bytes()).collect();
    let mut probe = Probe::new(device, plan, waited_for)?;
    let nothing = probe.nothing()?;
    let all = probe.each(UPDATE, nothing)?.alone * copied.len() as f64;
    let begun: f64 = copied.iter().map(|&bytes| rates.seconds_of(bytes) + known.idle).sum();
    let share = (all - begun) / (known.update - known.idle);
    tracing::debug!(all, begun, share, "probed numbers in a texture");
    let is_known = known.update > known.idle && share.is_finite() && share > 0.0;
    Ok(Some(share).filter(|_| is_known && all < WORTH_COMPILING * known.update))
}
