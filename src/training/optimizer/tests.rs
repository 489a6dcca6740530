//! Optimizers against what PyTorch's do: `tests/golden/rules.json`, made by `make_rules.py` there.

use super::*;
use crate::ops::Lowering;
use crate::target::Target;
use crate::tensor::TensorType;
use crate::training::rate::{Curve, PlateauState, Schedule};

fn golden(name: &str) -> Vec<Vec<f64>> {
    let rules: serde_json::Value = serde_json::from_str(include_str!("../../../tests/golden/rules.json")).unwrap();
    serde_json::from_value(rules["optimizers"][name].clone()).unwrap()
}

/// Steps along the recorded gradients, by the op's reference.
fn follow(name: &str, optimizer: Optimizer, schedule: Schedule) {
    assert_eq!(optimizer.check(), Ok(()), "{name}");
    let rules: serde_json::Value = serde_json::from_str(include_str!("../../../tests/golden/rules.json")).unwrap();
    let mut w: Vec<f64> = serde_json::from_value(rules["optimizers"]["start"].clone()).unwrap();
    let mut state = vec![vec![f64::from(optimizer.initial_state()); 4]; optimizer.state().len()];
    let (op, norm) = (optimizer.op(None, Vec::new()), [1.0, 1.0]);
    let types: Vec<TensorType> =
        [4, 4, 8, 2].into_iter().chain(state.iter().map(|_| 4)).map(|n| TensorType::f32(&[n])).collect();
    let outputs = op.rule().outputs(&types).unwrap();
    let target = Target::profile("webgpu-default").unwrap();
    let wanted = vec![true; outputs.len()];
    let at = Lowering { inputs: &types, outputs: &outputs, wanted: &wanted, target: &target };
    for (step, (g, after)) in (1u64..).zip(golden("gradients").iter().zip(golden(name))) {
        let rate = schedule.at(step - 1, optimizer.learning_rate(), &PlateauState::default());
        let scalars = optimizer.scalars(step, rate.learning_rate, rate.momentum).map(f64::from);
        let mut inputs: Vec<&[f64]> = vec![&w, g, &scalars, &norm];
        inputs.extend(state.iter().map(Vec::as_slice));
        let mut made = op.rule().reference(&inputs, &at).into_iter();
        w = made.next().unwrap();
        state = made.collect();
        for (found, wanted) in w.iter().zip(&after) {
            // The scalars are rounded to f32.
            assert!((found - wanted).abs() < 1e-6, "{name}, step {step}: {found}, PyTorch's {wanted}");
        }
    }
}

#[test]
fn every_optimizer_steps_as_in_pytorch() {
    let (learning_rate, eps, weight_decay, betas) = (0.1, 0.0625, 0.25, [0.75, 0.875]);
    let sgd =
        |momentum, dampening, nesterov| Optimizer::Sgd { learning_rate, momentum, dampening, nesterov, weight_decay };
    let rmsprop =
        |momentum, centered| Optimizer::RmsProp { learning_rate, alpha: 0.75, eps, momentum, centered, weight_decay };
    let adagrad =
        Optimizer::Adagrad { learning_rate, lr_decay: 0.5, eps, initial_accumulator_value: 0.125, weight_decay };
    let adamw = Optimizer::AdamW { learning_rate, betas, eps, weight_decay };
    let cases = [
        ("sgd", sgd(0.0, 0.0, false)),
        ("sgd_dampened", sgd(0.75, 0.5, false)),
        ("sgd_nesterov", sgd(0.75, 0.0, true)),
        ("adam", Optimizer::Adam { learning_rate, betas, eps, weight_decay }),
        ("adamw", adamw),
        ("rmsprop", rmsprop(0.0, false)),
        ("rmsprop_centered", rmsprop(0.5, true)),
        ("adagrad", adagrad),
    ];
    for (name, optimizer) in cases {
        follow(name, optimizer, Schedule::default());
    }
    follow("adamw_one_cycle", adamw, Curve::one_cycle(0.5, 7).into());
}

#[test]
fn settings_without_sense_are_refused_by_name() {
    let nesterov =
        Optimizer::Sgd { learning_rate: 0.1, momentum: 0.0, dampening: 0.0, nesterov: true, weight_decay: 0.0 };
    assert_eq!(nesterov.check().unwrap_err(), "`nesterov` needs a `momentum` above 0 and no `dampening`");
    let wrong = Optimizer::Adam { learning_rate: 0.1, betas: [0.9, 1.0], eps: 1e-8, weight_decay: 0.0 };
    assert_eq!(wrong.check().unwrap_err(), "`betas` is 1 and must be at least 0 and below 1, both");
    assert_eq!(
        Optimizer::adagrad(f32::NAN).check().unwrap_err(),
        "`learning_rate` is NaN and must be a number of at least 0"
    );
}
