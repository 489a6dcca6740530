//! Arrays as NumPy writes them, and damaged ones.

use super::*;
use crate::storage::tests::Scratch;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A `.npy` file of that version.
pub(in crate::data) fn file(version: u8, descr: &str, fortran: bool, shape: &str, elements: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let len = u32::try_from(header.len()).unwrap().to_le_bytes();
    let len = if version == 1 { &len[..2] } else { &len[..] };
    [b"\x93NUMPY", &[version, 0][..], len, header.as_bytes(), elements].concat()
}

/// A `.npz` file.
pub(in crate::data) fn npz(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn load(bytes: &[u8]) -> Result<Array, DataError> {
    let folder = Scratch::new();
    std::fs::write(folder.path("x.npy"), bytes).unwrap();
    read(&folder.path("x.npy"))
}

fn load_from(bytes: &[u8], name: &str) -> Result<Array, DataError> {
    let folder = Scratch::new();
    std::fs::write(folder.path("x.npz"), bytes).unwrap();
    Npz::open(&folder.path("x.npz"))?.array(name)
}

#[test]
fn every_type_and_every_version_is_read() {
    let cases = [
        ("<f4", [1.5f32, -2.0].map(f32::to_le_bytes).concat(), Elements::F32(vec![1.5, -2.0])),
        ("<f8", [1.5f64, -2.0].map(f64::to_le_bytes).concat(), Elements::F32(vec![1.5, -2.0])),
        ("<i4", [7i32, -1].map(i32::to_le_bytes).concat(), Elements::I64(vec![7, -1])),
        ("<i8", [7i64, -1].map(i64::to_le_bytes).concat(), Elements::I64(vec![7, -1])),
        ("|u1", vec![7, 255], Elements::U8(vec![7, 255])),
        ("|b1", vec![0, 1], Elements::U8(vec![0, 1])),
    ];
    for (version, (descr, bytes, elements)) in (1..=3).cycle().zip(cases) {
        let array = load(&file(version, descr, false, "(2,)", &bytes)).unwrap();
        assert_eq!(array, Array { shape: vec![2], elements });
    }
    assert_eq!(load(&file(1, "|u1", false, "()", &[3])).unwrap().shape, [0usize; 0]);
    assert!(load(&file(1, "|u1", false, "(0, 3)", &[])).unwrap().elements.is_empty());
}

#[test]
fn fortrans_order_becomes_cs() {
    // The places 0 to 23 of a (2, 3, 4) array, its first dimension innermost.
    let place = |i: u8| [i % 2, i / 2 % 3, i / 6];
    let bytes: Vec<u8> = (0..24).map(|i| place(i)[0] * 12 + place(i)[1] * 4 + place(i)[2]).collect();
    let array = load(&file(1, "|u1", true, "(2, 3, 4)", &bytes)).unwrap();
    assert_eq!(array, Array { shape: vec![2, 3, 4], elements: Elements::U8((0..24).collect()) });
}

#[test]
fn a_file_cut_short_or_lengthened_anywhere_is_an_error() {
    let whole = file(2, "<f4", false, "(2,)", &[0; 8]);
    for len in 0..whole.len() {
        assert!(matches!(load(&whole[..len]), Err(DataError::Fault(_))), "{len}");
    }
    assert!(load(&[&whole[..], &[0]].concat()).is_err());
}

#[test]
fn what_cannot_be_read_is_refused_with_a_way_out() {
    for (bytes, wanted) in [
        (file(1, ">f4", false, "(1,)", &[0; 4]), "elements of type >f4"),
        (file(1, "|O", false, "(1,)", &[0; 4]), "astype(\"float32\")"),
        (file(4, "<f4", false, "(1,)", &[0; 4]), "version 4"),
        (file(1, "<f4", false, "(4294967296, 4294967296)", &[]), "no more than the file can hold"),
        (file(1, "<f4", false, "(1000000000,)", &[0; 4]), "the shape [1000000000]"),
        (file(1, "<f4", false, "(1,)", &[0; 3]), "found 3 bytes of elements, wanted 4"),
        (b"\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{".to_vec(), "a header of 4294967295 bytes"),
        (b"hello, world".to_vec(), "a .npy file"),
    ] {
        let said = load(&bytes).unwrap_err().to_string();
        assert!(said.contains("x.npy") && said.contains(wanted), "{said}");
    }
}

#[test]
fn arrays_of_an_npz_are_read_by_name_stored_or_deflated() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let arrays = [("x", file(1, "|u1", false, "(2,)", &[1, 2])), ("labels", file(1, "|u1", false, "(1,)", &[3]))];
        let bytes = npz(&arrays, method);
        assert_eq!(load_from(&bytes, "labels").unwrap().elements, Elements::U8(vec![3]));
        let said = load_from(&bytes, "label").unwrap_err().to_string();
        assert!(said.contains("did you mean `labels`? there are `labels`, `x`"), "{said}");
    }
}

#[test]
fn a_damaged_npz_is_an_error_or_what_it_was_and_never_a_panic() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let whole = npz(&[("x", file(1, "|u1", false, "(20,)", &[7; 20]))], method);
        for i in 0..whole.len() {
            assert!(load_from(&whole[..i], "x").is_err(), "cut at {i}");
            for change in [1, 0x80] {
                let mut damaged = whole.clone();
                damaged[i] ^= change;
                if let Ok(array) = load_from(&damaged, "x") {
                    assert_eq!(array.elements, Elements::U8(vec![7; 20]), "byte {i}");
                }
            }
        }
    }
}

#[test]
fn an_npz_is_unpacked_no_further_than_its_headers_say() {
    let bomb = npz(&[("x", file(1, "|u1", false, "(10,)", &[0; 1_000_000]))], CompressionMethod::Deflated);
    assert!(bomb.len() < 3_000);
    let said = load_from(&bomb, "x").unwrap_err().to_string();
    assert!(said.contains("array `x`: found more bytes of elements, wanted 10"), "{said}");
    let huge = npz(&[("x", file(1, "|u1", false, "(1000000000,)", &[0; 9]))], CompressionMethod::Deflated);
    assert!(load_from(&huge, "x").unwrap_err().to_string().contains("no more than the file can hold"));
}
