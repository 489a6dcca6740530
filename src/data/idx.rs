//! IDX files, the format of MNIST, plain or gzipped.
//!
//! ```text
//! 0 0 | type | dimensions D | D sizes, 32 bits each | elements, all big-endian
//!       08 u8  09 i8  0B i16  0C i32  0D f32  0E f64
//! ```

use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::array::{Array, Elements, count, inflated, is_damage, read_up_to};
use super::error::{DataError, open_to_hold};

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1F, 0x8B];
/// Dimensions that an array may have.
const MOST_DIMENSIONS: u8 = 8;
/// What to do about a damaged file.
const FETCH: &str = "fetch the file again";

/// Reads an IDX file; one that begins as gzip does is unpacked. Integers of 16 and 32 bits become
/// 64 bits, and floats 32.
///
/// # Errors
/// [`DataError::Storage`] if the file cannot be read; a [`DataError::Fault`] if it is no IDX file,
/// is cut short or goes on after its last element, or promises more than such a file can hold: no
/// memory is asked for that the file does not fill.
pub fn read(path: &Path) -> Result<Array, DataError> {
    let (file, file_bytes) = open_to_hold(path)?;
    parse(file, path, file_bytes)
}

/// [`read`], of anything that has `file_bytes` bytes; errors call it `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(mut file: impl Read, path: &Path, file_bytes: u64) -> Result<Array, DataError> {
    let name = path.display().to_string();
    let failed = |source| DataError::unreadable(path, source);
    let mut start = Vec::new();
    file.by_ref().take(GZIP.len() as u64).read_to_end(&mut start).map_err(failed)?;
    let zipped = start == GZIP;
    let whole = BufReader::new(Cursor::new(start).chain(file));
    let (array, most_bytes) = match zipped {
        true => (Box::new(MultiGzDecoder::new(whole)) as Box<dyn Read + '_>, inflated(file_bytes)),
        false => (Box::new(whole) as Box<dyn Read + '_>, file_bytes),
    };
    unpacked(array, &name, most_bytes).map_err(|error| match error {
        Trouble::Fault(error) => error,
        Trouble::Io(source) if zipped && is_damage(&source) => {
            DataError::fault(&name, "", format!("damage ({source})"), "a whole gzip file", FETCH)
        }
        Trouble::Io(source) => failed(source),
    })
}

enum Trouble {
    Io(std::io::Error),
    Fault(DataError),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

/// The array of `file`, which cannot have more than `most_bytes`.
fn unpacked(mut file: impl Read, name: &str, most_bytes: u64) -> Result<Array, Trouble> {
    let refuse =
        |place: &str, found: String, wanted: &str| Trouble::Fault(DataError::fault(name, place, found, wanted, FETCH));
    let start = read_exactly(&mut file, 4)?;
    let &[0, 0, kind, dimensions] = start.as_slice() else {
        return Err(refuse("byte 0", format!("{start:02X?}"), "an IDX file, which begins with two zeros"));
    };
    let element_bytes: u64 = match kind {
        0x08 | 0x09 => 1,
        0x0B => 2,
        0x0C | 0x0D => 4,
        0x0E => 8,
        _ => return Err(refuse("byte 2", format!("{kind:02X}"), "a type: 08, 09, 0B, 0C, 0D or 0E")),
    };
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(refuse("byte 3", format!("{dimensions} dimensions"), "at least 1 and at most 8"));
    }
    let header = read_exactly(&mut file, usize::from(dimensions) * 4)?;
    if header.len() < usize::from(dimensions) * 4 {
        return Err(refuse("", "a file cut short in its header".into(), "a whole IDX file"));
    }
    let shape: Vec<usize> = header.as_chunks::<4>().0.iter().map(|&size| u32::from_be_bytes(size) as usize).collect();
    let wanted = count(&shape).and_then(|count| (count as u64).checked_mul(element_bytes));
    let promised = wanted.map_or_else(|| "more bytes than can be counted".into(), |bytes| format!("{bytes} bytes"));
    let Some(bytes) = wanted.filter(|&bytes| bytes <= most_bytes) else {
        return Err(refuse("", format!("a header that promises {promised}"), "no more than the file can hold"));
    };
    let elements = read_up_to(&mut file, bytes)?;
    match (elements.len() as u64).cmp(&bytes) {
        std::cmp::Ordering::Equal => Ok(Array { shape, elements: decode(kind, elements) }),
        std::cmp::Ordering::Less => {
            Err(refuse("", format!("{} bytes of elements", elements.len()), &format!("{promised}, as its header says")))
        }
        std::cmp::Ordering::Greater => Err(refuse("", "more bytes".into(), &format!("{promised}, as its header says"))),
    }
}

/// The next `len` bytes, or all that there are.
fn read_exactly(file: &mut impl Read, len: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    file.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest `f32`")]
fn decode(kind: u8, bytes: Vec<u8>) -> Elements {
    let twos = || bytes.as_chunks::<2>().0.iter();
    let fours = || bytes.as_chunks::<4>().0.iter();
    let eights = || bytes.as_chunks::<8>().0.iter();
    match kind {
        0x08 => Elements::U8(bytes),
        0x09 => Elements::I64(bytes.iter().map(|&x| i64::from(x.cast_signed())).collect()),
        0x0B => Elements::I64(twos().map(|&x| i64::from(i16::from_be_bytes(x))).collect()),
        0x0C => Elements::I64(fours().map(|&x| i64::from(i32::from_be_bytes(x))).collect()),
        0x0D => Elements::F32(fours().map(|&x| f32::from_be_bytes(x)).collect()),
        0x0E => Elements::F32(eights().map(|&x| f64::from_be_bytes(x) as f32).collect()),
        other => unreachable!("`unpacked` refuses the type {other:02X}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::storage::tests::Scratch;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    /// An IDX file.
    pub(in crate::data) fn file(kind: u8, sizes: &[u32], elements: &[u8]) -> Vec<u8> {
        let sizes_bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        [&[0, 0, kind, u8::try_from(sizes.len()).unwrap()], &sizes_bytes[..], elements].concat()
    }

    pub(in crate::data) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn load(bytes: &[u8]) -> Result<Array, DataError> {
        let folder = Scratch::new();
        std::fs::write(folder.path("x"), bytes).unwrap();
        read(&folder.path("x"))
    }

    #[test]
    fn every_type_is_read_plain_and_gzipped() {
        let cases = [
            (0x08, vec![1, 255], Elements::U8(vec![1, 255])),
            (0x09, vec![1, 255], Elements::I64(vec![1, -1])),
            (0x0B, vec![1, 0, 255, 254], Elements::I64(vec![256, -2])),
            (0x0C, vec![0, 0, 1, 0, 255, 255, 255, 255], Elements::I64(vec![256, -1])),
            (0x0D, [1.5f32, -2.0].map(f32::to_be_bytes).concat(), Elements::F32(vec![1.5, -2.0])),
            (0x0E, [1.5f64, -2.0].map(f64::to_be_bytes).concat(), Elements::F32(vec![1.5, -2.0])),
        ];
        for (kind, bytes, elements) in cases {
            let file = file(kind, &[1, 2], &bytes);
            assert_eq!(load(&file).unwrap(), Array { shape: vec![1, 2], elements });
            assert_eq!(load(&gzip(&file)).unwrap(), load(&file).unwrap());
        }
    }

    #[test]
    fn a_file_cut_short_or_lengthened_anywhere_is_an_error() {
        let plain = file(8, &[2, 3], &[7; 6]);
        for whole in [gzip(&plain), plain] {
            for len in 0..whole.len() {
                assert!(matches!(load(&whole[..len]), Err(DataError::Fault(_))), "{len}");
            }
            assert!(load(&[&whole[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_damaged_byte_never_panics() {
        let plain = file(8, &[2, 3], &[7; 6]);
        for whole in [gzip(&plain), plain] {
            for i in 0..whole.len() {
                for change in [1, 0x10, 0x80, 0xFF] {
                    let mut damaged = whole.clone();
                    damaged[i] ^= change;
                    let _ = load(&damaged);
                }
            }
        }
    }

    #[test]
    fn sizes_that_a_header_invents_are_held_against_the_file() {
        let said = |bytes: &[u8]| load(bytes).unwrap_err().to_string();
        assert!(said(&file(8, &[u32::MAX; 8], &[])).contains("more bytes than can be counted"));
        assert!(said(&file(8, &[1 << 30], &[0; 9])).contains("promises 1073741824 bytes"));
        assert!(said(&gzip(&file(8, &[u32::MAX], &[0; 9]))).contains("promises 4294967295 bytes"));
        assert!(said(&file(8, &[1; 9], &[0])).contains("9 dimensions"));
        assert!(said(&file(7, &[1], &[0])).contains("byte 2: found 07"));
        assert!(said(b"PK\x03\x04").contains("begins with two zeros"));
    }

    #[test]
    fn gzip_is_unpacked_no_further_than_the_header_says() {
        // A million zeros in a thousand bytes, of which the header speaks of ten.
        let bomb = gzip(&file(8, &[10], &[0; 1_000_000]));
        assert!(bomb.len() < 2_000);
        let said = load(&bomb).unwrap_err().to_string();
        assert!(said.contains("found more bytes, wanted 10 bytes"), "{said}");
    }
}
