//! Each op's kernels against its reference, on the device, on every specimen.

#![allow(clippy::cast_possible_truncation, reason = "a specimen is small")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{OneOp, bytes_of, difference, inputs_of, one_op};
use plimsoll::device::{Device, DeviceEngine};
use plimsoll::engine::Engine;
use plimsoll::graph::Graph;
use plimsoll::host::{Host, decode};
use plimsoll::ids::ValueId;
use plimsoll::narrow::narrow;
use plimsoll::ops::matmul::kernel::{Variant, Width};
use plimsoll::ops::{Binding, Dispatch, Op, timestep_by_each_kernel};
use plimsoll::plan::{Plan, Staging};
use plimsoll::schedule::Access;
use plimsoll::target::{DeviceKind, Rates, Target, TextureRates, Windows};
use plimsoll::tensor::DType;

/// Rounding of f32 sums of up to a few hundred terms of size 1, of exp and tanh on the device, and
/// of four timesteps of them; 1.5e-6 is the worst seen, in a recurrence.
const TOLERANCE: f64 = 4e-6;

/// The same in halves: each result is rounded by up to one part in 2048. The reference of a recurrence is
/// rounded at its end, the device goes on from what is rounded; 3.2e-3 is the worst seen, after four
/// timesteps of 33 units.
const TOLERANCE_IN_HALVES: f64 = 6e-3;

/// Every output after running the specimen's plan on an engine.
fn outputs(engine: &mut dyn Engine, one: &OneOp, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let at = |value: &ValueId, graph: &Graph| (graph[*value].home.unwrap().slot, graph[*value].ty.clone());
    for (value, numbers) in one.inputs.iter().zip(inputs) {
        let (slot, ty) = at(value, &engine.plan().graph);
        let mut bytes = bytes_of(numbers, &ty);
        // A slot of halves ends with a whole word.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        engine.upload(slot, 0, 0, &bytes).unwrap();
    }
    engine.run(0, 0).unwrap();
    let read = |value| {
        let (slot, ty) = at(value, &engine.plan().graph);
        let mut numbers = decode(&engine.download(slot, 0).unwrap(), &ty);
        numbers.truncate(ty.len() as usize);
        numbers
    };
    one.outputs.iter().map(read).collect()
}

/// Runs every specimen that `which` takes, planned for `target`, and holds it against the host; with all
/// that its kernels can have in halves so, if `halves`.
fn check(device: &Device, target: &Target, halves: bool, which: impl Fn(&Op) -> bool) {
    let (mut worst, mut textured): (Vec<(f64, String)>, usize) = (Vec::new(), 0);
    for specimen in Op::specimens().into_iter().filter(|s| which(&s.op)) {
        let mut one = one_op(&specimen);
        one.keep_outputs();
        if halves {
            narrow(&mut one.graph, |_, _| true);
            if !one.graph.value_ids().any(|v| one.graph[v].ty.dtype == DType::F16) {
                continue;
            }
        }
        let plan = Plan::new(one.graph.clone(), target, Staging::for_traffic(1 << 16, 1 << 16, 0, u64::MAX));
        textured += usize::from(plan.texture.arena.is_some());
        assert_eq!(plan.violations(None), [], "{specimen:?}");
        plan.replay().unwrap_or_else(|fault| panic!("{specimen:?}: {fault}"));
        let inputs = inputs_of(&specimen);
        let wanted = outputs(&mut Host::new(plan.clone()), &one, &inputs);
        let found = outputs(&mut DeviceEngine::new(device, plan).unwrap(), &one, &inputs);
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let off = difference(found, wanted);
            worst.push((off, format!("output {i} of {:?} on {:?}", specimen.op, specimen.inputs)));
        }
    }
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (off, what) in worst.iter().take(3) {
        println!("{off:.1e}  {what}");
    }
    assert_eq!(textured > 20, target.rates.is_some(), "{textured} read from a texture");
    let tolerance = if halves { TOLERANCE_IN_HALVES } else { TOLERANCE };
    assert!(worst[0].0 < tolerance, "off by {:.1e}: {}", worst[0].0, worst[0].1);
}

/// A specimen of a recurrence, of so many elements, and its plan.
struct Recurrence {
    size: u64,
    one: OneOp,
    inputs: Vec<Vec<f64>>,
    plan: Plan,
}

/// Runs recurrences with every kernel there is for a timestep in turn, those for other kinds of devices too: of each, the
/// largest specimen whose numbers can be loaded by fours, and the largest of which they cannot. Rows with lengths of their own
/// go through those that sum gates apart as well.
fn check_timesteps(device: &Device, stepwise: &Target) {
    let graphics = Target { device_kind: DeviceKind::Discrete, ..stepwise.clone() };
    let by_each = |dispatch: &Dispatch| {
        let mut all = timestep_by_each_kernel(dispatch, stepwise);
        for made in timestep_by_each_kernel(dispatch, &graphics) {
            if all.iter().all(|(known, _)| *known != made.0) {
                all.push(made);
            }
        }
        all
    };
    let mut largest: BTreeMap<(String, bool, bool), Recurrence> = BTreeMap::new();
    for specimen in Op::specimens() {
        let mut one = one_op(&specimen);
        one.keep_outputs();
        let plan = Plan::new(one.graph.clone(), stepwise, Staging::for_traffic(1 << 16, 1 << 16, 0, u64::MAX));
        let kernels = plan.schedule.steps.iter().map(|step| by_each(&step.dispatch));
        let Some(kernels) = kernels.max_by_key(Vec::len).filter(|kernels| !kernels.is_empty()) else { continue };
        let wide = kernels.iter().any(|(kernel, _)| kernel.width() == Width::Four);
        let size = specimen.inputs.iter().map(|input| input.len()).sum();
        let lengths = kernels[0].1.shader.label().contains("LEN=1");
        let of = (specimen.op.rule().name().to_string(), wide, lengths);
        if largest.get(&of).is_none_or(|other| other.size < size) {
            largest.insert(of, Recurrence { size, one, inputs: inputs_of(&specimen), plan });
        }
    }
    let kinds: BTreeSet<_> = largest.keys().map(|(name, wide, _)| (name, wide)).collect();
    assert_eq!(kinds.len(), 12, "three cells there and back, by fours and one by one: {:?}", largest.keys());
    let mut with_lengths = 0;
    for ((name, wide, lengths), Recurrence { one, inputs, plan, .. }) in &largest {
        let again = *lengths && largest.contains_key(&(name.clone(), *wide, false));
        let wanted = outputs(&mut Host::new(plan.clone()), one, inputs);
        let kernels = plan.schedule.steps.iter().map(|step| by_each(&step.dispatch)).max_by_key(Vec::len);
        // Each is compiled for a good part of a second: those that load one by one where nothing else can.
        let kernels = kernels.unwrap().into_iter().map(|(kernel, _)| kernel);
        let is_apart = |kernel: &Variant| {
            matches!(kernel, Variant::Subgroup { quads: 3.., .. } | Variant::Textured { quads: 3.., .. })
        };
        let kernels = kernels.filter(|kernel| *wide == (kernel.width() == Width::Four));
        for kernel in kernels.filter(|kernel| !again || is_apart(kernel)) {
            with_lengths += usize::from(*lengths && is_apart(&kernel));
            let mut plan = plan.clone();
            let mut changed = 0;
            for step in &mut plan.schedule.steps {
                let of_it = by_each(&step.dispatch).into_iter().find(|(other, _)| *other == kernel);
                changed += usize::from(of_it.is_some());
                step.dispatch = of_it.map_or_else(|| step.dispatch.clone(), |(_, dispatch)| dispatch);
                // What is bound once more, to be read from the texture, is what is bound for both.
                for binding in step.dispatch.bindings.iter().skip(step.accesses.len()) {
                    let both = |other: &Binding| (other.reads, &other.bytes) == (binding.reads, &binding.bytes);
                    let at = step.dispatch.bindings.iter().position(both).unwrap();
                    step.accesses.push(Access { writes: None, ..step.accesses[at].clone() });
                }
                for (access, binding) in step.accesses.iter_mut().zip(&step.dispatch.bindings) {
                    let length = binding.bytes.end - binding.bytes.start;
                    access.bytes.end = access.bytes.start + length;
                    access.texture_row = binding.texture_row;
                    access.texture_kept = binding.texture_kept;
                }
            }
            let plan = plan.equipped();
            plan.replay().unwrap();
            let found = outputs(&mut DeviceEngine::new(device, plan).unwrap(), one, inputs);
            let off = found.iter().zip(&wanted).map(|(found, wanted)| difference(found, wanted)).fold(0.0, f64::max);
            assert!(off < TOLERANCE, "{name}, by fours: {wide}, {kernel:?}: off by {off:.1e}");
            assert!(changed >= 2, "{name}, by fours: {wide}, {kernel:?}: {changed} timesteps");
        }
    }
    // One tile or two of a GRU and as many of an LSTM, where subgroups have a size that there are such for.
    let software = stepwise.device_kind == DeviceKind::Cpu;
    let tiles = match stepwise.fixed_subgroup().filter(|_| software) {
        Some(4 | 8) => 4,
        Some(16) => 2,
        _ => 0,
    };
    assert_eq!(with_lengths, 2 * tiles, "rows with lengths, gates apart");
}

/// Recurrences go through a window in one dispatch or in many.
fn is_recurrent(op: &Op) -> bool {
    matches!(op.rule().name().split(' ').next(), Some("elman" | "gru" | "lstm" | "recurrent"))
}

/// `device` by each of them, whichever is quicker here.
fn in_both_ways(device: &Device) -> [Target; 2] {
    [Windows::Stepwise, Windows::Whole].map(|windows| Target { windows, ..device.target().clone() })
}

/// One row by as many threads as there are, of which several share a sum.
fn shared(whole: &Target) -> Target {
    Target { device_kind: DeviceKind::Discrete, shader_f16: false, ..whole.clone() }
}

// Software adapters compile a kernel when it first runs, on one processor: so these are several tests, of a device each.

#[test]
fn every_kernel_agrees_with_its_reference() {
    let device = Device::open().unwrap();
    let [stepwise, whole] = in_both_ways(&device);
    check(&device, &stepwise, false, |_| true);
    check(&device, &whole, false, is_recurrent);
    // What is gone through number by number, read from a texture.
    let rates = Rates { textures: Some(TextureRates::FREE), ..Rates::assumed() };
    let textured = Target { rates: Some(rates), ..stepwise.clone() };
    check(&device, &textured, false, |op| {
        let optimizer = matches!(op, Op::Adagrad(_) | Op::Adam(_) | Op::RmsProp(_) | Op::Sgd(_));
        let streams = matches!(op, Op::ActivationGradient(_) | Op::ColumnSum(_) | Op::GradientNorm(_));
        // And what has factors of many products there.
        optimizer || streams || is_recurrent(op) || matches!(op, Op::LinearCrossEntropy(_))
    });
}

#[test]
fn every_kernel_for_a_timestep_agrees_with_its_reference() {
    let device = Device::open().unwrap();
    let [stepwise, _] = in_both_ways(&device);
    check_timesteps(&device, &stepwise);
}

/// Products, sums and recurrences choose their kernels by what the device reports; the others are the same.
#[test]
fn every_kernel_agrees_with_its_reference_whatever_the_device_says_it_is() {
    let device = Device::open().unwrap();
    let [stepwise, whole] = in_both_ways(&device);
    let products = |op: &Op| is_recurrent(op) || matches!(op, Op::Matmul(_) | Op::ColumnSum(_) | Op::Sum(_));
    for kind in [DeviceKind::Discrete, DeviceKind::Cpu] {
        let pretended = Target { device_kind: kind, subgroup_min_size: 0, subgroup_max_size: 0, ..stepwise.clone() };
        check(&device, &pretended, false, products);
    }
    check(&device, &shared(&whole), false, is_recurrent);
}

/// As words that two threads may share, which any device has, and one by one where it can.
#[test]
fn every_kernel_agrees_with_its_reference_in_halves() {
    let device = Device::open().unwrap();
    let [stepwise, whole] = in_both_ways(&device);
    check(&device, &shared(&whole), true, is_recurrent);
    for shader_f16 in [false, device.target().shader_f16] {
        check(&device, &Target { shader_f16, ..stepwise.clone() }, true, |_| true);
        check(&device, &Target { shader_f16, ..whole.clone() }, true, is_recurrent);
    }
}
