//! What the driver reserves for plans, told beforehand, is what the device's own allocator reports, to the byte.
//!
//! It is told of a device that nothing has been on, so that tests, and cases, open one each.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::device::Device;
use plimsoll::engine::Drawn;
use plimsoll::nn::{Model, Task};
use plimsoll::plan::reserved::Blocks;
use plimsoll::target::Target;
use plimsoll::training::{Batch, Optimizer, Session, Storage, Training};
use sessions::run;

const MIB: u64 = 1 << 20;

/// What is simulated, as a device would report it.
fn foretold(blocks: &Blocks) -> Drawn {
    Drawn { allocated_bytes: blocks.allocated_bytes(), reserved_bytes: blocks.reserved_bytes() }
}

/// A device just opened, and what is told of it.
fn fresh() -> (Device, Blocks) {
    let device = Device::open().unwrap();
    let memory = device.target().buffer_memory.expect("a Vulkan driver that places buffers by a plain rule");
    (device, Blocks::of_fresh_device(memory))
}

/// A window of text; the vocabulary has 11 ids.
fn text(embedding: u32, hidden: u32, batch: u32, window: u32) -> Training {
    let model = Model::new().embedding(embedding).lstm(hidden).output();
    Training::new(model, Task::next_token(11), batch).window(window)
}

/// Rows of numbers, and what is to be learnt of them.
fn mlp(inputs: u32, hidden: u32, batch: u32) -> Training {
    let model = Model::new().linear(hidden).tanh().output();
    Training { optimizer: Optimizer::sgd(0.1, 0.9), ..Training::new(model, Task::regression(inputs, 2), batch) }
}

fn cases() -> Vec<(&'static str, Training)> {
    vec![
        ("tiny", mlp(1, 1, 1)),
        ("odd", mlp(3, 7, 5)),
        ("odd text", text(3, 5, 7, 13)),
        ("in micro-steps", text(16, 33, 8, 9).accumulate(4)),
        ("halves", text(16, 64, 8, 32).storage(Storage::F16)),
        ("of some blocks", text(64, 256, 32, 64)),
        ("weights larger than a block", mlp(700, 1100, 16)),
        ("activations larger than the largest block", text(64, 256, 64, 256)),
        ("uploads larger than a block", mlp(4_000, 8, 1_500)),
    ]
}

#[test]
fn what_a_plan_takes_of_a_fresh_device_is_told_to_the_byte() {
    let mut most = 0;
    for (name, training) in cases() {
        let (device, mut blocks) = fresh();
        let before = device.reserved().expect("this backend reports");
        assert_eq!(before, foretold(&blocks), "what wgpu has for itself");
        let session = Session::new(&training, &device).unwrap();
        let told = session.plan().reserved().unwrap();
        let expected = Drawn { allocated_bytes: told.allocated_bytes, reserved_bytes: told.reserved_bytes };
        assert_eq!(session.reserved(), Some(expected), "{name}: {told:?}");
        assert_eq!(told.planned_bytes, session.held().unwrap().bytes, "{name}");
        assert!(told.planned_bytes < told.allocated_bytes && told.allocated_bytes < told.reserved_bytes, "{name}");
        assert_eq!(told.blocks.iter().sum::<u64>(), told.reserved_bytes, "{name}");
        most = most.max(*told.blocks.last().unwrap());
        let taken = blocks.take(session.plan());
        drop(session);
        blocks.give_back(taken);
        // All of it; where memories are several, of each one block stays for what may come.
        assert_eq!(device.reserved(), Some(foretold(&blocks)), "{name}: all is given back");
        assert_eq!(blocks.allocated_bytes(), before.allocated_bytes, "{name}");
    }
    assert!(most > 32 * MIB, "a buffer larger than any block was among them: {most}");
}

#[test]
fn learning_takes_nothing_more() {
    let (device, _) = fresh();
    let mut session = Session::new(&mlp(3, 40, 6).accumulate(3), &device).unwrap();
    let begun = session.reserved();
    let rows = Batch::numbers(vec![0.5; 18], vec![0.25; 12]);
    run(&mut session, &vec![rows.clone(); 20]);
    session.parameters().unwrap();
    assert_eq!(session.reserved(), begun);
    let told = session.plan().reserved().unwrap();
    assert_eq!(begun.map(|drawn| drawn.allocated_bytes), Some(told.allocated_bytes));
}

#[test]
fn plans_that_are_spread_over_many_buffers_are_told_as_well() {
    for most in [25_000, 70_000, 3 << 20] {
        let (device, _) = fresh();
        let mut small = device.target().clone();
        (small.limits.max_buffer_size, small.limits.max_storage_buffer_binding_size) = (most, most);
        let planned = text(8, 32, 6, 8).plan(&small).unwrap();
        let (arenas, told) = (planned.plan.arenas.len(), planned.plan.reserved().unwrap());
        let session = Session::start(planned, &device).unwrap();
        let Drawn { allocated_bytes, reserved_bytes } = session.reserved().unwrap();
        assert_eq!((told.allocated_bytes, told.reserved_bytes), (allocated_bytes, reserved_bytes), "{arenas} buffers");
    }
}

#[test]
fn several_sessions_at_once_and_after_some_are_dropped_are_told_to_the_byte() {
    let (device, mut blocks) = fresh();
    let mut alive = Vec::new();
    let cases = cases();
    // Sessions come and go in turns, so that later ones find holes that earlier ones have left.
    for (at, (name, training)) in cases.iter().chain(&cases).enumerate() {
        if at % 3 == 2 {
            let (session, taken) = alive.remove(at % alive.len());
            drop::<Session>(session);
            blocks.give_back(taken);
            assert_eq!(device.reserved(), Some(foretold(&blocks)), "before {name}, as number {at}");
        }
        let session = Session::new(training, &device).unwrap();
        let taken = blocks.take(session.plan());
        assert_eq!(session.reserved(), Some(foretold(&blocks)), "{name}, as number {at}");
        alive.push((session, taken));
    }
    assert!(alive.len() > 5, "{} sessions at once", alive.len());
}

#[test]
fn a_buffer_that_no_plan_knows_is_seen() {
    let (device, _) = fresh();
    let session = Session::new(&mlp(3, 7, 5), &device).unwrap();
    // Larger than any block.
    let stray = device.stray_buffer(70 * MIB);
    let told = session.plan().reserved().unwrap();
    let seen = session.reserved().unwrap();
    assert_eq!(seen.reserved_bytes, told.reserved_bytes + 70 * MIB, "it lies alone");
    assert_eq!(seen.allocated_bytes, told.allocated_bytes + 70 * MIB);
    drop(stray);
}

#[test]
fn the_profile_of_a_software_adapter_tells_what_that_adapter_does() {
    let ((device, _), profile) = (fresh(), Target::profile("lavapipe").unwrap());
    if device.target().driver.starts_with("llvmpipe") {
        assert_eq!(device.target().buffer_memory, profile.buffer_memory);
        // Planned with no device, and for one.
        let training = text(16, 33, 8, 9);
        let told = training.plan(&profile).unwrap().plan.reserved();
        assert_eq!(told, training.plan(device.target()).unwrap().plan.reserved());
    }
}

#[test]
fn where_nothing_is_known_of_the_driver_nothing_is_told() {
    let planned = |profile| text(3, 5, 7, 13).plan(&Target::profile(profile).unwrap()).unwrap();
    assert!(planned("lavapipe").plan.reserved().is_some());
    for profile in ["webgpu-default", "metal-m1-max", "dx12-tier3", "lavapipe-gl"] {
        assert_eq!(planned(profile).plan.reserved(), None, "{profile}");
    }
}
