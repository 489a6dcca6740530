//! Files that change while they are read, and files that unpack to more than they are: each is an error, and no more
//! memory is asked for than there are bytes.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use plimsoll::data::{idx, npy};
use plimsoll::storage::{StoredTensor, read_arrays, read_sealed, read_tensors, save_sealed};
use plimsoll::tensor::DType;

/// What is found of `bytes` when the file was said to have `said` bytes as it was opened.
type Read = fn(&[u8], u64) -> Result<(), String>;

fn outcome<T, E: ToString>(read: Result<T, E>) -> Result<(), String> {
    read.map(|_| ()).map_err(|error| error.to_string())
}

fn an_idx_file() -> Vec<u8> {
    let sizes = [3u32, 4].map(u32::to_be_bytes).concat();
    [&[0, 0, 8, 2][..], &sizes, &[7; 12]].concat()
}

fn an_npy_file() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
    let padded = format!("{header:<117}\n");
    let length = u16::try_from(padded.len()).unwrap().to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, padded.as_bytes(), &[0; 48]].concat()
}

fn a_sealed_file() -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("plimsoll-changing-{}.safetensors", std::process::id()));
    let tensor = StoredTensor { name: "w".into(), dtype: DType::F32, shape: vec![3, 4], bytes: vec![0; 48] };
    save_sealed(&path, &[tensor], &BTreeMap::new()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_an_error_or_is_what_it_was() {
    let path = Path::new("x");
    let kinds: [(&str, Vec<u8>, Read); 5] = [
        ("idx", an_idx_file(), |bytes, said| outcome(idx::parse(Cursor::new(bytes), Path::new("x"), said))),
        ("npy", an_npy_file(), |bytes, said| outcome(npy::parse(Cursor::new(bytes), Path::new("x"), said))),
        ("sealed", a_sealed_file(), |bytes, said| outcome(read_sealed(Path::new("x"), &mut Cursor::new(bytes), said))),
        ("tensors", a_sealed_file(), |bytes, said| {
            outcome(read_tensors(Path::new("x"), &mut Cursor::new(bytes), said))
        }),
        ("arrays", a_sealed_file(), |bytes, said| outcome(read_arrays(Path::new("x"), &mut Cursor::new(bytes), said))),
    ];
    for (kind, whole, read) in kinds {
        let said = whole.len() as u64;
        assert_eq!(read(&whole, said), Ok(()), "{kind}");
        for len in 0..whole.len() {
            let error = read(&whole[..len], said).expect_err("what is gone cannot be read");
            assert!(error.contains(&path.display().to_string()), "{kind} of {len} bytes: {error}");
        }
        // What was added since is no part of it, or it is told of.
        let grown = [&whole[..], &[9; 64]].concat();
        let found = read(&grown, said);
        assert!(found.is_ok() || found.is_err_and(|error| error.contains('x')), "{kind}");
        assert!(read(&whole, said / 2).is_err() || kind == "idx" || kind == "npy", "{kind}: half was said to be all");
    }
}

#[test]
fn a_few_bytes_that_unpack_to_many_are_refused_for_what_they_promise() {
    // A header of 2^40 bytes, and 16 MiB of zeros in some 16 KiB.
    let sizes = [1u32 << 20, 1 << 20].map(u32::to_be_bytes).concat();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&[&[0, 0, 8, 2][..], &sizes].concat()).unwrap();
    packed.write_all(&vec![0; 16 << 20]).unwrap();
    let bomb = packed.finish().unwrap();
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    let said = idx::parse(Cursor::new(&bomb), Path::new("bomb.gz"), bomb.len() as u64).unwrap_err().to_string();
    assert!(said.contains("bomb.gz") && said.contains("1099511627776"), "{said}");
}
