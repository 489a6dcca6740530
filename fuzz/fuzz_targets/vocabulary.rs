//! `vocabulary.json`: what is read and written back reads as the same, and a prompt is encoded or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::text::{Unit, Vocabulary};

fuzz_target!(|data: &[u8]| {
    // What follows a zero is a prompt.
    let at = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let (json, prompt) = data.split_at(at);
    plimsoll_fuzz::within(data.len(), 128, || {
        let Ok(vocabulary) = serde_json::from_slice::<Vocabulary>(json) else { return };
        assert!(!vocabulary.is_empty());
        let written = serde_json::to_vec(&vocabulary).expect("words can be written");
        assert_eq!(serde_json::from_slice::<Vocabulary>(&written).expect("what was written"), vocabulary);
        let Ok(ids) = vocabulary.encode(prompt) else { return };
        let decoded = vocabulary.decode(&ids);
        if vocabulary.unit() == Unit::Char {
            assert_eq!(decoded.as_bytes(), prompt);
        }
        let _ = vocabulary.decode(&[u32::MAX, 0]);
    });
});
