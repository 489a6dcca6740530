//! A step whose loss or gradients are not finite changes nothing, whatever the optimizer; the run stops there or
//! goes on as if it had not been, and is told where in the step that began.

#[path = "common/sessions.rs"]
mod sessions;

use plimsoll::nn::{Cell, Model, Recurrent, Task};
use plimsoll::ops::Function;
use plimsoll::training::{Batch, NonFinite, Optimizer, Origin, Session, Training};

use sessions::{device, file, noise, on_host, optimizers, parameter_bits, parameters, run};

const ROWS: u32 = 3;
const WIDTH: u32 = 5;

/// A perceptron `l1`, relu, `l2`.
fn perceptron(policy: Option<NonFinite>, optimizer: Optimizer) -> Training {
    let model = Model::new().linear(6).relu().output();
    let whole = Training::new(model, Task::regression(WIDTH, 2), ROWS);
    Training { optimizer, report_every: 1, non_finite: policy, ..whole }
}

fn sgd() -> Optimizer {
    Optimizer::sgd(0.1, 0.9)
}

fn batch(kind: u32) -> Batch {
    Batch::numbers(noise((ROWS * WIDTH) as usize, kind), noise((ROWS * 2) as usize, 100 + kind))
}

/// The same with a number in the inputs that spoils all.
fn spoilt(kind: u32, with: f32) -> Batch {
    let mut inputs = noise((ROWS * WIDTH) as usize, kind);
    inputs[(WIDTH + 2) as usize] = with;
    Batch::numbers(inputs, noise((ROWS * 2) as usize, 100 + kind))
}

#[test]
fn a_run_that_stops_keeps_what_it_had_before_the_step_whatever_comes_after() {
    let device = device();
    for optimizer in optimizers() {
        for bad in [f32::NAN, f32::INFINITY, 1e30] {
            let training = perceptron(None, optimizer);
            let mut session = Session::new(&training, &device).unwrap();
            run(&mut session, &[batch(0), batch(1)]);
            let before = session.capture().unwrap();
            let reports = run(&mut session, &[spoilt(2, bad), batch(3), batch(4)]);
            assert!(reports.iter().all(|r| r.skipped), "{optimizer:?}");
            assert!(!reports[0].loss.is_finite() || !reports[0].grad_norm.is_finite());
            let after = session.capture().unwrap();
            for (is, was) in after.tensors.iter().zip(&before.tensors) {
                // The count of steps goes on.
                assert!(is == was || is.name.ends_with("loss scaler"), "{optimizer:?}: {}", is.name);
            }
        }
    }
}

/// Such a decay goes by steps, as schedules do, and counts those that were skipped.
fn without_decay_of_the_rate(optimizer: Optimizer) -> Optimizer {
    match optimizer {
        Optimizer::Adagrad { learning_rate, weight_decay, initial_accumulator_value, eps, .. } => {
            Optimizer::Adagrad { learning_rate, lr_decay: 0.0, weight_decay, initial_accumulator_value, eps }
        }
        other => other,
    }
}

#[test]
fn a_run_that_skips_goes_on_as_if_the_step_had_not_been() {
    let device = device();
    for optimizer in optimizers().into_iter().map(without_decay_of_the_rate) {
        let training = perceptron(Some(NonFinite::Skip), optimizer);
        let mut clean = Session::new(&training, &device).unwrap();
        let wanted = run(&mut clean, &[batch(0), batch(3), batch(4)]);
        let mut session = Session::new(&training, &device).unwrap();
        let reports = run(&mut session, &[spoilt(9, f32::NAN), batch(0), spoilt(2, f32::INFINITY), batch(3), batch(4)]);
        let skipped: Vec<bool> = reports.iter().map(|r| r.skipped).collect();
        assert_eq!(skipped, [true, false, true, false, false], "{optimizer:?}");
        assert_eq!(reports[4].skipped_so_far, 2);
        let losses = |all: &[plimsoll::training::StepReport]| -> Vec<u32> {
            all.iter().filter(|r| !r.skipped).map(|r| r.loss.to_bits()).collect()
        };
        assert_eq!(losses(&reports), losses(&wanted), "{optimizer:?}");
        assert_eq!(parameter_bits(&mut session), parameter_bits(&mut clean), "{optimizer:?}");
    }
}

/// Adam corrects its moments on the device where steps may be skipped, on the host where not.
#[test]
fn a_run_that_may_skip_and_has_no_cause_to_is_like_one_that_may_not() {
    let device = device();
    let batches: Vec<Batch> = (0..30).map(batch).collect();
    let [may, may_not] = [Some(NonFinite::Skip), None].map(|policy| {
        let mut session = Session::new(&perceptron(policy, Optimizer::default()), &device).unwrap();
        run(&mut session, &batches).last().unwrap().loss
    });
    assert!((may - may_not).abs() < 1e-5 * may_not.abs(), "{may} {may_not}");
}

#[test]
fn a_carried_state_that_was_spoilt_does_not_spoil_what_comes_after() {
    let device = device();
    for cell in [Cell::Rnn(Function::Relu), Cell::Lstm] {
        let model = Model::new().recurrent(Recurrent::new(cell, 4)).output();
        let task = Task::regression(2, 1).each_step();
        let whole = Training::new(model, task, 2).window(3);
        let training = Training { carry_state: true, report_every: 1, non_finite: Some(NonFinite::Skip), ..whole };
        let of = |kind: u32, bad: Option<f32>| {
            let mut inputs = noise(12, kind);
            bad.into_iter().for_each(|x| inputs[11] = x);
            Batch::numbers(inputs, noise(6, 50 + kind))
        };
        let batches = [of(0, None), of(1, Some(f32::NAN)), of(2, None), of(3, None)];
        for mut session in [Session::new(&training, &device).unwrap(), on_host(&training)] {
            let reports = run(&mut session, &batches);
            let skipped: Vec<bool> = reports.iter().map(|r| r.skipped).collect();
            assert_eq!(skipped, [false, true, false, false], "{cell:?}: {reports:?}");
            assert!(session.state().unwrap().iter().all(|(_, numbers)| numbers.iter().all(|x| x.is_finite())));
        }
    }
}

/// Sets these parameters to one number each, makes a step of `batch`, and says where it finds the fault.
fn origin(of: &[(&str, f32)], targets: f32, input: f32, on_device: bool) -> Option<Origin> {
    let training = perceptron(None, sgd());
    let device = device();
    let mut session = if on_device { Session::new(&training, &device).unwrap() } else { on_host(&training) };
    let changed = file(&mut session, |name, numbers| {
        of.iter().filter(|(of, _)| *of == name).for_each(|(_, x)| numbers.fill(*x));
    });
    session.load(&changed).unwrap();
    let batch = Batch::numbers(vec![input; (ROWS * WIDTH) as usize], vec![targets; (ROWS * 2) as usize]);
    let reports = run(&mut session, std::slice::from_ref(&batch));
    let before = session.capture().unwrap();
    let found = session.find_non_finite(1, &batch).unwrap();
    assert_eq!(session.capture().unwrap(), before, "looking changes nothing");
    assert_eq!(found.is_some(), reports[0].skipped, "{reports:?}");
    found
}

#[test]
fn where_it_began_is_told() {
    for on_device in [true, false] {
        let origin = |of: &[(&str, f32)], targets, input| origin(of, targets, input, on_device);
        let layer = |layer: &str, op, backward| Some(Origin::Layer { layer: layer.into(), op, backward });
        let [w1, b1, w2, b2] = ["linear.weight", "linear.bias", "linear_2.weight", "linear_2.bias"];
        let finite = [(w1, 0.1), (b1, 0.1), (w2, 0.1), (b2, 0.1)];
        assert_eq!(origin(&finite, 0.5, 1.0), None);
        // What is handed in, then parameters, then layers in order.
        let field = Origin::Batch { field: "inputs".into(), row: 0 };
        assert_eq!(origin(&finite, 0.5, f32::NAN), Some(field));
        let parameter = Origin::Parameter { name: w2.into() };
        assert_eq!(origin(&[(w1, 3e38), (w2, f32::INFINITY)], 0.5, 1.0), Some(parameter));
        assert_eq!(origin(&[(w1, 3e38), (w2, 3e38)], 0.5, 1.0), layer("linear", "matmul", false));
        assert_eq!(origin(&[(w1, 1e20), (b1, 0.0), (w2, 1e20)], 0.5, 1.0), layer("linear_2", "matmul", false));
        assert_eq!(origin(&[(w1, 0.1), (w2, 0.1)], 1e30, 1.0), layer("loss", "squared error", false));
        // All is finite on the way there, and a product on the way back is not.
        let tiny = [(w1, 1e-30), (b1, 0.0), (w2, 1.0), (b2, 0.0)];
        assert_eq!(origin(&tiny, 1e15, 1e30), layer("linear", "matmul", true));
        // Each gradient is finite, and the sum of their squares is not.
        let norm = Origin::Norm { longest: w1.into() };
        assert_eq!(origin(&tiny, 1e10, 1e13), Some(norm));
    }
}

#[test]
fn looking_for_it_wants_all_steps_reported() {
    let training = Training { report_every: 10, ..perceptron(None, sgd()) };
    let mut session = on_host(&training);
    session.step(&batch(0)).unwrap();
    let refused = session.find_non_finite(1, &batch(0)).unwrap_err().to_string();
    assert!(refused.contains("finish"), "{refused}");
    session.finish().unwrap();
    assert_eq!(session.find_non_finite(1, &batch(0)).unwrap(), None);
    assert!(parameters(&mut session).values().flatten().all(|x| x.is_finite()));
}
