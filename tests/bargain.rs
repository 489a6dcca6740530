//! A budget in bytes: the fastest way known that fits it, monotone, and the same updates in every way.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::bytes::Bytes;
use plimsoll::device::Device;
use plimsoll::error::Error;
use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::plan::Rates;
use plimsoll::target::Target;
use plimsoll::training::{Batch, Optimizer, Planned, Session, Storage, Training};

use sessions::{close, device, noise, on_host, parameters, run};

fn target() -> Target {
    Target::profile("webgpu-default").unwrap()
}

/// Runs that have different ways: windows that can be cut, rows that can be split, gradients that can be released.
fn runs() -> Vec<(&'static str, Training)> {
    let text = Model::new().embedding(16).recurrent(Recurrent::new(Cell::Lstm, 32).layers(2)).output();
    let text = Training::new(text, Task::next_token(40), 12).window(24);
    let perceptron = Model::new().linear(256).relu().linear(256).relu().output();
    let perceptron = Training::new(perceptron, Task::classification(64, 10), 48);
    let halves = Training { batch: 12, ..perceptron.clone() };
    let halves = halves.storage(Storage::F16).parameter_storage(Storage::F16).accumulate(3);
    let deep = (0..8).fold(Model::new(), |model, _| model.linear(64).relu()).output();
    let deep = Training::new(deep, Task::regression(64, 10), 360);
    let both = Recurrent { bidirectional: true, ..Recurrent::new(Cell::Gru, 24) };
    let both = Training::new(Model::new().recurrent(both).output(), Task::regression(3, 2).each_step(), 10).window(20);
    vec![
        ("text", Training { clip_norm: Some(1.0), ..text.clone() }),
        ("text in halves", text.clone().storage(Storage::F16)),
        ("text without clipping", text),
        ("perceptron", perceptron.clone()),
        ("perceptron, all in halves", halves),
        ("both ways", both),
        ("deep", deep),
    ]
}

fn within(training: &Training, memory: u64) -> Planned {
    Training { memory: Some(Bytes(memory)), ..training.clone() }.bargain(&target()).unwrap()
}

#[test]
fn more_memory_never_gives_a_slower_plan_and_less_never_a_larger_one() {
    for (name, training) in runs() {
        let whole = training.plan(&target()).unwrap().plan.planned_bytes();
        let mut before: Option<(u64, f64)> = None;
        let mut ways = std::collections::HashSet::new();
        for step in 0..30 {
            let memory = whole * step / 28;
            let planned = within(&training, memory);
            if !planned.fits() {
                assert_eq!(before, None, "{name}: what fits {memory} B less does not fit");
                assert_eq!(planned.plan.planned_bytes(), whole, "{name}: a refusal is of the run as described");
                continue;
            }
            let (bytes, seconds) = (planned.plan.planned_bytes(), planned.seconds(&Rates::assumed()));
            assert!(bytes <= memory, "{name}: {bytes} of {memory} B");
            if let Some((bytes_before, seconds_before)) = before {
                assert!(bytes >= bytes_before, "{name}: {bytes} B after {bytes_before} B");
                assert!(seconds <= seconds_before, "{name}: {seconds} s after {seconds_before} s");
            }
            before = Some((bytes, seconds));
            ways.insert(planned.training.way());
            assert_eq!(planned.bargain.is_none(), planned.training.way() == training.way(), "{name}");
        }
        let (bytes, _) = before.unwrap();
        assert_eq!(bytes, whole, "{name}: with enough memory the run is as described");
        let in_halves = name == "perceptron, all in halves";
        assert!(ways.len() >= if in_halves { 2 } else { 3 }, "{name}: only {} ways", ways.len());
        let copied = ways.iter().any(|way| !way.keep_copies);
        assert_eq!(copied, in_halves, "{name}: {ways:?}");
        assert!(name != "deep" || ways.iter().any(|way| way.recompute.is_some()), "{name}: {ways:?}");
    }
}

#[test]
fn of_the_front_each_is_planned_at_what_it_says_and_none_is_worse_than_another() {
    for (name, training) in runs() {
        let front = training.front(&target(), &Rates::assumed()).unwrap();
        assert!(front.windows(2).all(|two| two[0].seconds <= two[1].seconds && two[0].bytes > two[1].bytes), "{name}");
        for offer in &front {
            let tight = Training { memory: Some(Bytes(offer.bytes)), ..training.in_way(offer.way) };
            let planned = tight.plan(&target()).unwrap();
            assert!(planned.fits() && planned.plan.planned_bytes() == offer.bytes, "{name}: {offer:?}");
            planned.plan.replay().unwrap();
            // What a budget of so much is turned into is that or a faster one.
            let chosen = within(&training, offer.bytes);
            assert!(chosen.fits() && chosen.seconds(&Rates::assumed()) <= offer.seconds, "{name}: {offer:?}");
        }
    }
}

/// The smallest way there is learns what the run as described learns, on the device, in what it was planned for.
#[test]
fn a_bargain_makes_the_same_updates() {
    let device = device();
    for (name, training) in runs().into_iter().filter(|(_, t)| t.storage == Storage::F32) {
        let training = Training { optimizer: Optimizer::sgd(0.1, 0.9), report_every: 1, ..training };
        let Training { batch, window, .. } = training;
        let (rows, time) = (batch as usize, window as usize);
        let made = |kind: u32| match name {
            "perceptron" => Batch::classes(noise(rows * 64, kind), (0..batch).map(|i| (i + kind) % 10).collect()),
            "deep" => Batch::numbers(noise(rows * 64, kind), noise(rows * 10, kind + 9)),
            "both ways" => Batch::numbers(noise(rows * time * 3, kind), noise(rows * time * 2, kind + 9)),
            _ => {
                let ids = |from: u32| (from..from + batch * window).map(|i| i * i % 40).collect();
                Batch::tokens(ids(kind), ids(kind + 1))
            }
        };
        let batches: Vec<Batch> = (0..3).map(made).collect();
        let wanted = run(&mut on_host(&training), &batches);
        let smallest = training.front(device.target(), &Rates::assumed()).unwrap().pop().unwrap();
        let tight = Training { memory: Some(Bytes(smallest.bytes)), ..training.clone() };
        let planned = tight.bargain(device.target()).unwrap();
        assert!(planned.bargain.is_some() && planned.plan.planned_bytes() <= smallest.bytes, "{name}");
        let mut session = Session::start(planned, &device).unwrap();
        assert_eq!(session.held().unwrap().bytes, session.plan().planned_bytes(), "{name}");
        let found = run(&mut session, &batches);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!(
                (found.loss - wanted.loss).abs() < 2e-5 * wanted.loss.abs().max(1.0),
                "{name}: {found:?} {wanted:?}"
            );
            assert!((found.grad_norm - wanted.grad_norm).abs() < 1e-4 * wanted.grad_norm.max(1.0), "{name}");
        }
        let mut host = on_host(&training);
        run(&mut host, &batches);
        let wanted = parameters(&mut host);
        for (of, numbers) in parameters(&mut session) {
            close(&of, &numbers, &wanted[&of], 1e-4);
        }
    }
}

#[test]
fn what_no_smaller_way_helps_is_not_bargained_about() {
    let mut target = target();
    target.limits.max_storage_buffers_per_shader_stage = 3;
    let (_, training) = runs().remove(0);
    let planned = training.bargain(&target).unwrap();
    assert!(planned.bargain.is_none() && !planned.fits());
    // A limit of one binding is met by smaller pieces.
    let mut target = self::target();
    let largest = 24 * 12 * 128 * 4;
    target.limits.max_storage_buffer_binding_size = largest - 256;
    let planned = training.bargain(&target).unwrap();
    assert!(planned.bargain.is_some() && planned.fits(), "{:?}", planned.plan.violations(None));
}

/// Losses of three steps of the first run, begun on a device that refuses buffers as `refuse` says.
fn begun(device: &Device, refuse: impl FnMut(u64) -> bool + Send + 'static) -> (Result<Session, Error>, Vec<String>) {
    let (_, training) = runs().remove(0);
    start(training.plan(device.target()).unwrap(), device, refuse)
}

fn start(
    planned: Planned,
    device: &Device,
    refuse: impl FnMut(u64) -> bool + Send + 'static,
) -> (Result<Session, Error>, Vec<String>) {
    let mut news = Vec::new();
    device.refuse_memory(refuse);
    let session = Session::start_in_what_there_is(planned, device, &mut |told| news.push(told.to_owned()));
    device.refuse_memory(|_| false);
    (session, news)
}

fn losses(session: &mut Session) -> Vec<f32> {
    let ids = |from: u32| (from..from + 12 * 24).map(|i| i * i % 40).collect();
    let batches: Vec<Batch> = (0..3).map(|kind| Batch::tokens(ids(kind), ids(kind + 1))).collect();
    run(session, &batches).iter().map(|report| report.loss).collect()
}

#[test]
fn a_device_that_refuses_any_of_its_buffers_once_trains_in_less_to_the_same_losses() {
    let device = device();
    let (whole, news) = begun(&device, |_| false);
    assert!(news.is_empty());
    let mut whole = whole.unwrap();
    let (wanted, buffers) = (losses(&mut whole), whole.held().unwrap().buffers);
    let before = whole.plan().planned_bytes();
    drop(whole);
    assert!(buffers >= 10, "{buffers}");
    for at in 0..buffers {
        let mut asked = 0;
        let (session, news) = begun(&device, move |_| {
            asked += 1;
            asked == at + 1
        });
        let mut session = session.unwrap();
        assert_eq!(news.len(), 1, "buffer {at}: {news:?}");
        assert!(news[0].contains("refused") && news[0].contains("the same updates"), "{}", news[0]);
        let bytes = session.plan().planned_bytes();
        assert!(bytes < before, "buffer {at}: {bytes} of {before} B");
        assert_eq!(session.held().unwrap().bytes, bytes, "buffer {at}: nothing is left of the first try");
        close("losses", &losses(&mut session), &wanted, 1e-6);
        assert_eq!(session.allocations_after_first_step(), Some(0));
    }
}

#[test]
fn a_device_with_less_than_it_said_is_given_a_plan_that_fits_or_its_refusal_is_told() {
    let device = device();
    let whole = losses(&mut begun(&device, |_| false).0.unwrap());
    let planned = runs().remove(0).1.plan(device.target()).unwrap().plan.planned_bytes();
    for share in [0.9, 0.7, 0.55] {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number")]
        let has = (planned as f64 * share) as u64;
        let held = device.clone();
        let (session, news) = begun(&device, move |bytes| held.held().unwrap().bytes + bytes > has);
        let mut session = session.unwrap();
        assert!(!news.is_empty() && session.plan().planned_bytes() <= has, "{news:?}");
        close("losses", &losses(&mut session), &whole, 2e-5);
    }
    // What no way fits is the device's refusal, and leaves nothing behind.
    let (none, _) = begun(&device, |bytes| bytes > 4096);
    let told = none.err().unwrap().to_string();
    assert!(told.contains("the device refused") && told.contains("having given"), "{told}");
    assert_eq!(device.held().unwrap().bytes, 0);
}

/// Windows as long as there may be are searched in reason, and no call stack is too short for them.
#[test]
fn long_windows_are_bargained_about_in_reason() {
    let model = Model::new().embedding(4).gru(8).output();
    let training = Training { sample: false, ..Training::new(model, Task::next_token(5), 2) }.window(1 << 14);
    let whole = training.plan(&target()).unwrap().plan.planned_bytes();
    let planned = within(&training, whole / 8);
    assert!(planned.fits() && planned.bargain.is_some(), "{}", planned.plan.planned_bytes());
    let written = planned.plan.schedule.steps.len();
    assert!(written < 250_000, "{written} dispatches");
}

/// A run that was bargained about before, and one that no rows can be split of, are given what there is all the same.
#[test]
fn what_a_device_has_is_found_from_the_run_as_described() {
    let device = device();
    let single = Model::new().embedding(16).lstm(64).output();
    let single = Training::new(single, Task::next_token(40), 1).window(128);
    let several = Training { batch: 8, window: 48, ..single.clone() };
    for training in [single, several] {
        let front = training.front(device.target(), &Rates::assumed()).unwrap();
        let [first, second] = [0, front.len() / 2].map(|i| front[i].bytes);
        for before in [first, second] {
            let planned =
                Training { memory: Some(Bytes(before)), ..training.clone() }.bargain(device.target()).unwrap();
            // A little more than the smallest needs, of which there are several ways.
            let has = front[front.len() * 3 / 4].bytes;
            let held = device.clone();
            let (session, _) = start(planned, &device, move |bytes| held.held().unwrap().bytes + bytes > has);
            let session = session.unwrap_or_else(|error| panic!("{before} B, {has} B: {error}"));
            assert!(session.plan().planned_bytes() <= has);
        }
    }
}
