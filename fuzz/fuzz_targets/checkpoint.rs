//! Checkpoints: nothing is taken whose checksum is wrong. With the right one put in, what is read and written back
//! reads as the same, and what it says of itself is read or refused.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plimsoll::config::Config;
use plimsoll::run::checkpoint::Checkpoint;
use plimsoll::storage::{SealedFile, load_sealed, read_sealed, save_sealed};
use plimsoll_fuzz::{folder, name, nothing_but};

const BEFORE_DIGITS: &[u8] = b"\"checksum\":\"";
const DIGITS: usize = 8;

fuzz_target!(|data: &[u8]| {
    plimsoll_fuzz::within(data.len(), 64, || {
        let sealed = seal(data);
        if let Some((sealed, digits)) = &sealed
            && sealed != data
            && read(data).is_ok()
        {
            panic!("a file was taken whose checksum should be {digits}");
        }
        let sealed = sealed.map_or_else(|| data.to_vec(), |(sealed, _)| sealed);
        let Ok(file) = read(&sealed) else { return };
        let path = folder().join("x");
        let tensors: Vec<_> = file.tensors.values().cloned().collect();
        save_sealed(&path, &tensors, &file.metadata).expect("what was read can be written");
        let again = load_sealed(&path).expect("what was written can be read");
        assert_eq!(again.tensors, file.tensors);
        // The writer adds an entry for other readers of the format.
        let others = |file: &SealedFile| {
            let mut metadata = file.metadata.clone();
            metadata.remove("format");
            metadata
        };
        assert_eq!(others(&again), others(&file));
        nothing_but(&["x"]);
        if let Ok(checkpoint) = Checkpoint::of(file, Path::new("the input")) {
            let _ = Config::from_toml(&checkpoint.about.config, "the checkpoint's run file");
        }
    });
});

fn read(data: &[u8]) -> Result<SealedFile, plimsoll::storage::StorageError> {
    read_sealed(name(), &mut &*data, data.len() as u64)
}

/// The file with the checksum it should have, if it has a place for one within its header; and that checksum.
fn seal(data: &[u8]) -> Option<(Vec<u8>, String)> {
    let (length, _) = data.split_first_chunk()?;
    let header = data.get(8..)?.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    // After an escaped quote it would be the end of another name.
    let stands = |at: &usize| header[*at..].starts_with(BEFORE_DIGITS) && (*at == 0 || header[at - 1] != b'\\');
    let at = 8 + (0..header.len()).find(stands)? + BEFORE_DIGITS.len();
    let mut sealed = data.to_vec();
    sealed.get_mut(at..at + DIGITS)?.copy_from_slice(&[b'0'; DIGITS]);
    let digits = format!("{:08x}", crc32(&sealed));
    sealed[at..at + DIGITS].copy_from_slice(digits.as_bytes());
    Some((sealed, digits))
}

/// IEEE 802.3, bit by bit: written without a look at how the library does it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}
