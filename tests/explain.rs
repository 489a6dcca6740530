//! What a plan says of itself: what is kept and why, what each saving brings, what to look out for.

use plimsoll::graph::Role;
use plimsoll::nn::{Cell, LayerKind, Recurrent, Task};
use plimsoll::ops::{Curve, Function};
use plimsoll::plan::Saving;
use plimsoll::training::{NONE_OF_THEM, NonFinite, Planned, Segments, Storage, Warning};
use plimsoll::{Bytes, Model, Optimizer, Target, Training};

fn target() -> Target {
    Target::profile("webgpu-default").unwrap()
}

fn plan(training: &Training) -> Planned {
    training.plan(&target()).unwrap()
}

/// An LSTM of 8 units on windows of 16 timesteps and 4 rows: a slot is 2,048 bytes.
fn lstm() -> Training {
    Training::new(Model::new().embedding(6).lstm(8).output(), Task::next_token(10), 4).window(16)
}

#[test]
fn an_lstm_keeps_six_slots_and_says_who_reads_each() {
    let planned = plan(&lstm());
    let kept = planned.plan.kept_for_backward();
    let of_lstm: Vec<_> = kept.iter().filter(|k| k.layer == "lstm" && k.bytes >= 2048).collect();
    let told: Vec<(&str, u64)> = of_lstm.iter().map(|k| (&k.name[..], k.bytes)).collect();
    let mut wanted = [("lstm f32[16, 4, 32]", 8192), ("lstm f32[16, 4, 8]", 2048), ("lstm f32[16, 4, 8]", 2048)];
    wanted.sort_unstable();
    let mut sorted = told.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, wanted, "gates, cells and states, and nothing else: {told:?}");
    let reasons = |bytes, at: usize| {
        let kept = of_lstm.iter().filter(|k| k.bytes == bytes).nth(at).unwrap();
        kept.readers.iter().map(|r| (r.op, r.parameter.as_deref(), r.why)).collect::<Vec<_>>()
    };
    let gates = "the gates, whose slopes are told from their results";
    assert_eq!(reasons(8192, 0), [("lstm gradient", None, gates)]);
    // The states are read by three: both weights' gradients, and nothing reads what the gates can tell.
    let all: Vec<_> = (0..2).flat_map(|at| reasons(2048, at)).collect();
    for reader in [
        ("lstm gradient", None, "the cells, for c[t-1] and tanh(c[t])"),
        ("matmul", Some("linear.weight"), "a factor of the weight's gradient"),
        ("recurrent weight gradient", Some("lstm.weight_hh_l0"), "h[t-1], a factor of the weight's gradient"),
    ] {
        assert!(all.contains(&reader), "{reader:?} is not among {all:?}");
    }
    assert_eq!(all.len(), 3, "{all:?}");
}

/// Networks that between them have every kind of layer.
fn networks() -> Vec<Training> {
    let recurrent =
        |spec: Recurrent| Training::new(Model::new().embedding(6).recurrent(spec).output(), Task::next_token(10), 4);
    let cells = [Cell::Rnn(Function::Tanh), Cell::Rnn(Function::Relu), Cell::Gru, Cell::GruResetBefore, Cell::Lstm];
    let mut all: Vec<Training> =
        cells.iter().map(|&cell| recurrent(Recurrent::new(cell, 8).layers(2)).window(16)).collect();
    let both = Recurrent { bidirectional: true, dropout: 0.2, ..Recurrent::new(Cell::Gru, 8).layers(2) };
    let whole = recurrent(both).window(5);
    all.push(Training { carry_state: false, sample: false, ..whole });
    let model = Model::new().linear(12).relu().layer_norm().linear(9).curve(Curve::Gelu).dropout(0.3).linear(8).tanh();
    let model = model.with("sum", LayerKind::Add).reading(&["tanh", "linear_3"]).output();
    all.push(Training::new(model.clone(), Task::classification(7, 5), 6));
    all.push(Training::new(model.clone(), Task::regression(7, 2), 6));
    all.push(Training::new(model, Task::bits(7, 2), 6));
    let lstm = Training::new(Model::new().embedding(6).lstm(8).output(), Task::next_token(10), 4).window(16);
    all.push(lstm.segments(Segments::of(4)));
    let deep = Model::new().embedding(6).lstm(8).layer_norm().dropout(0.1).gru(8).output();
    all.push(Training::new(deep, Task::next_token(10), 4).window(16).accumulate(2).storage(Storage::F16));
    let stack = (0..6).fold(Model::new(), |model, _| model.linear(32).curve(Curve::Silu)).output();
    all.push(Training::new(stack, Task::regression(7, 2), 64).recompute(3));
    all
}

#[test]
fn all_that_is_kept_has_a_reader_and_adds_up_to_what_the_layers_keep() {
    for training in networks() {
        let planned = plan(&training);
        let kept = planned.plan.kept_for_backward();
        assert!(!kept.is_empty(), "{:?}", training.network);
        for k in &kept {
            assert!(!k.readers.is_empty(), "nobody reads {k:?}");
            for reader in &k.readers {
                assert!(!reader.why.is_empty() && reader.dispatch >= 1, "{k:?}");
                // The gradient of the loss is all that an op may read without saying what it is to it.
                let told = reader.why != "what it is worked out from";
                let is_gradient = k.layer == "loss" || k.name.contains("cross entropy") || k.name.contains("error");
                assert!(told || is_gradient, "{reader:?} does not say why it reads {k:?}");
            }
        }
        let by_layer: u64 = planned.plan.layers().iter().map(|layer| layer.kept).sum();
        assert_eq!(kept.iter().map(|k| k.bytes).sum::<u64>(), by_layer);
    }
    let taught = Training { learn: false, ..lstm() };
    assert!(plan(&taught).plan.kept_for_backward().is_empty(), "what does not learn keeps nothing");
}

#[test]
fn no_saving_costs_memory_and_none_of_them_costs_most() {
    for training in networks() {
        let planned = plan(&training);
        let bytes = planned.plan.planned_bytes();
        let savings = planned.savings().unwrap();
        let (none, each) = savings.split_last().unwrap();
        assert_eq!(none.saving, NONE_OF_THEM);
        assert_eq!(each.iter().any(|s| s.saving == "halves"), training.storage == Storage::F16);
        for saved in each {
            assert!(bytes <= saved.without_bytes, "{saved:?} beside {bytes}");
            assert!(saved.without_bytes <= none.without_bytes, "{saved:?} beside {none:?}");
        }
        assert!(none.without_bytes > bytes);
    }
}

#[test]
fn what_each_saving_brings_is_what_the_plan_without_it_takes() {
    let planned = plan(&lstm());
    let savings = planned.savings().unwrap();
    let without = |name: &str| savings.iter().find(|s| s.saving == name).unwrap().without_bytes;
    // Without reuse each tenant has bytes of its own.
    let plan_ = &planned.plan;
    let activations: u64 = plan_.roles().iter().filter(|(role, _)| *role == Role::Activation).map(|(_, b)| b).sum();
    let each: u64 = plan_.tenants.iter().map(|t| t.tenant.interval.bytes.next_multiple_of(256)).sum();
    assert_eq!(without("bytes used again"), plan_.planned_bytes() - activations + each);
    // The gates lie over what they are made from, 4 slots, and at the peak nothing else could lie there.
    assert!(without("results in place") > plan_.planned_bytes());
    assert_eq!(plan_.bytes_without(&[]), plan_.planned_bytes());
    assert_eq!(plan_.bytes_without(&[Saving::Views]), without("views"));
    // Numbers are uploaded in halves as well, through less staging.
    let model = Model::new().linear(24).output();
    let numbers = Training { evaluate: false, ..Training::new(model, Task::regression(512, 3), 64) };
    for training in [lstm(), numbers] {
        let savings = plan(&training.clone().storage(Storage::F16)).savings().unwrap();
        let full = savings.iter().find(|s| s.saving == "halves").unwrap().without_bytes;
        assert_eq!(full, plan(&training.storage(Storage::F32)).plan.planned_bytes());
    }
}

#[test]
fn a_smaller_budget_does_not_change_what_savings_bring() {
    // It makes staging smaller, which is no saving of the plan's.
    let long = Training { batch: 16, ..lstm().window(256) };
    let whole = plan(&long);
    let tight = Training { memory: Some(Bytes(whole.plan.planned_bytes() - 1024)), ..long };
    let tight = plan(&tight);
    let brings = |planned: &Planned| -> Vec<u64> {
        planned.savings().unwrap().iter().map(|s| s.without_bytes - planned.plan.planned_bytes()).collect()
    };
    assert!(tight.plan.staging.bytes() < whole.plan.staging.bytes());
    assert_eq!(brings(&tight), brings(&whole));
}

fn told(training: &Training) -> Vec<Warning> {
    plan(training).warnings()
}

fn about(training: &Training, what: &str) -> Option<Warning> {
    told(training).into_iter().find(|w| w.about == what)
}

#[test]
fn a_large_weight_is_named_with_all_that_lies_beside_it() {
    let wide = |optimizer| {
        let model = Model::new().linear(1000).tanh().output();
        Training { optimizer, ..Training::new(model, Task::classification(500, 3), 2) }
    };
    let warning = about(&wide(Optimizer::default()), "large_weight").unwrap();
    assert_eq!(warning.bytes, 1000 * 500 * 4 * 4, "weight, gradient and two moments");
    for word in ["`linear.weight`", "1000 x 500", "2 numbers", "product of both sizes"] {
        assert!(warning.text.contains(word), "{word}: {}", warning.text);
    }
    let plain =
        Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false };
    assert_eq!(about(&wide(plain), "large_weight").unwrap().bytes, 1000 * 500 * 4 * 2, "weight and gradient");
    let released =
        Training { release_gradients: true, non_finite: Some(NonFinite::Stop), ..wide(Optimizer::default()) };
    let warning = about(&released, "large_weight").unwrap();
    assert_eq!(warning.bytes, 1000 * 500 * 4 * 3, "its gradient lies there for a moment only");
    assert!(!warning.text.contains("gradient"), "{}", warning.text);
    let long = Training::new(Model::new().linear(8).tanh().output(), Task::classification(5, 3), 4000);
    assert_eq!(about(&long, "large_weight"), None);
}

#[test]
fn logits_of_many_classes_are_told_with_how_many_lie_there() {
    let words = |vocabulary, batch| {
        Training::new(Model::new().embedding(8).rnn(8).output(), Task::next_token(vocabulary), batch).window(16)
    };
    let chunked = about(&words(3000, 64), "logits").unwrap();
    assert_eq!(chunked.bytes, 3000 * 256 * 4, "a chunk, over which its gradient lies");
    assert!(
        chunked.text.contains("1024 predictions of a micro-step, in chunks of 256: one tensor"),
        "{}",
        chunked.text
    );
    assert!(!chunked.text.contains("accumulate"), "a chunk would be as large: {}", chunked.text);
    let many = about(&words(3000, 1000), "logits").unwrap();
    assert!(many.text.contains("in chunks of 2048") && many.text.contains("accumulate"), "{}", many.text);
    let warning = about(&words(3000, 16), "logits").unwrap();
    let one = 3000 * 16 * 16 * 4;
    assert!(warning.bytes >= one && warning.bytes.is_multiple_of(one), "{}", warning.bytes);
    let tensors =
        if warning.bytes == one { "one tensor".to_string() } else { format!("{} tensors", warning.bytes / one) };
    for word in ["3000 wide", "256 predictions", &tensors, "`accumulate`"] {
        assert!(warning.text.contains(word), "{word}: {}", warning.text);
    }
    assert_eq!(about(&words(10, 64), "logits"), None);
    let single = about(&words(3000, 1).window(256), "logits").unwrap();
    assert!(!single.text.contains("accumulate"), "one row cannot be split: {}", single.text);
    // Half the rows at a time, half of it.
    assert_eq!(about(&words(3000, 16).accumulate(2), "logits").unwrap().bytes, warning.bytes / 2);
}

#[test]
fn a_long_window_is_told_by_its_timesteps() {
    let with =
        |window| Training::new(Model::new().embedding(8).lstm(64).output(), Task::next_token(10), 4).window(window);
    let warning = about(&with(512), "window").unwrap();
    assert!(warning.text.contains("512 timesteps") && warning.text.contains("State is carried"), "{}", warning.text);
    // What it says of a timestep is what one more takes.
    let each = |window| plan(&with(window)).plan.planned_bytes();
    let (more, said) = ((each(1024) - each(512)) / 512, warning.bytes / 512);
    assert!(said.abs_diff(more) * 20 <= more, "{said} said, {more} seen");
    assert_eq!(about(&with(8), "window"), None);
}

#[test]
fn what_halves_and_accumulating_leave_as_it_is_is_told_where_it_is_much() {
    let model = || Model::new().embedding(64).rnn(128).output();
    let small = Training::new(model(), Task::next_token(50), 4).window(4);
    let roles = |training: &Training| plan(training).plan.roles();
    let of = |training: &Training, wanted: &[Role]| -> u64 {
        roles(training).iter().filter(|(role, _)| wanted.contains(role)).map(|(_, bytes)| bytes).sum()
    };
    let halves = small.clone().storage(Storage::F16);
    let kept = of(&halves, &[Role::Parameter, Role::Gradient, Role::OptimizerState]);
    assert_eq!(about(&halves, "halves").unwrap().bytes, kept);
    assert_eq!(about(&small, "halves"), None);
    let plain =
        Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false };
    let split = Training { optimizer: plain, ..small.clone().accumulate(2) };
    assert_eq!(about(&split, "accumulated_gradients").unwrap().bytes, of(&split, &[Role::Gradient]));
    assert_eq!(about(&split.clone().accumulate(1), "accumulated_gradients"), None);
    let large = Training::new(model(), Task::next_token(50), 64).window(64).storage(Storage::F16).accumulate(2);
    assert_eq!((about(&large, "halves"), about(&large, "accumulated_gradients")), (None, None));
}

#[test]
fn a_plan_tells_whether_it_fits_its_peak_and_its_timeline_without_a_device() {
    let planned = plan(&lstm());
    let plan = &planned.plan;
    let bytes = plan.planned_bytes();
    assert!(plan.fits(None) && plan.fits(Some(bytes)) && !plan.fits(Some(bytes - 1)));
    let peak = plan.peak().unwrap();
    let timeline = plan.timeline();
    let program = plan.schedule.programs.iter().find(|p| p.name == peak.program).unwrap();
    let now = program.steps.start + peak.dispatch - 1;
    let alive = timeline.iter().filter(|r| r.role == Role::Activation && r.steps.contains(&now));
    assert_eq!(alive.map(|r| r.bytes.end - r.bytes.start).sum::<u64>(), peak.activation_bytes);
    assert!(timeline.iter().all(|r| r.bytes.end <= bytes && r.steps.end <= plan.schedule.steps.len()));
}

/// What a layer keeps is told beside all of its output, also where that is never there at once.
#[test]
fn a_layer_whose_output_is_made_in_chunks_is_told_with_all_of_it() {
    let model = Model::new().embedding(8).rnn(8).output();
    let plan = plan(&Training::new(model, Task::next_token(300), 64).window(16)).plan;
    let linear = plan.layers().into_iter().find(|layer| layer.layer == "linear").unwrap();
    let rows = 64 * 16;
    assert_eq!((linear.kept, linear.output), (rows * 8 * 4, rows * 300 * 4), "its gradient, and its logits");
}
