//! `.npz` files, and the examples that their arrays are taken for.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use plimsoll::data::arrays::{Wanted, examples};
use plimsoll::data::npy::Npz;
use plimsoll::data::{Array, Order, Predict, Target};
use plimsoll_fuzz::name;

/// As of IDX files; of the arrays that are wanted, several are there at once.
const PER_BYTE: usize = 1032 * 32;

fuzz_target!(|data: &[u8]| {
    let Some((&[kinds, vocabulary], file)) = plimsoll_fuzz::split(data) else { return };
    plimsoll_fuzz::within(file.len(), PER_BYTE, || {
        let Ok(mut npz) = Npz::parse(Cursor::new(file), name(), file.len() as u64) else { return };
        let mut arrays: Vec<(String, Array)> = Vec::new();
        for name in npz.names().into_iter().take(4) {
            if let Ok(array) = npz.array(&name) {
                assert_eq!(array.shape.iter().product::<usize>(), array.elements.len());
                arrays.push((name, array));
            }
        }
        let [inputs, targets, rest @ ..] = &arrays[..] else { return };
        let wanted = Wanted {
            inputs: inputs.0.clone(),
            targets: targets.0.clone(),
            lengths: rest.first().map(|(name, _)| name.clone()),
            target: [Target::Number, Target::Class, Target::Bit][usize::from(kinds & 3) % 3],
            vocabulary: (vocabulary > 0).then_some(u32::from(vocabulary)),
            classes: (kinds & 4 > 0).then_some(u32::from(kinds >> 4)),
            predict: [None, Some(Predict::Each), Some(Predict::Last)][usize::from(kinds >> 3 & 3) % 3],
        };
        let count = inputs.1.shape.first().copied();
        let arrays = arrays.into_iter().map(|(_, array)| array).take(wanted.names().count()).collect();
        let Ok(examples) = examples("the input", arrays, &wanted) else { return };
        assert_eq!(Some(examples.len()), count);
        if let Ok(parts) = examples.split(0.25, 0.25, Order::Shuffled { seed: 1 }) {
            assert_eq!(parts.train.len() + parts.validation.len() + parts.test.len(), examples.len());
        }
    });
});
