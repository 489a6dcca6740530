//! Activations recomputed on the way back, block by block: less memory, and no bit changes.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::graph::Role;
use plimsoll::nn::{Answer, Cell, Custom, Field, Model, Recurrent, Task};
use plimsoll::ops::{Curve, Function};
use plimsoll::plan::{Plan, Rates};
use plimsoll::target::Target;
use plimsoll::training::{Batch, Data, LossScale, NonFinite, ParameterGroup, Segments, Session, Storage, Training};

use sessions::{bits, device, mistake, noise, on_host, optimizers, parameter_bits, planned, run};

const ROWS: u32 = 12;

/// A stack of `layers` linear layers of `width`, each with what `then` adds, and an output.
fn stack(width: u32, layers: usize, then: impl Fn(Model) -> Model) -> Model {
    (0..layers).fold(Model::new(), |model, _| then(model.linear(width))).output()
}

fn rows(model: Model) -> Training {
    Training { report_every: 1, ..Training::new(model, Task::regression(7, 5), ROWS) }
}

fn batch(kind: u32) -> Batch {
    Batch::numbers(noise(7 * ROWS as usize, kind), noise(5 * ROWS as usize, kind + 7))
}

fn curves() -> [Curve; 5] {
    let leaky = Curve::LeakyRelu { negative_slope: 0.1 };
    let softplus = Curve::Softplus { beta: 1.5, threshold: 20.0 };
    [Curve::Silu, Curve::Gelu, Curve::GeluTanh, softplus, leaky]
}

/// A residual network written by hand, whose blocks share a layer, with two uses of the input.
fn residual() -> Training {
    let fields = [Field::numbers("x", &[7]), Field::numbers("targets", &[5])];
    let network = Custom::new(fields, |b, batch| {
        let x = batch.field("x")?;
        let mut h = b.enter("stem").linear(x, 33, true, Function::Identity)?;
        for i in 0..5 {
            let normed = b.enter(&format!("norm{i}")).layer_norm(h, 1e-5, true, true)?;
            let wide = b.enter(&format!("wide{i}")).linear(normed, 65, true, Function::Relu)?;
            let dropped = b.dropout(wide, 0.3)?;
            let deeper = b.enter(&format!("narrow{i}")).linear(dropped, 33, true, Function::Identity)?;
            let shared = b.enter("shared").linear(deeper, 33, false, Function::Tanh)?;
            h = b.enter(&format!("sum{i}")).add(&[h, shared])?;
        }
        let again = b.enter("skip").linear(x, 33, false, Function::Sigmoid)?;
        let gated = b.enter("gate").multiply(h, again)?;
        let prediction = b.enter("output").linear(gated, 5, true, Function::Identity)?;
        let loss = b.enter("loss").mse(prediction, batch.field("targets")?)?;
        Ok(Answer { prediction, loss })
    });
    Training { report_every: 1, ..Training::custom(network, ROWS) }
}

fn named(kind: u32) -> Batch {
    let [x, targets] = [(7, kind), (5, kind + 7)].map(|(n, kind)| Data::F32(noise(n * ROWS as usize, kind)));
    Batch::named([("x", x), ("targets", targets)])
}

/// Ids in windows without state, through embeddings, feed-forward layers, and recurrent ones where there are any.
fn text(layers: impl Fn(Model) -> Model) -> Training {
    let model = layers(Model::new().embedding(9)).output();
    let training = Training { report_every: 1, ..Training::new(model, Task::next_token(11), 4) }.window(6);
    Training { carry_state: false, sample: false, ..training }
}

fn ids(kind: u32) -> Batch {
    let ids = |from: u32| (from..from + 24).map(|i| (i * i + i / 7) % 11).collect();
    Batch::tokens(ids(kind * 31), ids(kind * 31 + 1))
}

/// Runs of every kind that has activations to recompute, with their batches.
fn runs() -> Vec<(String, Training, Vec<Batch>)> {
    let of = |name: &str, training: Training, batch: fn(u32) -> Batch| {
        (name.to_string(), training, (0..3).map(batch).collect::<Vec<_>>())
    };
    let mut runs = vec![
        of("tanh", rows(stack(33, 6, Model::tanh)), batch),
        of("relu", rows(stack(33, 6, Model::relu)), batch),
        of("sigmoid", rows(stack(33, 6, Model::sigmoid)), batch),
        of("layer norm", rows(stack(20, 5, |m| m.layer_norm().relu())), batch),
        of("dropout", rows(stack(20, 5, |m| m.relu().dropout(0.4))), batch),
        of("residual", residual(), named),
        of(
            "embedding",
            text(|m| m.linear(16).tanh().linear(16).layer_norm().tanh().dropout(0.2).linear(9).tanh()),
            ids,
        ),
        of(
            "tied",
            {
                let model = Model::new().embedding(9).linear(16).tanh().linear(16).tanh().linear(9).tanh();
                let training = Training::new(model.tied_output("embedding"), Task::next_token(11), 4).window(6);
                Training { carry_state: false, sample: false, report_every: 1, ..training }
            },
            ids,
        ),
        of(
            "stacked lstm",
            text(|m| m.recurrent(Recurrent { dropout: 0.2, ..Recurrent::new(Cell::Lstm, 8).layers(3) })),
            ids,
        ),
        of("stacked gru", text(|m| m.gru(8).linear(9).tanh().gru(7)), ids),
        of(
            "carried",
            {
                let model = Model::new().embedding(9).lstm(8).linear(16).tanh().linear(16).tanh().lstm(8).output();
                Training { report_every: 1, ..Training::new(model, Task::next_token(11), 4) }.window(6)
            },
            ids,
        ),
    ];
    runs.extend(curves().map(|curve| of(&format!("{curve:?}"), rows(stack(20, 5, |m| m.curve(curve))), batch)));
    runs.extend(optimizers().into_iter().map(|optimizer| {
        let decay = ParameterGroup { parameters: vec!["*.bias".into()], weight_decay: Some(0.0), learning_rate: None };
        let training =
            Training { optimizer, groups: vec![decay], clip_norm: Some(0.3), ..rows(stack(18, 5, Model::tanh)) };
        of(&format!("{optimizer:?}"), training, batch)
    }));
    runs
}

/// Losses, norms and parameters, to the bit.
fn learnt(mut session: Session, batches: &[Batch]) -> Vec<u32> {
    let reports = run(&mut session, batches);
    let told: Vec<f32> = reports.iter().flat_map(|report| [report.loss, report.grad_norm]).collect();
    [bits(&told), parameter_bits(&mut session)].concat()
}

/// The number of dispatches tells whether anything is made again.
fn dispatches(training: &Training) -> usize {
    planned(training).plan.schedule.steps.len()
}

fn activations(plan: &Plan) -> u64 {
    plan.roles().into_iter().find(|(role, _)| *role == Role::Activation).unwrap().1
}

#[test]
fn recomputing_changes_no_bit_on_the_host() {
    for (name, training, batches) in runs() {
        let wanted = learnt(on_host(&training), &batches);
        for blocks in [2, 3, 5, 100] {
            let again = training.clone().recompute(blocks);
            assert!(dispatches(&again) > dispatches(&training), "{name}: nothing is made again");
            assert!(learnt(on_host(&again), &batches) == wanted, "{name} in {blocks} blocks");
        }
    }
}

#[test]
fn recomputing_changes_no_bit_on_a_device_in_micro_steps_or_in_halves() {
    let device = device();
    for (name, training, batches) in runs() {
        let halves = training.clone().storage(Storage::F16);
        for (how, training) in
            [("plain", training.clone()), ("micro-steps", training.accumulate(2)), ("halves", halves)]
        {
            let wanted = learnt(Session::new(&training, &device).unwrap(), &batches);
            for blocks in [2, 4] {
                let session = Session::new(&training.clone().recompute(blocks), &device).unwrap();
                sessions::holds_what_was_planned(&session);
                assert!(learnt(session, &batches) == wanted, "{name}, {how}, in {blocks} blocks");
            }
        }
    }
}

/// What crosses from the way forward to the way back is what the blocks pass on, and what the last of them keeps.
///
/// Of n values of equal size, each read on the way back, in k blocks: while the way back is in one block, all of it is
/// there, and one value of each before it. So the blocks have m, m - 1, .. values, as few as `m + (m - 1) + ..`, of k
/// terms, reaches n with; one more is the gradient that is passed on. n is 17 here: what 16 layers make, and the
/// prediction. 18 values are down to 7 in 4 blocks: that many fit in 6 + 5 + 4 + 3, and not in 5 + 4 + 3 + 2.
#[test]
fn sixteen_layers_in_four_blocks_hold_seven_activations_and_not_eighteen() {
    let training = Training::new(stack(256, 16, Model::relu), Task::regression(256, 256), 256);
    let activation = 256 * 256 * 4;
    let plain = planned(&training);
    assert_eq!(activations(&plain.plan), 18 * activation);
    for (blocks, most) in [(2, 9), (3, 7), (4, 6)] {
        let terms = |most: u64| (0..u64::from(blocks)).map(|block| most - block).sum::<u64>();
        assert!(terms(most) >= 17 && terms(most - 1) < 17);
        let again = planned(&training.clone().recompute(blocks));
        assert_eq!(activations(&again.plan), (most + 1) * activation, "{blocks} blocks");
        assert_eq!(again.plan.lower_bound_bytes(), again.plan.planned_bytes());
        // A way forward is about a third of an update; the last block is spared it, and so is the end of each other.
        let longer = again.seconds(&Rates::assumed()) / plain.seconds(&Rates::assumed());
        assert!(longer > 1.0 && longer < 4.0 / 3.0, "{longer:.3} times the time in {blocks} blocks");
    }
}

/// More blocks than help are no more blocks.
#[test]
fn more_blocks_never_take_more_memory() {
    for (name, training, _) in runs() {
        let bytes = |blocks| planned(&training.clone().recompute(blocks)).plan.planned_bytes();
        let all: Vec<u64> = [2, 4, 8, 32, u32::MAX].map(bytes).to_vec();
        println!("{name}: {} B, {all:?}", planned(&training).plan.planned_bytes());
        assert!(all.is_sorted_by(|fewer, more| fewer >= more), "{name}: {all:?}");
    }
}

#[test]
fn recomputing_goes_with_released_gradients_and_with_segments() {
    let device = device();
    for (name, training, batches) in runs() {
        let early = Training { release_gradients: true, clip_norm: None, ..training.clone() };
        let halves = early.clone().storage(Storage::F16);
        let halves = Training { loss_scale: LossScale::Static(64.0), non_finite: Some(NonFinite::Stop), ..halves };
        let cut = training.clone().segments(Segments { timesteps: 2, states: Some(1) });
        let has_time = training.window > 1 && name != "tied";
        let all =
            [("released", Some(early)), ("released, halves", Some(halves)), ("segments", has_time.then_some(cut))];
        for (how, training) in all.into_iter().filter_map(|(how, training)| Some((how, training?))) {
            let wanted = learnt(Session::new(&training, &device).unwrap(), &batches);
            let again = training.clone().recompute(3);
            assert!(dispatches(&again) > dispatches(&training), "{name}, {how}: nothing is made again");
            let session = Session::new(&again, &device).unwrap();
            sessions::holds_what_was_planned(&session);
            assert!(learnt(session, &batches) == wanted, "{name}, {how}");
        }
    }
}

/// What lies in slots is made once: losses, gradients and carried state are stored as often as without.
#[test]
fn what_is_stored_is_not_made_again() {
    for (name, training, _) in runs() {
        let stored = |training: &Training| {
            let graph = planned(training).plan.graph;
            graph.value_ids().filter(|v| graph[*v].home.is_some() && graph[*v].producer.is_some()).count()
        };
        assert_eq!(stored(&training.clone().recompute(4)), stored(&training), "{name}");
    }
}

#[test]
fn what_cannot_be_recomputed_says_why() {
    let training = rows(stack(20, 4, Model::tanh));
    for blocks in [0, 1] {
        let told = mistake(&training.clone().recompute(blocks));
        assert!(told.contains(&format!("`recompute` is {blocks}")) && told.contains("at least 2"), "{told}");
    }
    let told = mistake(&rows(Model::new().output()).recompute(4));
    assert!(told.contains("cannot be cut into 4 blocks") && told.contains("leave out `recompute`"), "{told}");
    // An embedding is made again anyway, and what goes on with carried state is not.
    let streams = Training::new(Model::new().embedding(9).rnn(9).output(), Task::next_token(11), 4).window(6);
    let told = mistake(&streams.recompute(2));
    assert!(told.contains("cannot be cut into 2 blocks") && told.contains("carried state"), "{told}");
    // What does not learn has no way back, and nothing to refuse.
    let asked = Training { learn: false, ..rows(Model::new().output()).recompute(4) };
    assert!(planned(&asked).fits());
}

#[test]
fn what_recomputing_brings_is_told() {
    let training = rows(stack(64, 12, |m| m.curve(Curve::Silu)));
    let again = planned(&training.clone().recompute(4));
    let savings = again.savings().unwrap();
    let saved = savings.iter().find(|saved| saved.saving == "recomputed activations").unwrap();
    let roles = |plan: &Plan| plan.planned_bytes() - plan.staging.bytes();
    let plain = planned(&training).plan;
    assert_eq!(saved.without_bytes - again.plan.planned_bytes(), roles(&plain) - roles(&again.plan));
    assert!(saved.without_bytes > again.plan.planned_bytes());
    let way = again.training.way();
    assert_eq!(way.told(), "one micro-step, activations recomputed in 4 blocks");
    assert_eq!(again.training.lines_beside(&training), ["[budget]", "recompute = 4"]);
    assert_eq!(training.lines_beside(&again.training), ["[budget]", "# without recompute"]);
}

/// A network in which recomputing saves is offered it, alone and with the other ways, and taken at its word.
#[test]
fn a_bargain_recomputes_where_that_is_the_fastest_that_fits() {
    let target = Target::profile("webgpu-default").unwrap();
    let by_hand = residual();
    let layers = Training::new(stack(256, 16, Model::relu), Task::regression(256, 256), 256);
    for training in [layers, by_hand] {
        let front = training.front(&target, &Rates::assumed()).unwrap();
        let offer = front.iter().find(|offer| offer.way.recompute.is_some()).expect("it is offered");
        let memory = Some(plimsoll::bytes::Bytes(offer.bytes));
        let chosen = Training { memory, ..training.clone() }.bargain(&target).unwrap();
        assert!(chosen.fits() && chosen.training.way() == offer.way, "{:?}", chosen.training.way());
        // One that asks for it is never turned into one that recomputes less.
        let asked = training.clone().recompute(3);
        let offers = asked.offers(&target, &Rates::assumed()).unwrap();
        assert!(offers.iter().all(|offer| offer.way.recompute >= Some(3)));
    }
}
