//! A driver that truly has no memory left: what is caught here is wgpu's own error, which no test puts there.
//!
//! Alone in its file, for the limit is the whole process's.

#![cfg(target_os = "linux")]
#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

use std::fs;

use plimsoll::device::Device;
use plimsoll::nn::{Model, Task};
use plimsoll::target::DeviceKind;
use plimsoll::training::{Batch, Optimizer, Session, Training};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const ROWS: u32 = 8192;
const STEPS: u32 = 3;

/// Bytes of addresses that this process has.
fn size() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Has the system give this process no more than so many bytes beyond what it has; `None`: as many as before.
fn leave(bytes: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::As);
    setrlimit(Resource::As, Rlimit { current: bytes.map_or(maximum, |bytes| Some(size() + bytes)), maximum }).unwrap();
}

fn numbers(count: u32, kind: u32) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + kind * 3) % 23) as f32 / 23.0 - 0.5).collect()
}

/// Losses of all updates.
fn losses(session: &mut Session) -> Vec<f32> {
    let batch = |kind| Batch::numbers(numbers(ROWS * 8, kind), numbers(ROWS * 2, kind + 9));
    let mut reports: Vec<_> = (0..STEPS).flat_map(|kind| session.step(&batch(kind)).unwrap()).collect();
    reports.extend(session.finish().unwrap());
    reports.iter().map(|report| report.loss).collect()
}

/// A software device has the host's memory, of which the system gives it less than it said there is.
#[test]
fn a_driver_out_of_memory_is_caught_by_the_error_scope_and_the_run_goes_on_in_smaller_micro_steps() {
    let device = Device::open().unwrap();
    if device.target().device_kind != DeviceKind::Cpu {
        return;
    }
    let model = Model::new().linear(2048).relu().output();
    let training = Training::new(model, Task::regression(8, 2), ROWS);
    let training = Training { optimizer: Optimizer::sgd(0.01, 0.9), report_every: 1, ..training };
    let planned = training.plan(device.target()).unwrap();
    let whole = planned.plan.planned_bytes();
    // Half of it is room enough for all that the process and the driver want beside it.
    assert!(whole > 128 << 20, "{whole} B");
    let wanted = losses(&mut Session::start(planned.clone(), &device).unwrap());

    leave(Some(whole / 2));
    let refused = Session::start(planned.clone(), &device).err().map(|error| error.to_string());
    let mut news = Vec::new();
    let session = Session::start_in_what_there_is(planned, &device, &mut |told| news.push(told.to_owned()));
    let found = session.map(|mut session| (losses(&mut session), session.planned().clone()));
    leave(None);

    // wgpu's own words, and those of no test.
    let refused = refused.unwrap();
    assert!(
        refused.contains("the device refused") && refused.ends_with("nothing of the run is left on it"),
        "{refused}"
    );
    assert!(refused.contains("Out of Memory") && !refused.contains("test"), "{refused}");
    assert!(!news.is_empty() && news.iter().all(|told| told.contains("micro-steps")), "{news:?}");
    let (found, planned) = found.unwrap();
    assert!(planned.plan.planned_bytes() < whole / 2 && planned.training.accumulate > 1, "{news:?}");
    assert_eq!((wanted.len(), found.len()), (STEPS as usize, STEPS as usize), "no step is lost");
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{found} and {wanted}");
    }
}
