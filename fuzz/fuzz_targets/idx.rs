//! IDX files, plain and gzipped: an array has as many elements as its shape says, and the same file packed is the
//! same array. No more is unpacked than the header says.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use plimsoll::data::idx::parse;
use plimsoll_fuzz::name;

/// Deflate packs zeros to a thousandth, a byte may become an `i64`, and a vector that grows is there twice.
const PER_BYTE: usize = 1032 * (8 + 3);

fuzz_target!(|data: &[u8]| {
    let per_byte = if data.starts_with(&[0x1F, 0x8B]) { PER_BYTE } else { 64 };
    let array = plimsoll_fuzz::within(data.len(), per_byte, || parse(data, name(), data.len() as u64));
    let Ok(array) = array else { return };
    assert_eq!(array.shape.iter().product::<usize>(), array.elements.len());
    if per_byte == 64 {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(data).expect("a vector takes all");
        let packed = packed.finish().expect("a vector takes all");
        let again = parse(&*packed, name(), packed.len() as u64).expect("the same file, packed");
        // NaN is not equal to itself, and is printed.
        assert_eq!(format!("{again:?}"), format!("{array:?}"));
    }
});
