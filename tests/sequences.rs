//! What training promises of every recurrent layer: the same update however a batch is split, rows
//! that end where they end, plans that keep no more than they must.

#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::graph::Role;
use plimsoll::nn::{Cell, Model, Recurrent, TARGETS};
use plimsoll::ops::Op;
use plimsoll::plan::Plan;
use plimsoll::text::IGNORE;
use plimsoll::training::{Batch, Data, Optimizer, Session, Task, Training};
use sessions::{
    CELLS, bits, close, device, gradients, mistake, noise, on_host, parameter_bits, parameters, planned, run,
    sequence_model, with_model,
};

const TIME: u32 = 5;

/// Numbers (T, B, 3) to numbers (T, B, 2), with dropout between two layers and behind them.
fn dropping(cell: Cell, p: f32) -> Training {
    let spec = Recurrent { dropout: p, ..Recurrent::new(cell, 6).layers(2) };
    let model = Model::new().recurrent(spec).dropout(p / 2.0).output();
    Training {
        optimizer: Optimizer::sgd(0.5, 0.0),
        clip_norm: Some(1.0),
        carry_state: true,
        seed: 3,
        ..Training::new(model, Task::regression(3, 2).each_step(), 4).window(TIME)
    }
}

fn windows(count: u32) -> Vec<Batch> {
    let one = |i: u32| {
        let mut targets = noise(40, 100 + i);
        // So unevenly that means of groups are no mean of the whole.
        targets.iter_mut().step_by(4).take(i as usize * 3).for_each(|t| *t = f32::NAN);
        Batch::numbers(noise(60, i), targets)
    };
    (0..count).map(one).collect()
}

#[test]
fn every_cell_gives_the_same_update_in_1_2_or_4_micro_steps_with_dropout() {
    let batches = windows(3);
    for (name, cell) in CELLS {
        let mut whole = on_host(&dropping(cell, 0.4));
        let reports = run(&mut whole, &batches);
        let (numbers, state) = (parameters(&mut whole), whole.state().unwrap());
        assert_eq!(state.len(), 2, "{name}: one state a layer");
        for accumulate in [2, 4] {
            let mut split = on_host(&dropping(cell, 0.4).accumulate(accumulate));
            for (a, b) in reports.iter().zip(run(&mut split, &batches)) {
                assert_eq!((a.step, a.tokens), (b.step, b.tokens));
                close(name, &[b.loss, b.grad_norm], &[a.loss, a.grad_norm], 1e-5);
            }
            for (parameter, split) in parameters(&mut split) {
                close(&parameter, &split, &numbers[&parameter], 1e-5);
            }
            for ((layer, whole), (same, split)) in state.iter().zip(split.state().unwrap()) {
                assert_eq!(*layer, same);
                close(layer, &split, whole, 1e-5);
            }
        }
        let mut again = on_host(&dropping(cell, 0.4));
        assert_eq!(run(&mut again, &batches), reports);
        assert_eq!(parameter_bits(&mut again), parameter_bits(&mut whole));
    }
}

#[test]
fn dropout_acts_in_training_and_not_in_evaluation_or_prediction() {
    let batches = windows(2);
    for (name, cell) in CELLS {
        let with = Training { predict: true, ..dropping(cell, 0.4) };
        let without = Training { predict: true, ..dropping(cell, 0.0) };
        let (mut with, mut without) = (on_host(&with), on_host(&without));
        assert_eq!(with.evaluate(batches.clone()).unwrap(), without.evaluate(batches.clone()).unwrap(), "{name}");
        assert_eq!(with.predict(&batches[0]).unwrap(), without.predict(&batches[0]).unwrap(), "{name}");
        assert_ne!(run(&mut with, &batches)[0].loss, run(&mut without, &batches)[0].loss, "{name}");
    }
}

#[test]
fn on_the_device_dropout_is_the_same_in_micro_steps_and_the_same_bits_twice() {
    let device = &device();
    let batches = windows(3);
    let train = |accumulate: u32| {
        let mut session = Session::new(&dropping(Cell::Lstm, 0.4).accumulate(accumulate), device).unwrap();
        let reports = run(&mut session, &batches);
        (reports, parameters(&mut session), session.state().unwrap())
    };
    let whole = train(1);
    assert_eq!(train(1), whole);
    let split = train(2);
    for (a, b) in whole.0.iter().zip(&split.0) {
        close("loss and norm", &[b.loss, b.grad_norm], &[a.loss, a.grad_norm], 1e-5);
    }
    for (name, numbers) in &split.1 {
        close(name, numbers, &whole.1[name], 1e-5);
    }
    for ((name, a), (_, b)) in split.2.iter().zip(&whole.2) {
        close(name, a, b, 1e-5);
    }
    let mut host = on_host(&dropping(Cell::Lstm, 0.4));
    for (a, b) in whole.0.iter().zip(run(&mut host, &batches)) {
        close("loss and norm", &[a.loss, a.grad_norm], &[b.loss, b.grad_norm], 1e-4);
    }
}

const LENGTHS: [u32; 4] = [5, 2, 3, 1];

/// Numbers (T, B, 3), of rows of different lengths, to numbers each step.
fn ragged(model: Model) -> Training {
    let task = Task::regression(3, 2).each_step();
    let training = Training::new(model, task, 4).window(TIME);
    Training { lengths: true, predict: true, seed: 5, optimizer: Optimizer::sgd(0.5, 0.0), ..training }
}

fn ragged_of(cell: Cell, bidirectional: bool) -> Training {
    ragged(sequence_model(Recurrent { bidirectional, ..Recurrent::new(cell, 4).layers(2) }))
}

/// `inputs` (T, B, 3) with other numbers past the end of each row.
fn past_the_ends(numbers: &[f32], with: impl Fn(usize) -> f32) -> Vec<f32> {
    let width = numbers.len() / (TIME as usize * 4);
    let past = |i: usize| i / width / 4 >= LENGTHS[i / width % 4] as usize;
    numbers.iter().enumerate().map(|(i, &x)| if past(i) { with(i) } else { x }).collect()
}

#[test]
fn what_stands_past_the_end_of_a_row_changes_not_one_bit() {
    let (inputs, targets) = (noise(60, 1), noise(40, 2));
    let batch = |with: fn(usize) -> f32| {
        Batch::numbers(past_the_ends(&inputs, with), past_the_ends(&targets, with)).with_lengths(LENGTHS.to_vec())
    };
    let garbage: [fn(usize) -> f32; 3] = [|i| 1e30 * (i as f32 + 1.0), |_| f32::NAN, |_| f32::NEG_INFINITY];
    for (name, cell) in CELLS {
        for bidirectional in [false, true] {
            let training = ragged_of(cell, bidirectional);
            let results = |batch: Batch| {
                let mut session = on_host(&training);
                let reports = run(&mut session, &[batch.clone(), batch.clone()]);
                assert_eq!(reports[0].tokens, 2 * 11);
                let evaluated = session.evaluate([batch.clone()]).unwrap();
                let predicted = past_the_ends(&session.predict(&batch).unwrap(), |_| 0.0);
                assert!(reports[1].loss.is_finite() && evaluated.total.is_finite(), "{name}");
                let reports: Vec<_> = reports.iter().flat_map(|r| bits(&[r.loss, r.grad_norm])).collect();
                (reports, parameter_bits(&mut session), evaluated.total.to_bits(), bits(&predicted))
            };
            let clean = results(batch(|_| 0.0));
            for with in garbage {
                assert_eq!(results(batch(with)), clean, "{name}, bidirectional {bidirectional}");
            }
        }
    }
}

#[test]
fn ids_past_the_end_of_a_row_may_be_anything() {
    let model = Model::new().embedding(3).recurrent(Recurrent::new(Cell::Gru, 4)).output();
    let training = Training::new(model, Task::next_token(7), 2).window(3);
    let training = Training { lengths: true, carry_state: false, sample: false, ..training };
    let results = |past: [u32; 2]| {
        let inputs = vec![1, 2, 3, past[0], 4, past[0]];
        let targets = vec![2, 3, 1, past[1], 5, past[1]];
        let mut session = on_host(&training);
        let reports = run(&mut session, &[Batch::tokens(inputs, targets).with_lengths(vec![3, 1])]);
        assert_eq!(reports[0].tokens, 4);
        (reports[0].loss.to_bits(), parameter_bits(&mut session))
    };
    let clean = results([0, IGNORE]);
    assert_eq!(results([6, 6]), clean);
    assert_eq!(results([7, 1000]), clean, "no id of the vocabulary");
    let mut session = on_host(&training);
    let wrong = Batch::tokens(vec![1, 2, 3, 4, 9, 0], vec![0; 6]).with_lengths(vec![3, 1]);
    let error = session.step(&wrong).unwrap_err().to_string();
    assert!(error.contains("inputs: id 9 at position 4 is not below 7"), "{error}");
}

/// Row `row` of numbers (T, B, ..), its own timesteps only.
fn row_of(numbers: &[f32], row: usize) -> Vec<f32> {
    let width = numbers.len() / (TIME as usize * 4);
    let of = |t: u32| &numbers[(t as usize * 4 + row) * width..][..width];
    (0..LENGTHS[row]).flat_map(|t| of(t).iter().copied()).collect()
}

/// Holds the gradient of a padded batch against those of its rows, each alone in a window of its
/// own length: their mean, row `b` weighing `weights[b]`.
fn rows_alone_agree(training: &Training, batch: &Batch, alone: impl Fn(usize) -> Batch, weights: [f32; 4]) {
    let padded = gradients(training, batch);
    let mut sum: Vec<_> = padded.iter().map(|(name, g)| (name.clone(), vec![0.0; g.len()])).collect();
    for row in 0..4 {
        let single = Training { batch: 1, window: LENGTHS[row], lengths: false, ..training.clone() };
        for ((_, sum), (_, gradient)) in sum.iter_mut().zip(gradients(&single, &alone(row))) {
            sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g * weights[row] / weights.iter().sum::<f32>());
        }
    }
    for (name, wanted) in sum {
        close(&name, &padded[&name], &wanted, 1e-6);
    }
}

#[test]
fn a_row_learns_alone_what_it_learns_padded_in_a_batch() {
    let (inputs, targets) = (noise(60, 1), noise(40, 2));
    let batch = Batch::numbers(inputs.clone(), targets.clone()).with_lengths(LENGTHS.to_vec());
    for (_, cell) in CELLS {
        for bidirectional in [false, true] {
            let alone = |row| Batch::numbers(row_of(&inputs, row), row_of(&targets, row));
            rows_alone_agree(&ragged_of(cell, bidirectional), &batch, alone, [5.0, 2.0, 3.0, 1.0]);
        }
    }
}

#[test]
fn the_last_timestep_is_that_of_each_row() {
    let inputs = noise(60, 1);
    let classes = [0, 2, 1, 1];
    let batch = Batch::classes(inputs.clone(), classes.to_vec()).with_lengths(LENGTHS.to_vec());
    let alone = |row: usize| Batch::classes(row_of(&inputs, row), vec![classes[row]]);
    let mut models: Vec<Model> = [false, true]
        .into_iter()
        .flat_map(|both| CELLS.map(|(_, cell)| Recurrent { bidirectional: both, ..Recurrent::new(cell, 4) }))
        .map(|spec| Model::new().recurrent(spec).last().output())
        .collect();
    // Where the last layer before is not recurrent.
    models.push(
        Model::new()
            .linear(4)
            .rnn(4)
            .with("add", plimsoll::nn::LayerKind::Add)
            .reading(&["linear", "rnn"])
            .last()
            .output(),
    );
    for model in models {
        let training = Training::new(model, Task::classification(3, 3).whole_sequence(), 4).window(TIME);
        rows_alone_agree(&Training { lengths: true, ..training }, &batch, alone, [1.0; 4]);
    }
}

#[test]
fn rows_as_long_as_the_window_are_rows_without_lengths() {
    let plain = Batch::numbers(noise(60, 1), noise(40, 2));
    let full = plain.clone().with_lengths(vec![TIME; 4]);
    for (name, cell) in CELLS {
        let results = |lengths: bool, batch: &Batch| {
            let mut session = on_host(&Training { lengths, ..ragged_of(cell, true) });
            let reports = run(&mut session, &[batch.clone(), batch.clone()]);
            (reports, parameter_bits(&mut session), bits(&session.predict(batch).unwrap()))
        };
        assert_eq!(results(true, &full), results(false, &plain), "{name}");
    }
}

#[test]
fn on_the_device_padding_changes_not_one_bit_either() {
    let device = &device();
    let batch = |x: f32| {
        let [inputs, targets] = [noise(60, 1), noise(40, 2)].map(|n| past_the_ends(&n, |_| x));
        Batch::numbers(inputs, targets).with_lengths(LENGTHS.to_vec())
    };
    for training in [ragged_of(Cell::Gru, true), ragged_of(Cell::Gru, true).accumulate(2)] {
        let results = |batch: &Batch| {
            let mut session = Session::new(&training, device).unwrap();
            (run(&mut session, std::slice::from_ref(batch)), parameters(&mut session))
        };
        let clean = results(&batch(0.0));
        assert_eq!(results(&batch(f32::NAN)), clean);
        let mut host = on_host(&training);
        let on_host = run(&mut host, &[batch(0.0)]);
        close(
            "loss and norm",
            &[clean.0[0].loss, clean.0[0].grad_norm],
            &[on_host[0].loss, on_host[0].grad_norm],
            1e-5,
        );
        for (name, numbers) in parameters(&mut host) {
            close(&name, &clean.1[&name], &numbers, 1e-5);
        }
    }
}

#[test]
fn what_state_cannot_be_carried_through_is_refused_with_the_reason() {
    let both = ragged_of(Cell::Lstm, true);
    let error = mistake(&Training { carry_state: true, lengths: false, ..both.clone() });
    for needed in ["layer `lstm`", "bidirectional", "begins at the end of a sequence", "carry_state = false"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
    let error = mistake(&Training { carry_state: true, ..ragged_of(Cell::Lstm, false) });
    for needed in ["lengths", "state is carried", "a row that has ended", "leave out `carry_state`"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_named() {
    let good = Batch::numbers(noise(60, 1), noise(40, 2));
    let mut session = on_host(&ragged_of(Cell::Gru, false));
    let cases = [
        (good.clone(), "the batch has none"),
        (good.clone().with_lengths(vec![1, 2]), "2 lengths, and the plan is for 4"),
        (good.clone().with_lengths(vec![1, 2, 3, 6]), "a row is 6 long, and the window 5"),
    ];
    for (batch, needed) in cases {
        let error = session.step(&batch).unwrap_err().to_string();
        assert!(error.contains(needed), "{error}");
    }
    let mut session = on_host(&Training { lengths: false, ..ragged_of(Cell::Gru, false) });
    let error = session.step(&good.with_lengths(vec![5; 4])).unwrap_err().to_string();
    assert!(error.contains("set `lengths`"), "{error}");
}

/// A stream of windows through one recurrent layer of this cell.
fn streaming(cell: Cell, hidden: u32) -> Training {
    let model = sequence_model(Recurrent::new(cell, hidden));
    Training { carry_state: true, ..Training::new(model, Task::regression(3, 2).each_step(), 16).window(20) }
}

/// Dispatches of a micro-step in which a recurrence takes a step, either way.
fn recurrent_steps(plan: &Plan, cell: &str) -> usize {
    let steps = plan.schedule.programs[plan.program("first").unwrap()].steps.clone();
    let names = match cell.split_once(',') {
        None => [cell.to_string(), format!("{cell} gradient")],
        Some((cell, kind)) => [format!("{cell},{kind}"), format!("{cell} gradient,{kind}")],
    };
    let nodes = steps.map(|s| plan.schedule.steps[s].node);
    let recurrent: Vec<_> =
        nodes.filter(|n| names.iter().any(|name| name == plan.graph[*n].op.rule().name())).collect();
    // What the layer behind hands on is worked out in pieces, which are products of that layer.
    let mut once = recurrent.clone();
    once.dedup();
    let pieces = once.into_iter().map(|n| match &plan.graph[n].op {
        Op::PiecewiseGradient(op) => 20u32.div_ceil(op.steps) as usize,
        _ => 0,
    });
    recurrent.len() - pieces.sum::<usize>()
}

#[test]
fn each_cell_keeps_its_slots_and_dispatches_twice_a_timestep_and_layer() {
    let slots = [1.0, 1.0, 5.0, 4.0, 6.0];
    for ((name, cell), slots) in CELLS.into_iter().zip(slots) {
        // So wide that the states at the window's ends weigh little beside those within it.
        let plan = planned(&streaming(cell, 64)).plan;
        let layers = plan.layers();
        let layer = layers.iter().find(|l| l.layer == cell.name()).unwrap();
        let sequence = 20 * 16 * 64 * 4;
        assert_eq!(layer.output, sequence, "{name}: its output (T, B, H)");
        let kept = layer.kept as f64 / sequence as f64;
        // Beside the slots it keeps its state before the window, (S, B, H): at most 2 of 20 timesteps.
        assert!((slots..=slots + 0.1).contains(&kept), "{name} keeps {kept} slots");
        // Whole sequences have no state before and after them that anything reads.
        let whole = Training { carry_state: false, ..streaming(cell, 64) };
        for layers in [1, 2] {
            let whole = with_model(&whole, sequence_model(Recurrent::new(cell, 64).layers(layers)));
            let steps = recurrent_steps(&planned(&whole).plan, name);
            assert_eq!(steps, 2 * 20 * layers as usize, "{name}");
        }
        let ends = recurrent_steps(&plan, name) - 2 * 20;
        assert!(ends <= cell.states() as usize, "{name}: {ends} copies of the last state");
    }
}

#[test]
fn evaluation_and_prediction_add_their_results_and_state_and_nothing_else() {
    let up = |bytes: u64| bytes.next_multiple_of(256);
    for (name, cell) in CELLS {
        let roles = |evaluate, predict, carry_state| {
            let training = Training { evaluate, predict, carry_state, ..streaming(cell, 8) };
            let plan = planned(&training).plan;
            assert_eq!(plan.planned_bytes(), plan.lower_bound_bytes());
            plan.roles()
        };
        for carry in [false, true] {
            let plain = roles(false, false, carry);
            for (evaluate, predict) in [(true, false), (false, true), (true, true)] {
                let results = u64::from(evaluate) * up(4) + u64::from(predict) * up(20 * 16 * 2 * 4);
                let state = u64::from(carry) * up(u64::from(cell.states()) * 16 * 8 * 4);
                // A prediction of 2.5 KiB is read back through a buffer that is there in any case.
                for ((role, without), (_, with)) in plain.iter().zip(roles(evaluate, predict, carry)) {
                    let more = match role {
                        Role::Result => results,
                        Role::CarriedState => state,
                        _ => 0,
                    };
                    assert_eq!(with, without + more, "{name}: {role:?}, {evaluate} {predict} {carry}");
                }
            }
        }
    }
}

#[test]
fn a_stream_a_hundred_times_as_long_takes_the_same_memory() {
    let device = &device();
    let model = sequence_model(Recurrent::new(Cell::Lstm, 4));
    let training = Training {
        carry_state: true,
        report_every: 100,
        ..Training::new(model, Task::regression(1, 1).each_step(), 1).window(64)
    };
    let mut held = Vec::new();
    for windows in [2u32, 200] {
        let mut session = Session::new(&training, device).unwrap();
        for i in 0..windows {
            session.step(&Batch::numbers(noise(64, i), noise(64, i + 1))).unwrap();
        }
        session.finish().unwrap();
        assert!(session.allocations_after_first_step().is_none_or(|n| n == 0));
        held.push((session.plan().planned_bytes(), session.held()));
    }
    assert_eq!(held[0], held[1]);
    assert!(held[0].1.is_none_or(|h| h.bytes == held[0].0));
}

#[test]
fn targets_are_not_needed_for_a_prediction() {
    let mut session = on_host(&ragged_of(Cell::Lstm, false));
    let of = |targets: Vec<f32>| Batch::numbers(noise(60, 1), targets).with_lengths(LENGTHS.to_vec());
    let predicted = session.predict(&of(vec![f32::NAN; 40])).unwrap();
    assert_eq!(predicted, session.predict(&of(noise(40, 9))).unwrap());
    let Some(Data::F32(targets)) = of(noise(40, 9)).field(TARGETS).cloned() else { panic!("numbers") };
    assert_eq!(targets.len(), predicted.len());
}
