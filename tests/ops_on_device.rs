//! Each op's kernels against its reference, on the device, on every specimen.

mod common;

use common::{bytes_of, difference, inputs_of, one_op};
use plimsoll::device::{Device, DeviceEngine};
use plimsoll::engine::Engine;
use plimsoll::host::{Host, decode};
use plimsoll::ops::{Op, Specimen};
use plimsoll::plan::{Plan, Staging};
use plimsoll::target::{DeviceKind, Target};

/// Rounding of f32 sums of up to a few hundred terms of size 1, of exp and tanh on the device, and
/// of four timesteps of them; 1.5e-6 is the worst seen, in a recurrence.
const TOLERANCE: f64 = 4e-6;

/// Every output after running the specimen's plan on an engine.
fn outputs(engine: &mut dyn Engine, specimen: &Specimen, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let slots: Vec<_> = engine.plan().graph.slot_ids().collect();
    for ((slot, ty), numbers) in slots.iter().zip(&specimen.inputs).zip(inputs) {
        engine.upload(*slot, 0, 0, &bytes_of(numbers, ty)).unwrap();
    }
    engine.run(0, 0).unwrap();
    let results = &slots[specimen.inputs.len()..];
    let of = |(i, slot): (usize, &plimsoll::ids::SlotId)| {
        let bytes = engine.download(*slot, 0).unwrap();
        (i, bytes)
    };
    let read: Vec<(usize, Vec<u8>)> = results.iter().enumerate().map(of).collect();
    let types = specimen.op.rule().outputs(&specimen.inputs).unwrap();
    read.into_iter().map(|(i, bytes)| decode(&bytes, &types[i])).collect()
}

/// Runs every specimen that `which` takes, planned for `target`, and holds it against the host.
fn check(device: &Device, target: &Target, which: impl Fn(&Op) -> bool) {
    let mut worst: Vec<(f64, String)> = Vec::new();
    for specimen in Op::specimens().into_iter().filter(|s| which(&s.op)) {
        let mut one = one_op(&specimen);
        one.keep_outputs();
        let plan = Plan::new(one.graph, target, Staging::for_traffic(1 << 16, 1 << 16, 0, u64::MAX));
        assert_eq!(plan.violations(None), [], "{specimen:?}");
        plan.replay().unwrap_or_else(|fault| panic!("{specimen:?}: {fault}"));
        let inputs = inputs_of(&specimen);
        let wanted = outputs(&mut Host::new(plan.clone()), &specimen, &inputs);
        let found = outputs(&mut DeviceEngine::new(device, plan).unwrap(), &specimen, &inputs);
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let off = difference(found, wanted);
            worst.push((off, format!("output {i} of {:?} on {:?}", specimen.op, specimen.inputs)));
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (off, what) in worst.iter().take(3) {
        println!("{off:.1e}  {what}");
    }
    assert!(worst[0].0 < TOLERANCE, "off by {:.1e}: {}", worst[0].0, worst[0].1);
}

/// In one test, one after the other: one device for each process is kind to software adapters.
#[test]
fn every_kernel_agrees_with_its_reference_whatever_the_device_says_it_is() {
    let device = Device::open().unwrap();
    check(&device, device.target(), |_| true);
    // The products choose their kernels by what the device reports; the others are the same.
    let products = |op: &Op| {
        let is_recurrent = matches!(op.rule().name().split(' ').next(), Some("elman" | "gru" | "lstm" | "recurrent"));
        is_recurrent || matches!(op, Op::Matmul(_))
    };
    for kind in [DeviceKind::Discrete, DeviceKind::Cpu] {
        let pretended =
            Target { device_kind: kind, subgroup_min_size: 0, subgroup_max_size: 0, ..device.target().clone() };
        check(&device, &pretended, products);
    }
}
