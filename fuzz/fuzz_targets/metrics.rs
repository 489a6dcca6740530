//! `metrics.jsonl` as it is read when a run is taken up: what is kept is whole lines from its start, and keeping
//! again keeps the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::run::metrics::{Past, Written, kept};

fuzz_target!(|data: &[u8]| {
    let Some((head, lines)) = plimsoll_fuzz::split::<14>(data) else { return };
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| if i < 5 { head[at + i] } else { 0 }));
    let crc32 = u32::from_le_bytes([head[10], head[11], head[12], head[13]]);
    let (written, step) = (Written { bytes: number(0), crc32 }, number(5));
    plimsoll_fuzz::within(lines.len(), 64, || {
        let (found, as_it_was) = kept(lines, written, step);
        assert!(lines.starts_with(found));
        assert!(as_it_was || found.is_empty() || found.ends_with(b"\n"));
        if !as_it_was {
            assert_eq!(kept(found, written, step), (found, false));
        }
        let past = Past::of(found);
        assert!(past.losses.len() <= found.iter().filter(|&&byte| byte == b'\n').count() + 1);
    });
});
