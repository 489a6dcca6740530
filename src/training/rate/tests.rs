//! Schedules against what PyTorch's do: `tests/golden/rules.json`, made by `make_rules.py` there.

use super::*;

const BASE: f32 = 0.25;

fn golden(name: &str, key: &str) -> Vec<f64> {
    let rules: serde_json::Value = serde_json::from_str(include_str!("../../../tests/golden/rules.json")).unwrap();
    rules["schedules"][name][key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn close(what: &str, found: f32, wanted: f64) {
    // Half a unit in the last place of f32.
    assert!((f64::from(found) - wanted).abs() <= 1e-7 * wanted.abs(), "{what}: {found}, PyTorch's {wanted}");
}

/// The cases of `make_rules.py` that know nothing of losses.
fn cases() -> Vec<(&'static str, Schedule)> {
    let Curve::OneCycle(one_cycle) = Curve::one_cycle(0.5, 20) else { unreachable!() };
    let linear = OneCycle { anneal: Anneal::Linear, div_factor: 4.0, final_div_factor: 8.0, ..one_cycle };
    let cosine = Curve::Cosine { steps: 10, eta_min: 0.0625 };
    vec![
        ("linear", Curve::Linear { start_factor: 0.25, end_factor: 0.75, steps: 7 }.into()),
        ("cosine", cosine.into()),
        ("step", Curve::Step { step_size: 3, gamma: 0.5 }.into()),
        ("exponential", Curve::Exponential { gamma: 0.75 }.into()),
        ("one_cycle", Curve::OneCycle(one_cycle).into()),
        ("one_cycle_linear", Curve::OneCycle(linear).into()),
        ("one_cycle_three_phase", Curve::OneCycle(OneCycle { three_phase: true, pct_start: 0.25, ..one_cycle }).into()),
        ("warmup_cosine", Schedule { warmup: 4, ..cosine.into() }),
    ]
}

#[test]
fn every_schedule_goes_as_in_pytorch() {
    for (name, schedule) in cases() {
        assert_eq!(schedule.check(Optimizer::sgd(BASE, 0.5)), Ok(()), "{name}");
        let momenta = golden(name, "momenta");
        for (step, (rate, momentum)) in golden(name, "rates").into_iter().zip(momenta).enumerate() {
            let found = schedule.at(step as u64, BASE, &PlateauState::default());
            close(&format!("{name}, step {step}"), found.learning_rate, rate);
            close(&format!("{name}, momentum of step {step}"), found.momentum.unwrap_or(0.5), momentum);
        }
    }
}

#[test]
fn a_plateau_lowers_the_step_size_as_in_pytorch_and_survives_being_saved() {
    let curve = Curve::Plateau { factor: 0.25, patience: 1, threshold: 0.01, cooldown: 2, min_lr: 0.005 };
    let (schedule, mut state) = (Schedule::from(curve), PlateauState::default());
    for (i, (loss, rate)) in golden("plateau", "losses").into_iter().zip(golden("plateau", "rates")).enumerate() {
        schedule.observe(&mut state, loss);
        state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        close(&format!("after loss {i}"), schedule.at(i as u64, BASE, &state).learning_rate, rate);
    }
    assert!(state.reductions > 2, "the case lowers it down to its least: {state:?}");
}

#[test]
fn a_loss_that_is_no_number_is_no_better_than_any() {
    let schedule = Schedule::from(Curve::plateau());
    let mut state = PlateauState::default();
    schedule.observe(&mut state, f64::NAN);
    schedule.observe(&mut state, f64::INFINITY);
    assert_eq!((state.best, state.bad), (None, 2));
}

#[test]
fn every_counts_updates_and_one_cycle_stays_at_its_end() {
    let state = PlateauState::default();
    let schedule = Schedule { every: 5, warmup: 2, ..Curve::Exponential { gamma: 0.5 }.into() };
    let rates = [0, 1, 2, 6, 7, 12].map(|step| schedule.at(step, 1.0, &state).learning_rate);
    assert_eq!(rates, [0.5, 1.0, 1.0, 1.0, 0.5, 0.25]);
    let cycle = Schedule::from(Curve::one_cycle(0.5, 20));
    assert_eq!(cycle.at(19, 1.0, &state), cycle.at(1000, 1.0, &state));
    for pct_start in [0.0, 1.0 / 20.0, 1.0] {
        let Curve::OneCycle(cycle) = cycle.curve else { unreachable!() };
        let odd = Schedule::from(Curve::OneCycle(OneCycle { pct_start, three_phase: pct_start < 1.0, ..cycle }));
        assert!((0..25).all(|step| odd.at(step, 1.0, &state).learning_rate.is_finite()), "{pct_start}");
    }
}

#[test]
fn warm_up_rises_to_the_optimizers_rate_whatever_the_schedule_begins_with() {
    let state = PlateauState::default();
    let schedule = Schedule { warmup: 4, ..Curve::one_cycle(0.5, 20).into() };
    let rates = [0, 1, 2, 3].map(|step| schedule.at(step, 1.0, &state));
    assert_eq!(rates.map(|r| r.learning_rate), [0.25, 0.5, 0.75, 1.0]);
    assert!(rates.iter().all(|r| r.momentum.is_none()), "the momentum is not cycled before the cycle: {rates:?}");
    assert_eq!(schedule.at(4, 1.0, &state), Schedule { warmup: 0, ..schedule }.at(0, 1.0, &state));
}

#[test]
fn settings_without_sense_are_refused_by_name() {
    let refusal = |curve: Curve, optimizer| Schedule::from(curve).check(optimizer).unwrap_err();
    let adam = Optimizer::adam(0.1);
    assert_eq!(
        refusal(Curve::Step { step_size: 0, gamma: 0.5 }, adam),
        "`step_size` of the schedule is 0 and must be at least 1"
    );
    assert_eq!(
        refusal(Curve::Exponential { gamma: f64::NAN }, adam),
        "`gamma` of the schedule is NaN and must be a number of at least 0"
    );
    let cycle = Curve::one_cycle(0.5, 20);
    assert_eq!(Schedule::from(cycle).check(adam), Ok(()));
    for optimizer in [Optimizer::sgd(0.1, 0.0), Optimizer::rmsprop(0.1), Optimizer::adagrad(0.1)] {
        assert!(refusal(cycle, optimizer).starts_with("`cycle_momentum` is true, but the optimizer has no momentum"));
    }
}
