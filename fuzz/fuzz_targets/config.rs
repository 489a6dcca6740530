//! `run.toml`: what is read and written back reads as the same; every mistake has a place in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::config::Config;

fuzz_target!(|data: &[u8]| {
    plimsoll_fuzz::within(data.len(), 256, || {
        let Ok(text) = std::str::from_utf8(data) else { return };
        match Config::from_toml(text, "run.toml") {
            Ok(config) => {
                let written = config.to_toml();
                let again = Config::from_toml(&written, "run.toml");
                assert_eq!(again.expect("what was written can be read"), config, "{written}");
            }
            Err(error) => {
                let lines = text.lines().count().max(1) + 1;
                assert!(!error.problems().is_empty());
                assert!(error.problems().iter().all(|p| (1..=lines).contains(&p.line) && p.column >= 1), "{error}");
                assert!(!error.to_string().is_empty());
            }
        }
    });
});
