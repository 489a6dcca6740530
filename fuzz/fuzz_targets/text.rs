//! Texts, in every unit: decoding undoes encoding, and streams and windows stay within their text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::text::{Streams, Text, Unit};

fuzz_target!(|data: &[u8]| {
    let Some((&[unit, most, batch, window], bytes)) = plimsoll_fuzz::split(data) else { return };
    plimsoll_fuzz::within(bytes.len(), 64 + 2 * usize::from(batch), || {
        let unit = [Unit::Char, Unit::Byte, Unit::Word][usize::from(unit) % 3];
        let read = match unit {
            Unit::Word if most > 0 => Text::from_words(bytes, usize::from(most), "the input"),
            _ => Text::from_bytes(bytes, unit, "the input"),
        };
        let Ok(text) = read else { return };
        assert!(text.ids.iter().all(|&id| (id as usize) < text.vocabulary.len()));
        let decoded = text.vocabulary.decode(&text.ids);
        if unit != Unit::Word {
            assert_eq!(decoded, String::from_utf8_lossy(bytes));
        }
        if unit != Unit::Byte {
            assert_eq!(text.vocabulary.encode(&decoded).expect("its own text"), text.ids);
        }
        let (train, held_out) = text.split(0.25).expect("a fraction");
        assert_eq!(train.len() + held_out.len(), text.ids.len());
        let Ok(mut streams) = Streams::new(train.into(), batch.into(), window.into()) else { return };
        for _ in 0..streams.windows_per_pass().min(3) {
            let next = streams.next_window();
            assert_eq!(next.inputs.len(), usize::from(batch) * usize::from(window));
        }
    });
});
