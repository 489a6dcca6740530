//! minimalloc's CSV as `plimsoll pack` reads it: whatever the sizes, alignments and lives, places are found that the
//! judge accepts, more effort finds no worse, and the file that is written has them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::data::buffers::parse;
use plimsoll::plan::place::{Packer, judge};
use plimsoll_fuzz::name;

fuzz_target!(|data: &[u8]| {
    plimsoll_fuzz::within(data.len(), 1024, || {
        let Ok(buffers) = parse(data, name()) else { return };
        let mut packer = Packer::aligned(&buffers.intervals, &buffers.aligns);
        let quick = packer.packing();
        packer.improve(20);
        let packing = packer.packing();
        assert!(packing.arena_bytes <= quick.arena_bytes && packer.proved_bytes() <= packing.arena_bytes);
        assert!(packing.lower_bound_bytes <= packer.proved_bytes());
        judge(&buffers.intervals, &buffers.aligns, &packing.placements, packing.arena_bytes).expect("no clash");
        if let Some(given) = &buffers.given {
            let end = given.iter().map(|at| at.offset.saturating_add(at.bytes)).max().unwrap_or(0);
            if let Err(clash) = judge(&buffers.intervals, &buffers.aligns, given, end) {
                assert!(!buffers.describe(&clash).is_empty());
            }
        }
        let written = buffers.with_offsets(&packing.placements);
        let again = parse(&written[..], name()).expect("what was written can be read");
        assert_eq!((&again.intervals, &again.aligns), (&buffers.intervals, &buffers.aligns));
        assert_eq!(again.given, Some(packing.placements));
    });
});
