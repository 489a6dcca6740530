//! What training promises beyond recurrent layers: networks written by hand, shared weights, groups of
//! parameters, every optimizer and every loss.

#![allow(clippy::cast_precision_loss, reason = "small made-up data")]

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::nn::{Answer, Builder, Cell, Count, Field, Init, LayerError, LayerKind, Loss, Model, Recurrent, Values};
use plimsoll::ops::Function;
use plimsoll::target::Target;
use plimsoll::text::IGNORE;
use plimsoll::training::rate::Curve;
use plimsoll::training::{Batch, Custom, Data, Optimizer, ParameterGroup, Session, Task, Training};
use sessions::{
    bits, check_by_differences, close, device, file, gradients, mistake, noise, on_host, parameter_bits, parameters,
    planned, run,
};

/// Numbers (B, 3) to numbers (B, 2).
fn mlp() -> Training {
    let model = Model::new().linear(5).tanh().layer_norm().output();
    Training { seed: 2, ..Training::new(model, Task::regression(3, 2), 6) }
}

fn rows() -> Batch {
    Batch::numbers(noise(18, 1), noise(12, 2))
}

// Groups of parameters.

fn decaying(weight_decay: f32) -> Optimizer {
    Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay }
}

#[test]
fn a_group_without_decay_is_updated_as_if_there_were_none_and_the_others_are_not() {
    let of = |optimizer, groups| {
        let mut session = on_host(&Training { optimizer, groups, ..mlp() });
        run(&mut session, &[rows()]);
        parameters(&mut session)
    };
    let start = parameters(&mut on_host(&mlp()));
    let plain = of(decaying(0.0), vec![]);
    let grouped = of(decaying(0.5), vec![ParameterGroup::without_decay(&["*.bias", "layer_norm*"])]);
    for (name, numbers) in grouped {
        if name.ends_with(".bias") || name.starts_with("layer_norm") {
            assert_eq!(bits(&numbers), bits(&plain[&name]), "{name}");
            continue;
        }
        let wanted: Vec<f32> = plain[&name].iter().zip(&start[&name]).map(|(p, w)| p - 0.1 * 0.5 * w).collect();
        close(&name, &numbers, &wanted, 1e-6);
    }
}

#[test]
fn a_group_has_its_own_step_size_and_the_first_that_names_a_parameter_counts() {
    let group = |pattern: &str, learning_rate| ParameterGroup {
        parameters: vec![pattern.into()],
        learning_rate: Some(learning_rate),
        ..ParameterGroup::default()
    };
    let groups = vec![group("linear.weight", 0.3), group("linear*", 0.0)];
    let slopes = gradients(&mlp(), &rows());
    let mut session = on_host(&Training { optimizer: decaying(0.0), groups, ..mlp() });
    let start = parameters(&mut session);
    run(&mut session, &[rows()]);
    for (name, numbers) in parameters(&mut session) {
        let rate = match &name[..] {
            "linear.weight" => 0.3,
            name if name.starts_with("linear") => 0.0,
            _ => 0.1,
        };
        let wanted: Vec<f32> = start[&name].iter().zip(&slopes[&name]).map(|(w, g)| w - rate * g).collect();
        close(&name, &numbers, &wanted, 1e-6);
    }
}

#[test]
fn a_pattern_that_names_nothing_is_an_error_with_what_there_is() {
    let groups = vec![ParameterGroup::without_decay(&["*.bias", "layernorm*"])];
    let error = mistake(&Training { groups, ..mlp() });
    for needed in ["`layernorm*`", "layer_norm.weight", "linear_2.bias"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
}

#[test]
fn an_update_is_the_norm_and_one_dispatch_for_each_group() {
    let dispatches = |groups| planned(&Training { groups, ..mlp() }).plan.dispatches("update");
    let alone = dispatches(vec![]);
    // The norm is a sum of squares and the factor made of it; what counts steps is one more.
    assert_eq!(alone, 2 + 1 + 1);
    assert_eq!(dispatches(vec![ParameterGroup::without_decay(&["*.bias", "layer_norm*"])]), alone + 1);
    let both = [&["*.bias"][..], &["layer_norm.weight"]].map(ParameterGroup::without_decay);
    assert_eq!(dispatches(both.to_vec()), alone + 2);
}

#[test]
fn groups_are_the_same_on_the_device() {
    let device = &device();
    let groups =
        vec![ParameterGroup { learning_rate: Some(0.05), ..ParameterGroup::without_decay(&["*.bias", "layer_norm*"]) }];
    let training = Training { groups, optimizer: Optimizer::adamw(1e-2), ..mlp() };
    let mut host = on_host(&training);
    let mut session = Session::new(&training, device).unwrap();
    let batches = vec![rows(); 4];
    assert_eq!(run(&mut host, &batches).len(), run(&mut session, &batches).len());
    let host = parameters(&mut host);
    for (name, numbers) in parameters(&mut session) {
        close(&name, &numbers, &host[&name], 1e-4);
    }
}

// Tables and shared weights.

fn tied(padding_idx: Option<u32>) -> Training {
    let model =
        Model::new().with("embedding", LayerKind::Embedding { size: 4, padding_idx }).rnn(4).tied_output("embedding");
    let training = Training::new(model, Task::next_token(6), 2).window(4);
    Training { optimizer: Optimizer::sgd(0.5, 0.0), seed: 8, ..training }
}

fn ids() -> Batch {
    Batch::tokens(vec![1, 2, 0, 3, 4, 0, 5, 5], vec![2, 4, 3, IGNORE, 1, 1, 0, 2])
}

#[test]
fn a_padding_row_is_zero_and_stays_zero() {
    let model = Model::new().with("embedding", LayerKind::Embedding { size: 4, padding_idx: Some(0) }).rnn(3).output();
    let training = Training { seed: 1, ..Training::new(model, Task::next_token(6), 2).window(4) };
    for accumulate in [1, 2] {
        let training = training.clone().accumulate(accumulate);
        assert_eq!(bits(&gradients(&training, &ids())["embedding.weight"][..4]), [0; 4]);
        let mut session = on_host(&training);
        let start = parameters(&mut session)["embedding.weight"].clone();
        assert_eq!(start[..4], [0.0; 4]);
        assert!(start[4..].iter().all(|x| *x != 0.0));
        run(&mut session, &[ids(), ids(), ids()]);
        let after = parameters(&mut session)["embedding.weight"].clone();
        assert_eq!(after[..4], [0.0; 4]);
        assert!(after[4..].iter().zip(&start[4..]).all(|(a, b)| a != b), "all others learn");
    }
}

#[test]
fn tied_weights_are_one_parameter_whose_gradient_is_the_sum() {
    let mut session = on_host(&tied(None));
    let names: Vec<String> = parameters(&mut session).into_keys().collect();
    assert_eq!(names.iter().filter(|n| n.ends_with(".weight")).collect::<Vec<_>>(), ["embedding.weight"]);
    for accumulate in [1, 2] {
        check_by_differences(&tied(None).accumulate(accumulate), &ids());
    }
    // Of a row that pads inputs, only what it does in the output is learnt, as in PyTorch.
    let padded = gradients(&tied(Some(0)), &ids())["embedding.weight"].clone();
    assert!(padded[..4].iter().any(|g| *g != 0.0));
}

#[test]
fn tied_weights_have_both_names_in_files_and_are_read_from_either() {
    let mut session = on_host(&tied(None));
    let all: Vec<_> = session.state_dict().unwrap();
    let numbers = |name: &str| all.iter().find(|(n, ..)| n == name).unwrap().2.clone();
    assert_eq!(numbers("embedding.weight"), numbers("linear.weight"));
    let both = {
        let mut file = file(&mut session, |_, numbers| numbers.iter_mut().for_each(|x| *x += 1.0));
        let weight = file.tensors["embedding.weight"].clone();
        file.tensors.insert("linear.weight".into(), weight);
        file
    };
    for missing in ["embedding.weight", "linear.weight", "neither"] {
        let mut file = both.clone();
        file.tensors.remove(missing);
        let mut session = on_host(&tied(None));
        session.load(&file).unwrap();
        assert_eq!(parameters(&mut session)["embedding.weight"], both.tensors["embedding.weight"].1, "{missing}");
    }
    let mut different = both.clone();
    different.tensors.get_mut("linear.weight").unwrap().1[3] += 0.5;
    let before = parameter_bits(&mut session);
    let error = session.load(&different).unwrap_err().to_string();
    for needed in ["`linear.weight`", "`embedding.weight`", "one parameter", "different numbers"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
    assert_eq!(parameter_bits(&mut session), before, "nothing was loaded");
    let mut none = both;
    none.tensors.retain(|name, _| !name.ends_with(".weight"));
    assert!(session.load(&none).unwrap_err().to_string().contains("embedding.weight"));
}

#[test]
fn a_tie_to_what_is_not_there_or_has_another_shape_says_so() {
    let task = Task::next_token(6);
    let of = |model: Model| mistake(&Training::new(model, task.clone(), 2).window(4));
    let error = of(Model::new().embedding(4).rnn(4).tied_output("embeding"));
    assert!(error.contains("layer `linear`") && error.contains("no parameter `embeding.weight`"), "{error}");
    let error = of(Model::new().embedding(4).rnn(5).tied_output("embedding"));
    for needed in ["layer `linear`", "[6, 4]", "[6, 5]"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
}

// Networks written by hand.

fn fields() -> [Field; 3] {
    [Field::numbers("left", &[3]), Field::numbers("right", &[3]), Field::numbers("targets", &[2]).optional()]
}

fn sides(rows: usize) -> Batch {
    let data = |width: usize, kind| Data::F32(noise(rows * width, kind));
    Batch::named([("left", data(3, 1)), ("right", data(3, 2)), ("targets", data(2, 3))])
}

/// Both sides through the same two layers, the first of them twice.
fn siamese(b: &mut Builder, batch: &Values) -> Result<Answer, LayerError> {
    let mut side = |name| {
        let x = b.enter("shared").linear(batch.field(name)?, 3, true, Function::Tanh)?;
        let again = b.enter("shared").linear(x, 3, true, Function::Tanh)?;
        b.add(&[x, again])
    };
    let (left, right) = (side("left")?, side("right")?);
    let alike = b.enter("alike").multiply(left, right)?;
    let prediction = b.enter("output").linear(alike, 2, true, Function::Identity)?;
    let loss = b.enter("loss").mse(prediction, batch.field("targets")?)?;
    Ok(Answer { prediction, loss })
}

#[test]
fn a_shared_weight_gets_the_gradients_of_all_its_uses() {
    let training = Training { seed: 5, ..Training::custom(Custom::new(fields(), siamese), 6) };
    let mut session = on_host(&training);
    let names: Vec<String> = parameters(&mut session).into_keys().collect();
    assert_eq!(names, ["output.bias", "output.weight", "shared.bias", "shared.weight"]);
    for accumulate in [1, 2, 3] {
        check_by_differences(&training.clone().accumulate(accumulate), &sides(6));
    }
}

#[test]
fn a_network_written_by_hand_predicts_and_counts_its_own_way() {
    let custom = Custom::new(fields(), siamese);
    let base = Training { seed: 5, predict: true, ..Training::custom(custom.clone(), 6) };
    let mut by_targets = on_host(&base);
    assert_eq!(by_targets.predict(&sides(6)).unwrap().len(), 12);
    let by_rows = Training { seed: 5, ..Training::custom(custom.counted(Count::Rows), 6) };
    let mut by_rows = on_host(&by_rows);
    let (a, b) = (run(&mut by_targets, &[sides(6)])[0], run(&mut by_rows, &[sides(6)])[0]);
    // 12 targets in 6 rows.
    assert_eq!((a.tokens, b.tokens), (12, 6));
    close("loss", &[2.0 * a.loss], &[b.loss], 1e-6);
}

fn one_layer(write: impl Fn(&mut Builder, &Values) -> Result<Answer, LayerError> + Send + Sync + 'static) -> String {
    mistake(&Training::custom(Custom::new(fields(), write), 6))
}

#[test]
fn mistakes_in_a_network_written_by_hand_name_the_layer_and_the_shapes() {
    let error = one_layer(|b, batch| {
        let x = b.enter("wide").linear(batch.field("left")?, 4, true, Function::Identity)?;
        let sum = b.enter("sum").add(&[x, batch.field("right")?])?;
        Ok(Answer { prediction: sum, loss: sum })
    });
    for needed in ["layer `sum`", "[6, 4]", "[6, 3]"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
    let error = one_layer(|b, batch| {
        let x = b.enter("a").linear(batch.field("left")?, 4, true, Function::Identity)?;
        let x = b.enter("a").linear(x, 4, true, Function::Identity)?;
        Ok(Answer { prediction: x, loss: x })
    });
    for needed in ["layer `a`", "`a.weight`", "[4, 3]", "[4, 4]"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
    let error = one_layer(|b, batch| {
        let x = b.enter("output").linear(batch.field("left")?, 2, true, Function::Identity)?;
        Ok(Answer { prediction: x, loss: x })
    });
    for needed in ["its loss is f32[6, 2]", "f32[1]"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
    let error = one_layer(|b, batch| {
        let x = b.enter("output").linear(batch.field("middle")?, 2, true, Function::Identity)?;
        Ok(Answer { prediction: x, loss: x })
    });
    for needed in ["no field `middle`", "`left`", "`right`", "`targets`"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
}

#[test]
fn a_loss_is_checked_even_where_nothing_is_learnt() {
    let write = |b: &mut Builder, batch: &Values| {
        let x = b.enter("output").linear(batch.field("left")?, 2, true, Function::Identity)?;
        Ok(Answer { prediction: x, loss: x })
    };
    let error = mistake(&Training { learn: false, ..Training::custom(Custom::new(fields(), write), 6) });
    assert!(error.contains("f32[1]"), "{error}");
}

#[test]
fn a_network_that_changes_from_one_program_to_the_next_is_refused() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let calls = AtomicU32::new(0);
    let error = one_layer(move |b, batch| {
        let name = format!("call_{}", calls.fetch_add(1, Ordering::Relaxed));
        let x = b.enter(&name).linear(batch.field("left")?, 2, true, Function::Identity)?;
        let loss = b.enter("loss").mse(x, batch.field("targets")?)?;
        Ok(Answer { prediction: x, loss })
    });
    for needed in ["layer `call_1`", "`call_1.weight`", "the same network each time"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
}

#[test]
fn ids_that_are_no_bytes_of_a_field_of_the_batch_are_an_error() {
    let fields = [Field::ids("left", 4), Field::numbers("targets", &[2])];
    let custom = Custom::new(fields, |b, batch| {
        let ids = b.enter("ids").reshape(batch.field("left")?, &[3, 2])?;
        let ids = b.slice(ids, 1, 1, 1)?;
        let x = b.enter("table").embedding(ids, 4, 2, None)?;
        let x = b.reshape(x, &[6, 2])?;
        let loss = b.enter("loss").mse(x, batch.field("targets")?)?;
        Ok(Answer { prediction: x, loss })
    });
    let error = mistake(&Training::custom(custom, 6));
    assert!(error.contains("layer `table`") && error.contains("a field of the batch"), "{error}");
}

#[test]
fn fields_that_a_batch_lacks_or_should_not_have_are_named() {
    let training = Training::custom(Custom::new(fields(), siamese), 6);
    let mut session = on_host(&training);
    let mut lacks = sides(6);
    lacks.fields.remove(1);
    let mut more = sides(6);
    more.fields.push(("middle".into(), Data::F32(vec![0.0; 6])));
    for (batch, needed) in [
        (lacks, "no field `right`; it has `left`, `targets`"),
        (more, "a field `middle`, which the network does not read"),
        (sides(5), "15 left, and the plan is for 18"),
    ] {
        let error = session.step(&batch).unwrap_err().to_string();
        assert!(error.contains(needed), "{error}");
    }
}

// States that are given and returned.

/// An encoder, which starts from what is learnt, and a decoder that goes on from its last states.
fn encoder_decoder(cell: Cell) -> Training {
    let fields = [
        Field::numbers("source", &[2]).over_time(true),
        Field::numbers("given", &[2]).over_time(true),
        Field::numbers("targets", &[1]).over_time(true).optional(),
        Field::numbers("ends", &[cell.states()]),
    ];
    let custom = Custom::new(fields, move |b, batch| {
        let spec = Recurrent::new(cell, 3).layers(2);
        let start = b.enter("start").parameter("state", &[cell.states(), 2, 3], Init::fan_in(3))?;
        let (_, states) = b.enter("encoder").recurrent(batch.field("source")?, spec, Some(&[start, start]))?;
        let (y, last) = b.enter("decoder").recurrent(batch.field("given")?, spec, Some(&states))?;
        let x = b.enter("output").linear(y, 1, true, Function::Identity)?;
        let of_steps = b.enter("loss").mse(x, batch.field("targets")?)?;
        let ends = b.enter("ends").linear(last[1], 1, true, Function::Identity)?;
        let ends = b.transpose(ends, 0, 1)?;
        let ends = b.reshape(ends, &[2, cell.states()])?;
        let of_ends = b.enter("loss").mse(ends, batch.field("ends")?)?;
        Ok(Answer { prediction: x, loss: b.add(&[of_steps, of_ends])? })
    });
    Training { seed: 4, ..Training::custom(custom, 2).window(4) }
}

fn sources(cell: Cell) -> Batch {
    let data = |width: usize, kind| Data::F32(noise(8 * width, kind));
    let ends = Data::F32(noise(2 * cell.states() as usize, 4));
    let steps = [("source", data(2, 1)), ("given", data(2, 2)), ("targets", data(1, 3))];
    Batch::named(steps.into_iter().chain([("ends", ends)]))
}

#[test]
fn on_the_device_states_are_handed_on_as_on_the_host() {
    let device = &device();
    let (training, batch) = (encoder_decoder(Cell::Lstm), sources(Cell::Lstm));
    let losses = |mut session: Session| {
        let trained: Vec<f32> = run(&mut session, &vec![batch.clone(); 3]).iter().map(|r| r.loss).collect();
        (trained, session.evaluate([batch.clone()]).unwrap().total)
    };
    let (trained, evaluated) = losses(Session::new(&training, device).unwrap());
    let (wanted, total) = losses(on_host(&training));
    close("losses", &trained, &wanted, 1e-5);
    assert!((evaluated - total).abs() < 1e-5 * total, "{evaluated} {total}");
}

#[test]
fn gradients_flow_through_initial_and_last_states() {
    for (_, cell) in sessions::CELLS.into_iter().filter(|(_, c)| *c != Cell::Rnn(Function::Relu)) {
        let batch = sources(cell);
        let training = encoder_decoder(cell);
        let slopes = gradients(&training, &batch);
        assert!(slopes["start.state"].iter().all(|g| *g != 0.0), "{cell:?}");
        check_by_differences(&training, &batch);
    }
}

#[test]
fn initial_states_that_do_not_fit_are_errors_with_the_shapes() {
    let of = |states: fn(&mut Builder) -> Result<Vec<plimsoll::ids::ValueId>, LayerError>| {
        let fields = [Field::numbers("targets", &[3]).over_time(true)];
        let custom = Custom::new(fields, move |b, batch| {
            let x = batch.field("targets")?;
            let given = states(b)?;
            let (y, _) = b.enter("rnn").recurrent(x, Recurrent::new(Cell::Lstm, 3), Some(&given))?;
            let loss = b.enter("loss").mse(y, x)?;
            Ok(Answer { prediction: y, loss })
        });
        mistake(&Training::custom(custom, 2).window(4))
    };
    let error = of(|b| Ok(vec![b.zeros(&[1, 2, 3])]));
    for needed in ["layer `rnn`", "f32[1, 2, 3]", "f32[2, 2, 3]", "(S, B, H)"] {
        assert!(error.contains(needed), "`{needed}` is not in: {error}");
    }
    let error = of(|_| Ok(vec![]));
    assert!(error.contains("0 initial states are given, and it has 1 layers and directions"), "{error}");
}

// Optimizers and losses.

fn optimizers() -> Vec<Optimizer> {
    let Optimizer::RmsProp { learning_rate, alpha, eps, weight_decay, .. } = Optimizer::rmsprop(1e-2) else {
        panic!("RMSprop makes RMSprop")
    };
    vec![
        Optimizer::sgd(0.1, 0.0),
        Optimizer::Sgd { learning_rate: 0.05, momentum: 0.9, dampening: 0.0, nesterov: true, weight_decay: 1e-3 },
        Optimizer::adam(1e-2),
        Optimizer::adamw(1e-2),
        Optimizer::RmsProp { learning_rate, alpha, eps, weight_decay, momentum: 0.5, centered: true },
        Optimizer::adagrad(5e-2),
    ]
}

fn tasks() -> Vec<(Task, Batch)> {
    let bits: Vec<f32> = noise(12, 2).iter().map(|x| f32::from(u8::from(*x > 0.0))).collect();
    let classes = Batch::classes(noise(18, 1), vec![0, 1, IGNORE, 1, 0, 1]);
    let weighted = Loss::CrossEntropy { label_smoothing: 0.1, class_weights: vec![0.5, 2.0] };
    vec![
        (Task::regression(3, 2), rows()),
        (Task::regression(3, 2).loss(Loss::L1), rows()),
        (Task::regression(3, 2).loss(Loss::Huber { delta: 0.3 }), rows()),
        (Task::bits(3, 2), Batch::numbers(noise(18, 1), bits)),
        (Task::classification(3, 2), classes.clone()),
        (Task::classification(3, 2).loss(weighted), classes),
    ]
}

/// Trains on one batch over and over; the first and the last loss.
fn losses(mut session: Session, batch: &Batch) -> (f32, f32) {
    let reports = run(&mut session, &vec![batch.clone(); 40]);
    (reports[0].loss, reports[39].loss)
}

#[test]
fn every_optimizer_learns_on_the_device() {
    let device = &device();
    for optimizer in optimizers() {
        let training = Training { optimizer, clip_value: Some(0.5), ..mlp() };
        let (first, last) = losses(Session::new(&training, device).unwrap(), &rows());
        assert!(last < 0.9 * first, "{optimizer:?}: {first} {last}");
        let (start, end) = losses(on_host(&training), &rows());
        close("losses", &[first, last], &[start, end], 1e-3);
    }
}

#[test]
fn every_loss_is_learnt_on_the_device() {
    let device = &device();
    for (task, batch) in tasks() {
        let training = Training {
            optimizer: Optimizer::adamw(3e-2),
            ..Training::new(Model::new().linear(5).tanh().output(), task, 6)
        };
        let (first, last) = losses(Session::new(&training, device).unwrap(), &batch);
        assert!(last < 0.9 * first, "{:?}: {first} {last}", training.network);
        let (start, end) = losses(on_host(&training), &batch);
        close("losses", &[first, last], &[start, end], 1e-3);
    }
}

#[test]
fn adagrad_starts_from_what_it_is_told() {
    let (learning_rate, lr_decay, eps, weight_decay) = (0.1, 0.0, 1e-10, 0.0);
    let slopes = gradients(&mlp(), &rows());
    for initial_accumulator_value in [0.0, 0.25] {
        let optimizer = Optimizer::Adagrad { learning_rate, lr_decay, eps, initial_accumulator_value, weight_decay };
        let mut session = on_host(&Training { optimizer, ..mlp() });
        let start = parameters(&mut session);
        run(&mut session, &[rows()]);
        for (name, numbers) in parameters(&mut session) {
            let moved = |(w, g): (&f32, &f32)| w - 0.1 * g / ((initial_accumulator_value + g * g).sqrt() + eps);
            let wanted: Vec<f32> = start[&name].iter().zip(&slopes[&name]).map(moved).collect();
            close(&name, &numbers, &wanted, 1e-5);
        }
    }
}

#[test]
fn class_weights_divide_by_their_sum_over_the_whole_update() {
    let weights = vec![0.25, 3.0, 1.0];
    let loss = Loss::CrossEntropy { label_smoothing: 0.0, class_weights: weights.clone() };
    let task = Task::classification(3, 3).loss(loss);
    let training = Training { seed: 6, predict: true, ..Training::new(Model::new().output(), task, 6) };
    // All of the light class in one half: means of halves are no mean of the whole.
    let targets = vec![0, 0, 0, 1, IGNORE, 2];
    let batch = Batch::classes(noise(18, 1), targets.clone());
    let mut session = on_host(&training);
    let logits = session.predict(&batch).unwrap();
    let of = |row: usize, class: usize| {
        let logits = &logits[row * 3..][..3];
        logits.iter().map(|l| l.exp()).sum::<f32>().ln() - logits[class]
    };
    let valid = targets.iter().enumerate().filter(|(_, t)| **t != IGNORE).map(|(row, t)| (row, *t as usize));
    let total: f32 = valid.clone().map(|(row, t)| weights[t] * of(row, t)).sum();
    let weight: f32 = valid.map(|(_, t)| weights[t]).sum();
    let evaluated = session.evaluate([batch.clone()]).unwrap();
    assert_eq!((evaluated.tokens, evaluated.weight), (5, f64::from(weight)));
    let whole = gradients(&training, &batch);
    for accumulate in [1, 2, 3] {
        let split = training.clone().accumulate(accumulate);
        let report = run(&mut on_host(&split), std::slice::from_ref(&batch))[0];
        assert_eq!(report.tokens, 5);
        close("loss", &[report.loss], &[total / weight], 1e-5);
        for (name, gradient) in gradients(&split, &batch) {
            close(&name, &gradient, &whole[&name], 1e-6);
        }
    }
    check_by_differences(&Training { predict: false, ..training }, &batch);
}

#[test]
fn two_layers_of_one_name_are_refused() {
    let mut model = Model::new().linear(3).linear(2);
    model.layers[1].name = "linear".into();
    let error = mistake(&Training::new(model, Task::regression(3, 2), 6));
    assert!(error.contains("layer `linear`: another layer has this name"), "{error}");
}

#[test]
fn evaluation_counts_the_predictions_that_are_right() {
    let x: Vec<f32> = (0..6 * 3).map(|i| (i as f32 * 0.7).sin()).collect();
    let classes = Training { predict: true, ..Training::new(Model::new().output(), Task::classification(3, 4), 6) };
    let mut session = on_host(&classes);
    let batch = Batch::classes(x.clone(), vec![0, 1, 2, 3, IGNORE, 1]);
    let logits = session.predict(&batch).unwrap();
    let guess = |row: &[f32]| (0u32..).zip(row).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    let wanted: Vec<u32> = logits.chunks(4).map(guess).collect();
    // All right, but for one that is wrong and one that there is nothing to say of.
    let mut targets = wanted.clone();
    (targets[2], targets[4]) = ((wanted[2] + 1) % 4, IGNORE);
    let found = session.evaluate([Batch::classes(x.clone(), targets)]).unwrap();
    assert_eq!((found.hits, found.tokens, found.accuracy()), (Some(4), 5, Some(0.8)));

    let bits = Training { predict: true, ..Training::new(Model::new().output(), Task::bits(3, 2), 6) };
    let mut session = on_host(&bits);
    let logits = session.predict(&Batch::numbers(x.clone(), vec![0.0; 12])).unwrap();
    let mut targets: Vec<f32> = logits.iter().map(|&l| f32::from(u8::from(l > 0.0))).collect();
    (targets[0], targets[5]) = (1.0 - targets[0], f32::NAN);
    let found = session.evaluate([Batch::numbers(x.clone(), targets)]).unwrap();
    assert_eq!((found.hits, found.tokens), (Some(10), 11));

    let numbers = Training::new(Model::new().output(), Task::regression(3, 2), 6);
    assert_eq!(on_host(&numbers).evaluate([Batch::numbers(x, vec![0.0; 12])]).unwrap().hits, None);
}

#[test]
fn a_groups_own_rate_is_refused_where_the_schedule_is_no_factor() {
    let group = ParameterGroup { parameters: vec!["*.bias".into()], learning_rate: Some(0.1), weight_decay: None };
    let with = |curve: Curve| Training {
        groups: vec![group.clone()],
        schedule: curve.into(),
        ..Training::new(Model::new().output(), Task::regression(3, 2), 6)
    };
    let plan = |curve| with(curve).plan(&Target::profile("webgpu-default").unwrap()).map(|_| ());
    assert!(plan(Curve::Cosine { steps: 9, eta_min: 0.0 }).is_ok());
    for curve in [Curve::Cosine { steps: 9, eta_min: 0.1 }, Curve::one_cycle(0.1, 9)] {
        assert!(plan(curve).unwrap_err().to_string().contains("does not scale all rates alike"));
    }
}
