//! Tables and series: cells are numbers, bits or classes or are refused with their line, and parts and windows have
//! the rows that they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::data::csv::{Missing, Wanted, parse};
use plimsoll::data::series::{Windows, windows};
use plimsoll::data::{Order, Predict, Target};
use plimsoll_fuzz::name;

fuzz_target!(|data: &[u8]| {
    let Some((&[kinds, inputs, targets, window, horizon, fractions], file)) = plimsoll_fuzz::split(data) else {
        return;
    };
    plimsoll_fuzz::within(file.len(), 256, || {
        // Columns are chosen from what the first line may be taken for; one more is never there.
        let first = String::from_utf8_lossy(file.split(|&byte| byte == b'\n').next().unwrap_or_default());
        let names: Vec<String> = first.split(',').map(|name| name.trim().to_string()).chain(["?".into()]).collect();
        let chosen = |bits: u8| {
            let names = names.iter().take(8).enumerate();
            names.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, name)| name.clone()).collect::<Vec<_>>()
        };
        let target = [Target::Number, Target::Class, Target::Bit][usize::from(kinds & 3) % 3];
        let missing = if kinds & 4 == 0 { Missing::Refuse } else { Missing::Ignore };
        let wanted = Wanted { inputs: chosen(inputs), targets: chosen(targets), target, missing };
        let Ok(table) = parse(file, name(), &wanted) else { return };
        assert_eq!(table.inputs.values.len(), table.rows * wanted.inputs.len());
        assert!(table.inputs.values.iter().all(|x| x.is_finite()));
        let order = if kinds & 8 == 0 { Order::Contiguous } else { Order::Shuffled { seed: 1 } };
        let (validation, test) = (f64::from(fractions & 15) / 16.0, f64::from(fractions >> 4) / 16.0);
        let (rows, standardise) = (table.rows, kinds & 16 == 0);
        if let Ok(prepared) = table.clone().prepare(validation, test, order, standardise) {
            let parts = &prepared.parts;
            assert_eq!(parts.train.len() + parts.validation.len() + parts.test.len(), rows);
        }
        let shape = Windows {
            window: usize::from(window),
            horizon: usize::from(horizon),
            predict: if kinds & 32 == 0 { Predict::Last } else { Predict::Each },
        };
        if let Ok(series) = windows(table, shape, validation, test, standardise) {
            let parts = &series.parts;
            assert!(parts.train.len() + parts.validation.len() + parts.test.len() <= rows);
        }
    });
});
