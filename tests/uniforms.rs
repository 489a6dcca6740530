//! On a device that takes no immediates, or too few, dispatches find their parameters in a buffer: training is the same
//! to the bit, and that buffer is in the plan, held and reserved to the byte.

#[path = "common/sessions.rs"]
mod sessions;

use std::collections::HashSet;

use plimsoll::device::{Device, adapters};
use plimsoll::engine::Drawn;
use plimsoll::graph::Role;
use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::plan::reserved::Blocks;
use plimsoll::training::{Batch, Optimizer, Segments, Session, Storage, Training};
use sessions::{holds_what_was_planned, noise, parameter_bits, run};

/// The adapter that tests run on, as if it took only so many bytes of immediates; of one that takes all, a limit that
/// is its own.
fn device(max_immediate_size: Option<u32>) -> Device {
    let mut adapter = adapters().unwrap().into_iter().find(|adapter| adapter.would_do()).unwrap();
    let limit = &mut adapter.target.limits.max_immediate_size;
    *limit = max_immediate_size.unwrap_or(*limit);
    adapter.open().unwrap()
}

fn text(cell: Cell) -> Training {
    let model = Model::new().embedding(6).recurrent(Recurrent::new(cell, 20)).dropout(0.1).output();
    Training { clip_norm: Some(1.0), ..Training::new(model, Task::next_token(11), 6).window(7) }
}

fn windows() -> Vec<Batch> {
    let of = |from: u32| (from..from + 42).map(|i| (i * i + i / 3) % 11).collect();
    (0..4).map(|step| Batch::tokens(of(5 * step), of(5 * step + 1))).collect()
}

/// Trainings that between them dispatch most kernels there are, and what they learn from.
fn cases() -> Vec<(&'static str, Training, Vec<Batch>)> {
    let rows = || (0..4).map(|step| Batch::numbers(noise(60, step), noise(24, 9 + step))).collect::<Vec<_>>();
    let layers = Model::new().linear(33).tanh().layer_norm().linear(17).relu().output();
    let regression = |optimizer| Training { optimizer, ..Training::new(layers.clone(), Task::regression(5, 2), 12) };
    vec![
        ("layers", regression(Optimizer::adamw(0.01)), rows()),
        ("by momentum", regression(Optimizer::sgd(0.1, 0.9)), rows()),
        ("in micro-steps", regression(Optimizer::adamw(0.01)).accumulate(3), rows()),
        ("elman", text(Cell::Rnn(plimsoll::ops::Function::Tanh)), windows()),
        ("lstm", text(Cell::Lstm), windows()),
        ("lstm in halves", text(Cell::Lstm).storage(Storage::F16), windows()),
        ("gru in segments", text(Cell::Gru).segments(Segments::of(3)), windows()),
    ]
}

/// Losses and parameters after all steps and an evaluation, each as bits; held and reserved are as planned throughout.
fn trained(training: &Training, batches: &[Batch], device: &Device) -> (Vec<u64>, Vec<u32>, u64) {
    // No driver but Vulkan's says how it places buffers.
    let mut blocks = device.target().buffer_memory.map(Blocks::of_fresh_device);
    let mut session = Session::new(training, device).unwrap();
    let planned = session.plan().planned_bytes();
    let told = blocks.as_mut().map(|blocks| {
        let _taken = blocks.take(session.plan());
        Drawn { allocated_bytes: blocks.allocated_bytes(), reserved_bytes: blocks.reserved_bytes() }
    });
    let look = |session: &Session| {
        holds_what_was_planned(session);
        assert!(told.is_none() || session.reserved() == told, "{:?}, foretold {told:?}", session.reserved());
    };
    look(&session);
    let reports = run(&mut session, batches);
    let mut losses: Vec<u64> = reports.iter().map(|report| report.loss.to_bits().into()).collect();
    look(&session);
    let rows = training.micro_batch() as usize;
    let (all, window) = (training.batch as usize, training.window as usize);
    let held_out = batches[0].group(all, 0, all / rows, |_| window);
    losses.push(session.evaluate([held_out]).unwrap().total.to_bits());
    let parameters = parameter_bits(&mut session);
    look(&session);
    (losses, parameters, planned)
}

#[test]
fn training_without_immediates_is_the_same_to_the_bit() {
    let (with, without) = (device(None), device(Some(0)));
    assert_eq!(without.target().limits.max_immediate_size, 0);
    for (name, training, batches) in cases() {
        let (losses, parameters, planned) = trained(&training, &batches, &with);
        let other = trained(&training, &batches, &without);
        assert_eq!((&other.0, &other.1), (&losses, &parameters), "{name}");
        let plan = training.plan(without.target()).unwrap().plan;
        assert_eq!(other.2, planned + plan.uniforms.bytes(), "{name}: nothing but the buffer is added");
        assert_eq!(plan.roles().last(), Some(&(Role::Uniforms, plan.uniforms.bytes())), "{name}");
    }
}

#[test]
fn where_some_dispatches_can_carry_theirs_only_the_others_read_them_from_the_buffer() {
    let (with, few) = (device(None), device(Some(24)));
    let (_, training, batches) = cases().swap_remove(4);
    let plan = training.plan(few.target()).unwrap().plan;
    let stored = (0..plan.schedule.steps.len()).filter(|&step| plan.uniforms.offset(step).is_some()).count();
    assert!(0 < stored && stored < plan.schedule.steps.len(), "{stored} of {}", plan.schedule.steps.len());
    let (one, other) = (trained(&training, &batches, &with), trained(&training, &batches, &few));
    assert_eq!((one.0, one.1), (other.0, other.1));
}

#[test]
fn parameters_that_are_alike_lie_there_once() {
    let (_, training, _) = cases().swap_remove(4);
    let mut target = plimsoll::target::Target::profile("webgpu-default").unwrap();
    assert_eq!(training.plan(&target).unwrap().plan.uniforms.bytes(), 0);
    target.limits.max_immediate_size = 0;
    for align in [16, 64, 256] {
        target.limits.min_uniform_buffer_offset_alignment = align;
        let plan = training.plan(&target).unwrap().plan;
        plan.replay().unwrap();
        let params = plan.schedule.steps.iter().map(|step| &step.dispatch.params);
        let (distinct, longest) = (params.clone().collect::<HashSet<_>>(), params.map(Vec::len).max().unwrap() as u64);
        assert!(distinct.len() < plan.schedule.steps.len());
        let each = longest.next_multiple_of(align.into());
        assert_eq!(plan.uniforms.bytes(), distinct.len() as u64 * each, "at multiples of {align}");
        let in_arenas = plan.arenas.iter().filter(|arena| arena.role == Role::Uniforms).map(|arena| arena.bytes);
        assert_eq!(in_arenas.collect::<Vec<_>>(), [plan.uniforms.bytes()]);
    }
}
