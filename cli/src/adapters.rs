//! `plimsoll adapters`: what this machine has to train on.

use plimsoll::bytes::Bytes;
use plimsoll::device::{Adapter, adapters as seen};
use plimsoll::run::{Cache, Probed};
use plimsoll::target::Target;
use serde::Serialize;

use crate::args::AdaptersArgs;
use crate::estimate::reached;
use crate::output::{Failure, json, say};
use crate::table::{draw, titled};

/// A device profile, and why it cannot train, if it cannot.
#[derive(Serialize)]
struct Profile<'a> {
    #[serde(flatten)]
    target: Target,
    unfit: Option<&'a str>,
    /// What it was measured to reach just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    probed: Option<&'a Probed>,
}

impl<'a> Profile<'a> {
    fn new(adapter: &'a Adapter, probed: Option<&'a Probed>) -> Self {
        Self { target: adapter.profile(), unfit: adapter.unfit.as_deref(), probed }
    }
}

pub(crate) fn adapters(args: &AdaptersArgs) -> Result<(), Failure> {
    let adapters = seen()?;
    let taken = adapters.iter().position(Adapter::would_do);
    let probed = taken.and_then(|at| adapters.get(at)).filter(|_| args.probe).map(probe).transpose()?;
    let probed_at = |at| probed.as_ref().filter(|_| taken == Some(at));
    if args.json {
        let profiles = adapters.iter().enumerate().map(|(at, adapter)| Profile::new(adapter, probed_at(at)));
        return say(&json(&profiles.collect::<Vec<_>>()));
    }
    let blocks = adapters.iter().enumerate().map(|(at, adapter)| block(adapter, taken == Some(at), probed_at(at)));
    say(&blocks.collect::<Vec<_>>().join("\n"))?;
    if taken.is_none() {
        say("None of these would be taken; `plimsoll train` says why.")?;
    }
    Ok(())
}

/// Measures what an adapter reaches, and keeps it.
fn probe(adapter: &Adapter) -> Result<Probed, Failure> {
    let probed = Probed::measure(&adapter.open()?)?;
    Cache::of_user().keep(&probed);
    Ok(probed)
}

/// How much it has, and what other processes have of it.
fn memory(target: &Target) -> String {
    let Some(all) = target.memory_bytes else {
        return target.memory_left_bytes.map_or("not told".into(), |left| format!("{} to be had now", Bytes(left)));
    };
    match target.memory_left_bytes.map(|left| all.saturating_sub(left)) {
        Some(taken @ 1..) => format!("{}; {} not to be had now", Bytes(all), Bytes(taken)),
        _ => Bytes(all).to_string(),
    }
}

/// An adapter's name above what there is to know of it.
fn block(adapter: &Adapter, taken: bool, probed: Option<&Probed>) -> String {
    let Target { name, backend, driver, device_kind, limits, .. } = &adapter.target;
    let kind = serde_json::to_value(device_kind).expect("a kind is a word");
    let usable = match (&adapter.unfit, taken) {
        (None, true) => "yes; `plimsoll train` takes it".into(),
        (None, false) => "yes".into(),
        (Some(why), _) => format!("no: {why}"),
    };
    let subgroups = match (adapter.target.subgroup_min_size, adapter.target.subgroup_max_size) {
        (0, 0) => "none".into(),
        (least, most) if least == most => format!("{most} lanes"),
        (least, most) => format!("{least} to {most} lanes"),
    };
    let bytes = |n: u64| Bytes(n).to_string();
    let yes = |is: bool| if is { "yes".to_string() } else { "no".to_string() };
    let left = [
        ("backend", backend.clone()),
        ("kind", kind.as_str().unwrap_or_default().into()),
        ("driver", driver.clone()),
        ("memory", memory(&adapter.target)),
        ("usable", usable),
        ("subgroups", subgroups),
        ("16-bit floats", yes(adapter.target.shader_f16)),
        ("matrix units", yes(adapter.target.cooperative_matrices)),
    ];
    let right = [
        ("largest buffer", bytes(limits.max_buffer_size)),
        ("largest binding", bytes(limits.max_storage_buffer_binding_size)),
        ("binding alignment", bytes(limits.min_storage_buffer_offset_alignment.into())),
        ("bindings a shader", limits.max_storage_buffers_per_shader_stage.to_string()),
        ("workgroups a dimension", limits.max_compute_workgroups_per_dimension.to_string()),
        ("threads a workgroup", limits.max_compute_invocations_per_workgroup.to_string()),
        ("memory a workgroup", bytes(limits.max_compute_workgroup_storage_size.into())),
        (
            "parameters a dispatch",
            match limits.max_immediate_size {
                0 => "from a buffer".into(),
                carried => bytes(carried.into()),
            },
        ),
    ];
    let rows = left
        .into_iter()
        .zip(right)
        .map(|((what, is), (limit, allows))| vec![what.to_string(), is, format!("  {limit}"), allows]);
    let reaches = probed.map_or_else(String::new, |probed| format!("reaches {}\n", reached(probed)));
    titled(name, &draw(&["", "", "", ">"], rows)) + "\n" + &reaches
}
