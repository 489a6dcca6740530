//! How many bytes a step of each workload of the benches may hold, everything counted: a bargain finds a way that
//! makes the same updates in no more, and in halves in less. Planned, on no device.

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a handful of MiB")]

#[allow(dead_code, reason = "nothing is trained")]
#[path = "../benches/workloads/mod.rs"]
mod workloads;

use plimsoll::bytes::Bytes;
use plimsoll::target::Target;
use plimsoll::training::{Storage, Training};

use workloads::Workload;

/// By workload: the most MiB in full and in halves.
const BARS: [(&str, [f64; 2]); 6] = [
    ("w1", [11.5, 11.3]),
    ("w2", [90.0, 88.0]),
    ("w3", [42.0, 31.0]),
    ("w4", [1.1, 1.0]),
    ("w5", [61.0, 40.0]),
    ("w6", [10.8, 10.7]),
];

#[test]
fn each_workload_trains_within_its_bar_in_full_and_in_halves() {
    let target = Target::profile("lavapipe").unwrap();
    for (name, bars) in BARS {
        let described = Workload::read(name, "").unwrap().training;
        for (storage, bar) in [Storage::F32, Storage::F16].into_iter().zip(bars) {
            let most = (bar * f64::from(1 << 20)) as u64;
            let described = described.clone().storage(storage);
            let alone = described.plan(&target).unwrap().plan.planned_bytes();
            let found = Training { memory: Some(Bytes(most)), ..described.clone() }.bargain(&target).unwrap();
            let bytes = found.plan.planned_bytes();
            println!("{name} {storage:?}: {alone} B as described, {bytes} B of {most} B");
            assert!(found.fits() && bytes <= most, "{name} {storage:?}: {bytes} B, not {most} B");
            assert_eq!(found.training.batch, described.batch, "{name}: the same updates");
            assert_eq!(found.training.window, described.window, "{name}: the same updates");
            assert_eq!(found.training.storage, storage, "{name}: the same updates");
            assert_eq!(found.training.memory, Some(Bytes(most)));
            // What a budget gives up is never more than it has to: as described, where that fits.
            assert!(alone > most || bytes == alone, "{name} {storage:?}: {bytes} B, though {alone} B fit");
        }
    }
}
