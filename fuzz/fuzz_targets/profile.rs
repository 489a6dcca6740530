//! Device profiles: what is read and written back reads as the same, and for whatever device a small run is planned
//! without a fault, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::nn::{Model, Task};
use plimsoll::run::PlanReport;
use plimsoll::target::Target;
use plimsoll::{Error, Training};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let target = plimsoll_fuzz::within(data.len(), 128, || {
        let target = Target::from_json(text, "the input").ok()?;
        let written = serde_json::to_string(&target).expect("numbers can be written");
        assert_eq!(Target::from_json(&written, "the input").expect("what was written"), target);
        Some(target)
    });
    let Some(target) = target else { return };
    let model = Model::new().embedding(4).rnn(5).output();
    match Training::new(model, Task::next_token(7), 3).window(2).plan(&target) {
        Ok(planned) => {
            planned.plan.replay().expect("a plan has no fault");
            let report = PlanReport::new(&planned);
            assert_eq!(report.fits, report.violations.is_empty());
        }
        Err(error @ (Error::Fault(_) | Error::Clash(_))) => panic!("{error}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
