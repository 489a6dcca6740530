//! An update timed dispatch by dispatch is the update it would be without, and tells where its time goes.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::run::Probed;
use plimsoll::training::{Batch, Session, Training};

use sessions::{device, on_host, parameter_bits, run};

fn training() -> Training {
    let model = Model::new().embedding(8).recurrent(Recurrent::new(Cell::Lstm, 12)).output();
    let training = Training::new(model, Task::next_token(7), 4).window(5);
    Training { accumulate: 2, clip_norm: Some(1.0), report_every: 1, ..training }
}

fn batch(shift: u32) -> Batch {
    let of = |by: u32| (0..20).map(|i| (i * i + shift + by) % 7).collect();
    Batch::tokens(of(0), of(1))
}

#[test]
fn a_profiled_update_changes_the_parameters_as_any_other_does_to_the_bit() {
    let device = device();
    let mut plain = Session::new(&training(), &device).unwrap();
    let reports = run(&mut plain, &[batch(0), batch(1)]);
    let mut timed = Session::new(&training(), &device).unwrap();
    timed.profile(&batch(0)).unwrap();
    let last = run(&mut timed, &[batch(1)]);
    assert_eq!(last[0].loss.to_bits(), reports[1].loss.to_bits());
    assert_eq!(parameter_bits(&mut timed), parameter_bits(&mut plain));
    assert!(timed.held().is_none_or(|held| held.bytes == timed.plan().planned_bytes()), "what it took is given back");
}

#[test]
fn every_dispatch_of_an_update_is_timed_and_products_are_counted() {
    let device = device();
    let mut session = Session::new(&training(), &device).unwrap();
    let Some(ops) = session.profile(&batch(0)).unwrap() else {
        assert_eq!(device.target().backend, "gl", "only OpenGL has no clock");
        return;
    };
    let plan = session.plan();
    let dispatches = ["first", "next", "update"].map(|name| plan.dispatches(name) as u64);
    assert_eq!(ops.iter().map(|op| op.dispatches).sum::<u64>(), dispatches.iter().sum::<u64>());
    assert!(ops.windows(2).all(|pair| pair[0].nanoseconds >= pair[1].nanoseconds), "the longest first");
    assert!(ops.iter().all(|op| op.bytes > 0 && !op.kernel.is_empty()), "{ops:?}");
    assert!(ops.iter().map(|op| op.nanoseconds).sum::<f64>() > 0.0);
    // T B 4H H, two of a multiplication and an addition, in either micro-step of two rows.
    let lstm = |program| ops.iter().find(|op| op.op == "lstm" && op.program == program).unwrap().flops;
    assert_eq!(["first", "next"].map(lstm), [2 * 5 * 2 * 48 * 12; 2]);
}

#[test]
fn the_host_has_no_clock_and_trains_all_the_same() {
    let (mut plain, mut timed) = (on_host(&training()), on_host(&training()));
    plain.step(&batch(0)).unwrap();
    assert_eq!(timed.profile(&batch(0)).unwrap(), None);
    assert_eq!(parameter_bits(&mut timed), parameter_bits(&mut plain));
}

#[test]
fn a_probe_gives_back_what_it_took_and_comes_to_rates_that_a_device_can_have() {
    let device = device();
    let before = device.held();
    let probed = Probed::measure(&device).unwrap();
    assert_eq!(device.held(), before, "bytes and buffers");
    assert_eq!(probed.rates.checked(), Some(probed.rates));
    assert_eq!((&probed.adapter, &probed.driver), (&device.target().name, &device.target().driver));
    // A run that begins afterwards holds what is planned, and nothing else.
    let mut session = Session::new(&training(), &device).unwrap();
    run(&mut session, &[batch(0)]);
    assert!(session.held().is_none_or(|held| held.bytes == session.plan().planned_bytes()));
    assert!(session.planned().seconds(&probed.rates) > 0.0);
}
