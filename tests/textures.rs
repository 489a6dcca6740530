//! What is read from a texture: the same numbers come out, to the bit, of memory that is planned, and
//! that a run does without where there is too little.

#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

#[path = "common/sessions.rs"]
mod sessions;

use std::collections::BTreeSet;

use plimsoll::device::Device;
use plimsoll::engine::Drawn;
use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::ops::Function;
use plimsoll::ops::matmul::kernel::{Variant, variants};
use plimsoll::plan::replay::Fault;
use plimsoll::schedule::{Access, Step};
use plimsoll::shader::texture::ROW_BYTES;
use plimsoll::target::{Rates, Target, TextureRates, Textures, Windows};
use plimsoll::training::{Batch, Optimizer, ParameterGroup, Planned, Session, StepReport, Storage, Training};
use plimsoll::{Bytes, Plan};
use sessions::{device, following, holds_what_was_planned, noise, parameters, run, sequence_model};

const VOCABULARY: u32 = 16;
const STEPS: u32 = 3;

/// The device as if a probe had found it quickest with everything in a texture.
fn quickest_with_textures(target: &Target) -> Target {
    let rates = Rates { textures: Some(TextureRates::FREE), ..Rates::assumed() };
    Target { rates: Some(rates), windows: Windows::Stepwise, ..target.clone() }
}

/// The same, where there are kernels for it: subgroups of one size on a software adapter.
fn target(device: &Device) -> Option<Target> {
    let target = quickest_with_textures(device.target());
    variants(&target, false).into_iter().any(Variant::is_textured).then_some(target)
}

fn mlp() -> Training {
    let model = Model::new().linear(36).tanh().linear(20).relu().output();
    let training = Training::new(model, Task::regression(12, 4), 10);
    Training { optimizer: Optimizer::sgd(0.1, 0.9), ..training }
}

fn language_model(cell: Cell) -> Training {
    let model = Model::new().embedding(12).recurrent(Recurrent::new(cell, 32)).output();
    let training = Training::new(model, Task::next_token(VOCABULARY), 9).window(8);
    Training { clip_norm: Some(1.0), optimizer: Optimizer::sgd(0.5, 0.0), ..training }
}

/// Numbers of rows of different lengths, to numbers each step, there and back.
fn ragged(cell: Cell) -> Training {
    let model = sequence_model(Recurrent { bidirectional: true, ..Recurrent::new(cell, 8) });
    let training = Training::new(model, Task::regression(3, 2).each_step(), 4).window(5);
    Training { lengths: true, optimizer: Optimizer::sgd(0.5, 0.0), ..training }
}

fn runs() -> Vec<(String, Training, Vec<Batch>)> {
    let rows = |step| Batch::numbers(noise(120, step), noise(40, 100 + step));
    let mut all = vec![("mlp".to_string(), mlp(), (0..STEPS).map(rows).collect::<Vec<_>>())];
    // Factors of more rows of the texture than one, the last of which they do not fill.
    let wide = Training::new(Model::new().linear(300).tanh().linear(132).output(), Task::regression(204, 4), 132);
    let wide = Training { optimizer: Optimizer::sgd(0.1, 0.9), ..wide };
    let many = |step| Batch::numbers(noise(132 * 204, step), noise(528, 100 + step));
    all.push(("wide mlp".to_string(), wide, (0..STEPS).map(many).collect()));
    // Every optimizer, of more parameters than go to a texture at once, in groups.
    let rmsprop = |centered, momentum| Optimizer::RmsProp {
        learning_rate: 1e-3,
        alpha: 0.9,
        eps: 1e-8,
        weight_decay: 0.1,
        momentum,
        centered,
    };
    for (name, optimizer) in [
        ("adamw", Optimizer::adamw(1e-3)),
        ("adam", Optimizer::adam(1e-3)),
        ("rmsprop", rmsprop(false, 0.0)),
        ("rmsprop with momentum", rmsprop(false, 0.9)),
        ("centered rmsprop", rmsprop(true, 0.0)),
        ("adagrad", Optimizer::adagrad(1e-3)),
        ("sgd", Optimizer::sgd(0.1, 0.0)),
    ] {
        let model = Model::new().linear(404).tanh().output();
        let first = ParameterGroup::without_decay(&["linear.*"]);
        let training = Training::new(model, Task::regression(400, 5), 4);
        let training = Training { optimizer, clip_norm: Some(0.5), groups: vec![first], ..training };
        let rows = |step| Batch::numbers(noise(1600, step), noise(20, 100 + step));
        all.push((name.to_string(), training, (0..STEPS).map(rows).collect()));
    }
    // Gradients that are added to in several micro-steps, of more rows than one.
    let several = Training {
        accumulate: 3,
        ..Training::new(Model::new().linear(300).tanh().linear(132).output(), Task::regression(204, 4), 12)
    };
    let several = Training { optimizer: Optimizer::sgd(0.1, 0.9), ..several };
    let few = |step| Batch::numbers(noise(12 * 204, step), noise(48, 100 + step));
    all.push(("micro-steps".to_string(), several, (0..STEPS).map(few).collect()));
    for (name, cell) in [("rnn", Cell::Rnn(Function::Tanh)), ("gru", Cell::Gru), ("lstm", Cell::Lstm)] {
        let training = language_model(cell);
        let batches = following(&training, VOCABULARY, STEPS);
        all.push((name.to_string(), training, batches));
        let rows = |step| Batch::numbers(noise(60, step), noise(40, 100 + step)).with_lengths(vec![5, 2, 0, 1]);
        all.push((format!("{name} with lengths"), ragged(cell), (0..STEPS).map(rows).collect()));
        // A weight and gates of several rows.
        let wide = Model::new().embedding(12).recurrent(Recurrent::new(cell, 128)).output();
        let wide = Training::new(wide, Task::next_token(VOCABULARY), 32).window(4);
        let wide = Training { optimizer: Optimizer::sgd(0.5, 0.0), ..wide };
        let batches = following(&wide, VOCABULARY, STEPS);
        all.push((format!("wide {name}"), wide, batches));
    }
    all
}

/// Dispatches that read from the texture.
fn textured(plan: &Plan) -> usize {
    let reads = plan.schedule.steps.iter().filter(|step| step.accesses.iter().any(|a| a.texture_row.is_some()));
    reads.count()
}

/// What came of a training, to the bit.
fn trained(planned: Planned, device: &Device, batches: &[Batch]) -> (Vec<StepReport>, Vec<(String, Vec<u32>)>) {
    let mut session = Session::start(planned, device).unwrap();
    let reports = run(&mut session, batches);
    holds_what_was_planned(&session);
    let bits = |(name, x): (String, Vec<f32>)| (name, x.iter().map(|x| x.to_bits()).collect());
    (reports, parameters(&mut session).into_iter().map(bits).collect())
}

#[test]
fn the_same_bits_come_out_with_factors_in_a_texture_and_without() {
    let device = device();
    let Some(target) = target(&device) else { return };
    let (mut shaders, mut beside) = (BTreeSet::new(), BTreeSet::new());
    for (name, training, batches) in runs() {
        for storage in [Storage::F32, Storage::F16] {
            let training = training.clone().storage(storage);
            // Where tiles of any size take next to no time, none is worth having gates apart.
            let tiles = if name.starts_with("wide") { Some(0.5) } else { TextureRates::FREE.tiles };
            let textures = TextureRates { tiles, ..TextureRates::FREE };
            let rates = target.rates.map(|rates| Rates { textures: Some(textures), ..rates });
            let plan = |textures| training.plan(&Target { textures, rates, ..target.clone() }).unwrap();
            let (with, without) = (plan(Textures::Quicker), plan(Textures::Never));
            assert!(textured(&with.plan) >= 6, "{name}, {storage:?}: {}", textured(&with.plan));
            assert_eq!((textured(&without.plan), without.plan.texture.rows), (0, 0), "{name}, {storage:?}");
            let more = with.plan.planned_bytes() - without.plan.planned_bytes();
            assert_eq!(more, with.plan.texture.rows * ROW_BYTES, "{name}, {storage:?}");
            for step in &with.plan.schedule.steps {
                let is_textured = step.accesses.iter().any(|access| access.texture_row.is_some());
                let shader = &step.dispatch.shader;
                shaders.extend(is_textured.then_some(shader.name));
                // What is changed is read there, be it the gates of cells or what products are added to.
                let changes = |was: &Access| {
                    let is_of_it = |now: &Access| (now.reads, &now.bytes) == (was.reads, &was.bytes);
                    was.texture_row.is_some() && step.accesses.iter().any(|now| now.writes.is_some() && is_of_it(now))
                };
                let is_read = step.accesses.iter().any(changes);
                beside.extend(is_read.then_some((storage == Storage::F32, shader.name)));
            }
            let (with, without) = (trained(with, &device, &batches), trained(without, &device, &batches));
            assert_eq!(with.0, without.0, "{name}, {storage:?}");
            assert!(with.1 == without.1, "{name}, {storage:?}: parameters differ");
        }
    }
    let streams =
        ["activation_gradient", "adagrad", "adam", "column_sum", "rmsprop", "sgd", "sgd_momentum", "sum_of_squares"];
    assert!(streams.iter().all(|name| shaders.contains(name)), "{shaders:?}");
    let of_cells = ["gru_gradient_subgroup", "gru_subgroup", "lstm_gradient_subgroup", "lstm_subgroup"];
    assert!(
        of_cells.iter().all(|name| beside.contains(&(true, name)) && !beside.contains(&(false, name))),
        "{beside:?}"
    );
    assert!(beside.contains(&(true, "matmul_subgroup_tn")), "{beside:?}");
}

#[test]
fn a_window_in_one_dispatch_reads_its_weight_from_the_texture() {
    let device = device();
    let Some(target) = target(&device) else { return };
    let mut read = BTreeSet::new();
    for cell in [Cell::Rnn(Function::Tanh), Cell::Gru, Cell::Lstm] {
        // So long that each piece on the way back is several timesteps, and of more rows and units than a tile has.
        let long = language_model(cell).window(32);
        let wide = Model::new().embedding(12).recurrent(Recurrent::new(cell, 132)).output();
        let wide = Training::new(wide, Task::next_token(VOCABULARY), 67).window(16);
        let wide = Training { optimizer: Optimizer::sgd(0.5, 0.0), ..wide };
        let rows = |step| Batch::numbers(noise(60, step), noise(40, 100 + step)).with_lengths(vec![5, 2, 0, 1]);
        let batches = |training| following(training, VOCABULARY, STEPS);
        for (training, batches, tiles) in [
            (&long, batches(&long), TextureRates::FREE.tiles),
            (&wide, batches(&wide), Some(0.5)),
            (&ragged(cell), (0..STEPS).map(rows).collect(), TextureRates::FREE.tiles),
        ] {
            for storage in [Storage::F32, Storage::F16] {
                let training = training.clone().storage(storage);
                let textures = Some(TextureRates { tiles, ..TextureRates::FREE });
                let rates = target.rates.map(|rates| Rates { textures, ..rates });
                let target = Target { rates, windows: Windows::Whole, ..target.clone() };
                let plan = |textures| training.plan(&Target { textures, ..target.clone() }).unwrap();
                let (with, without) = (plan(Textures::Quicker), plan(Textures::Never));
                let windows = |planned: &Planned| {
                    let steps = planned.plan.schedule.steps.iter();
                    let steps = steps.filter(|step| step.dispatch.shader.name.contains("_window_"));
                    let rows = |step: &Step| step.accesses.iter().map(|access| access.texture_row).collect::<Vec<_>>();
                    steps.map(|step| (step.dispatch.shader.clone(), rows(step))).collect::<Vec<_>>()
                };
                for (shader, rows) in windows(&with) {
                    let others = rows.iter().enumerate().filter(|(at, _)| *at != 1);
                    assert!(rows[1] == Some(0) && others.clone().all(|(_, row)| row.is_none()), "{}", shader.label());
                    let label = shader.label();
                    let height = label.split("TM=").nth(1).and_then(|rest| rest.split(',').next());
                    read.insert((shader.name, height.unwrap().to_owned()));
                }
                assert_eq!(windows(&without).len(), windows(&with).len());
                assert_eq!((textured(&without.plan), without.plan.texture.rows), (0, 0));
                with.plan.replay().unwrap();
                let (with, without) = (trained(with, &device, &batches), trained(without, &device, &batches));
                assert_eq!(with.0, without.0, "{cell:?}, {storage:?}");
                assert!(with.1 == without.1, "{cell:?}, {storage:?}: parameters differ");
            }
        }
    }
    let names: BTreeSet<&str> = read.iter().map(|(name, _)| *name).collect();
    let cells = ["elman", "elman_gradient", "gru", "gru_gradient", "lstm", "lstm_gradient"];
    assert!(cells.iter().all(|cell| names.contains(&format!("{cell}_window_subgroup")[..])), "{names:?}");
    let heights: BTreeSet<String> = read.into_iter().map(|(_, height)| height).collect();
    assert!(heights.len() > 1, "{heights:?}");
}

#[test]
fn what_is_seen_dispatch_by_dispatch_and_timed_is_what_runs() {
    let device = device();
    let Some(target) = target(&device) else { return };
    let (_, training, batches) = runs().into_iter().find(|(name, ..)| name == "lstm").unwrap();
    let mut whole = Session::start(training.plan(&target).unwrap(), &device).unwrap();
    let mut timed = Session::start(training.plan(&target).unwrap(), &device).unwrap();
    let wanted = run(&mut whole, &batches);
    let profiled: Vec<_> = batches.iter().map(|batch| timed.profile(batch).unwrap()).collect();
    assert_eq!(parameters(&mut timed), parameters(&mut whole));
    assert_eq!(wanted.len(), profiled.len());
}

#[test]
fn the_driver_reserves_for_a_texture_what_is_told_to_the_byte() {
    let device = Device::open().unwrap();
    let Some(target) = target(&device) else { return };
    // Of one row, and of so many that they take a block of their own.
    let wide = Training { optimizer: Optimizer::sgd(0.1, 0.0), ..mlp() };
    let large = Training::new(Model::new().linear(1024).output(), Task::regression(1024, 1024), 512);
    for training in [wide, large] {
        let session = Session::start(training.plan(&target).unwrap(), &device).unwrap();
        assert!(session.held().is_none_or(|held| held.bytes == session.plan().planned_bytes()));
        // Not every driver places buffers by a rule that is known.
        let Some(told) = session.plan().reserved() else { return };
        let expected = Drawn { allocated_bytes: told.allocated_bytes, reserved_bytes: told.reserved_bytes };
        assert_eq!(session.reserved(), Some(expected), "{told:?}");
    }
}

#[test]
fn a_plan_does_without_a_texture_where_it_does_not_fit() {
    let Some(target) = target(&device()) else { return };
    let (_, training, _) = runs().remove(2);
    let bare = training.plan(&Target { textures: Textures::Never, ..target.clone() }).unwrap();
    let within = |bytes: u64| Training { memory: Some(Bytes(bytes)), ..training.clone() }.plan(&target).unwrap();
    let whole = training.plan(&target).unwrap().plan.planned_bytes();
    let least = whole - bare.plan.staging.bytes();
    for (bytes, has_one) in [(whole, true), (least - 1, false), (bare.plan.planned_bytes(), false)] {
        let planned = within(bytes);
        assert_eq!((planned.fits(), planned.plan.texture.arena.is_some()), (true, has_one), "{bytes} B");
    }
    assert!(!within(1000).fits());
    // The plan tells of it, where it is a good part.
    let told = |planned: &Planned| planned.warnings().into_iter().find(|warning| warning.about == "texture");
    let told_of = told(&within(whole)).expect("a tenth of the plan at least");
    assert!(told_of.bytes == whole - bare.plan.planned_bytes() && told_of.text.contains("`memory`"), "{told_of:?}");
    assert_eq!(told(&bare), None);
}

/// Of a budget the fastest of all ways is made, each with a texture and without: more of it never gives a slower one.
#[test]
fn more_memory_gives_no_slower_plan_whether_with_a_texture_or_without() {
    let lavapipe = Target::profile("lavapipe").unwrap();
    for (share, seconds) in [(0.5, 2e-5), (0.9, 0.0)] {
        let textures = Some(TextureRates { tiles: Some(share), streams: Some(share), seconds, bytes_per_second: 5e9 });
        let rates = Rates { unit_seconds: 7.6e-10, textures, ..Rates::assumed() };
        let target = Target { rates: Some(rates), ..lavapipe.clone() };
        let model = Model::new().embedding(32).recurrent(Recurrent::new(Cell::Lstm, 64)).output();
        let training = Training::new(model, Task::next_token(32), 8).window(24);
        let whole = training.plan(&target).unwrap().plan.planned_bytes();
        let mut kinds = BTreeSet::new();
        let mut least = f64::INFINITY;
        for bytes in (4..=20).map(|part| whole * part / 20) {
            let planned = Training { memory: Some(Bytes(bytes)), ..training.clone() }.bargain(&target).unwrap();
            if !planned.fits() {
                assert_eq!(least, f64::INFINITY, "{share}: {bytes} B, less did");
                continue;
            }
            let (taken, seconds) = (planned.plan.planned_bytes(), planned.seconds(&rates));
            assert!(taken <= bytes && seconds <= least * 1.000_001, "{share}: {bytes} B, {seconds} s after {least} s");
            least = seconds;
            kinds.insert((planned.bargain.is_some(), planned.plan.texture.arena.is_some()));
        }
        assert!(kinds.contains(&(false, true)) && kinds.len() >= 3, "{share}: {kinds:?}");
    }
}

/// Sizes just past a piece of parameters too, of which the last is then next to nothing.
#[test]
fn no_plan_takes_longer_with_a_texture_than_without() {
    let lavapipe = Target::profile("lavapipe").unwrap();
    let mut seen = 0;
    for (workgroups, share, seconds) in [2.0, 16.0, 64.0].iter().flat_map(|workgroups| {
        [(0.3, 2e-5), (0.8, 0.0), (0.9, 2e-4)].map(|(share, seconds)| (*workgroups, share, seconds))
    }) {
        let streams = TextureRates { tiles: None, streams: Some(share), seconds, bytes_per_second: 25e9 };
        let rates =
            Rates { textures: Some(streams), bytes_per_second: 8e8 * workgroups, workgroups, ..Rates::assumed() };
        let target = Target { rates: Some(rates), ..lavapipe.clone() };
        for hidden in [16, 128, 256, 361, 363, 364, 370, 512, 1024] {
            let training = Training::new(Model::new().linear(hidden).tanh().output(), Task::regression(360, 3), 4);
            let plan = |textures| training.plan(&Target { textures, ..target.clone() }).unwrap();
            let (with, without) = (plan(Textures::Quicker), plan(Textures::Never));
            let (longer, least) = (with.seconds(&rates), without.seconds(&rates));
            assert!(longer <= least * 1.000_001, "{workgroups}, {share}, {hidden}: {longer} s, {least} s without");
            seen += usize::from(textured(&with.plan) > 0);
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn what_memory_buys_in_time_is_told_with_a_texture_and_without() {
    let Some(target) = target(&device()) else { return };
    let (_, training, _) = runs().remove(2);
    let offers = training.offers(&target, &target.rates.unwrap()).unwrap();
    let own: Vec<_> = offers.iter().filter(|offer| offer.way == training.way()).collect();
    let [with, without] = own[..] else { panic!("{own:?}") };
    assert_eq!([with.texture, without.texture], [true, false], "the faster first");
    let planned = training.plan(&target).unwrap().plan;
    assert_eq!(with.bytes - without.bytes, planned.texture.bytes());
    // Without a probe there is none.
    let offers = training.offers(&target, &Rates::assumed()).unwrap();
    assert!(offers.iter().all(|offer| !offer.texture));
}

#[test]
fn a_device_that_refuses_the_texture_trains_without_it() {
    let device = device();
    let Some(target) = target(&device) else { return };
    let (_, training, batches) = runs().remove(2);
    let planned = training.plan(&target).unwrap();
    let bytes = planned.plan.texture.bytes();
    let mut refused = 0;
    device.refuse_memory(move |asked| {
        refused += u32::from(asked == bytes);
        asked == bytes && refused == 1
    });
    let mut news = Vec::new();
    let session = Session::start_in_what_there_is(planned, &device, &mut |told| news.push(told.to_owned()));
    device.refuse_memory(|_| false);
    let mut session = session.unwrap();
    assert!(news.len() == 1 && news[0].contains("for the texture"), "{news:?}");
    assert_eq!(session.plan().texture.arena, None);
    let wanted = trained(training.plan(&target).unwrap(), &device, &batches).0;
    assert_eq!(run(&mut session, &batches), wanted);
}

#[test]
fn a_texture_that_is_refused_changes_no_way_however_small_it_is() {
    let device = device();
    let Some(mut target) = target(&device) else { return };
    // An optimizer wants more of it.
    let rates = target.rates.as_mut().unwrap();
    rates.textures = Some(TextureRates { streams: None, ..TextureRates::FREE });
    let model = (0..40).fold(Model::new(), |model, _| model.linear(64).tanh()).output();
    let planned = Training::new(model, Task::regression(12, 4), 1024).plan(&target).unwrap();
    let (bytes, way) = (planned.plan.texture.bytes(), planned.training.way());
    assert!(bytes * 16 < planned.plan.planned_bytes(), "{bytes}");
    device.refuse_memory(move |asked| asked == bytes);
    let session = Session::start_in_what_there_is(planned, &device, &mut |_| ());
    device.refuse_memory(|_| false);
    assert_eq!(session.unwrap().planned().training.way(), way);
}

#[test]
fn a_copy_that_is_not_where_it_is_read_is_found_before_anything_runs() {
    let Some(target) = target(&device()) else { return };
    let (_, training, _) = runs().remove(2);
    let plan = training.plan(&target).unwrap().plan;
    plan.replay().unwrap();
    let at = plan.schedule.steps.iter().position(|step| step.accesses[0].texture_row.is_some()).unwrap();
    let broken = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.replay()
    };
    let row = |plan: &mut Plan, factor: usize, row| plan.schedule.steps[at].accesses[factor].texture_row = Some(row);
    let faults = [
        broken(&|plan| row(plan, 0, 0)),
        broken(&|plan| row(plan, 1, 1 << 20)),
        broken(&|plan| plan.texture.rows = 1),
        broken(&|plan| plan.schedule.steps[at].accesses[0].slack = 4),
        broken(&|plan| plan.schedule.steps[at].accesses[0].writes = plan.schedule.steps[at].accesses[0].reads),
    ];
    for (i, fault) in faults.iter().enumerate() {
        assert!(matches!(fault, Err(Fault::Copies { step, .. }) if *step == at), "{i}: {fault:?}");
    }
}

#[test]
fn a_weight_is_copied_once_for_all_timesteps_and_what_would_not_be_there_is_found() {
    let Some(target) = target(&device()) else { return };
    for cell in [Cell::Rnn(Function::Tanh), Cell::Gru, Cell::Lstm] {
        let plan = language_model(cell).window(32).plan(&target).unwrap().plan;
        plan.replay().unwrap();
        let steps = plan.schedule.programs.iter().find(|program| program.name == "first").unwrap().steps.clone();
        let kept = |at: &usize| plan.schedule.steps[*at].accesses.iter().any(|access| access.texture_kept);
        // Of 32 timesteps all but the first have it there, and as many products back. Other cells go back in 8 pieces, with a
        // product in front of each; of the last timestep there is none.
        let wanted = 31 + if cell == Cell::Rnn(Function::Tanh) { 31 } else { 8 * 3 - 1 };
        assert_eq!(steps.clone().filter(kept).count(), wanted, "{cell:?}");
        let at = steps.clone().find(kept).unwrap();
        let accesses = &plan.schedule.steps[at].accesses;
        let factor = accesses.iter().position(|access| access.texture_kept).unwrap();
        let weight = accesses[factor].reads;
        let faults = |change: &dyn Fn(&mut [Step]), of: usize| {
            let mut plan = plan.clone();
            change(&mut plan.schedule.steps);
            let fault = plan.replay();
            assert!(matches!(fault, Err(Fault::Copies { step, .. }) if step == of), "{cell:?}: {fault:?}");
        };
        faults(&|steps| steps[at].accesses[factor].texture_row = Some(1), at);
        faults(&|steps| steps[at].accesses[factor].bytes.end -= 16, at);
        faults(&|steps| steps[at].accesses[factor].reads = steps[at].accesses[1 - factor].reads, at);
        // Both factors in the same rows; the timestep before writes the weight, or has not had it copied itself.
        let other = 1 - factor;
        faults(&|steps| steps[at].accesses[other].texture_row = steps[at].accesses[factor].texture_row, at);
        faults(&|steps| steps[at - 1].accesses.iter_mut().for_each(|a| a.writes = a.writes.and(weight)), at);
        faults(&|steps| steps[at - 1].accesses[factor].texture_kept = true, at - 1);
        // One that reads the weight from its buffer has something else copied where the next one looks for it.
        let over = |steps: &mut [Step]| {
            let accesses = &mut steps[at].accesses;
            accesses[other].texture_row = accesses[factor].texture_row.take();
        };
        faults(&over, at + 1);
        // What a program before has had copied is not relied on.
        let mut split = plan.clone();
        let program = split.schedule.programs.iter().position(|program| program.name == "first").unwrap();
        let mut second = split.schedule.programs[program].clone();
        split.schedule.programs[program].steps.end = at;
        second.steps.start = at;
        split.schedule.programs.insert(program + 1, second);
        let fault = split.replay();
        assert!(matches!(fault, Err(Fault::Copies { step, .. }) if step == at), "{cell:?}: {fault:?}");
    }
}

#[test]
fn what_is_written_may_be_read_beside_only_where_it_was_copied_before() {
    let Some(target) = target(&device()) else { return };
    let mut plan = mlp().plan(&target).unwrap().plan;
    plan.replay().unwrap();
    let of = |plan: &Plan| plan.schedule.steps.iter().position(|step| step.dispatch.shader.name == "sgd_momentum");
    let at = of(&plan).unwrap();
    let [w, was, ..] = &mut plan.schedule.steps[at].accesses[..] else { panic!("no parameter and what it was") };
    assert_eq!((w.reads, &w.bytes, was.writes), (was.reads, &was.bytes, None));
    was.texture_row = None;
    let fault = plan.replay();
    assert!(matches!(fault, Err(Fault::Alias { step, .. }) if step == at), "{fault:?}");
}

#[test]
fn factors_that_are_larger_than_a_texture_are_read_from_buffers() {
    let most = |texels, training: &Training| {
        let mut target = quickest_with_textures(&Target::profile("lavapipe").unwrap());
        target.limits.max_texture_dimension_2d = texels;
        let planned = training.plan(&target).unwrap();
        assert!(planned.plan.violations(None).iter().all(|of| of.limit != "max_texture_dimension_2d"), "{texels}");
        (textured(&planned.plan), planned.plan.texture.rows)
    };
    // A row has 4096 texels.
    assert_eq!(most(4095, &mlp()), (0, 0));
    assert!(most(4096, &mlp()).0 > 0);
    // 4096 rows have 256 MiB.
    let of = |rows| Training::new(Model::new().linear(64).output(), Task::regression(64, 64), rows);
    assert!(most(4096, &of(1 << 19)).0 > most(4096, &of(1 << 21)).0);
    let gated = |cell| {
        let model = Model::new().recurrent(Recurrent::new(cell, 4096)).output();
        Training::new(model, Task::regression(4, 4).each_step(), 4).window(2)
    };
    for cell in [Cell::Lstm, Cell::Gru] {
        assert!(most(4096, &gated(cell)).1 <= 4096, "{cell:?}");
        assert!(most(8192, &gated(cell)).1 <= 8192, "{cell:?}");
    }
}
