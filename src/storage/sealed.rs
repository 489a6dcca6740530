//! Tensors of any type in a safetensors file that knows its own checksum, so that one that was cut
//! short, or has a bit that flipped, is never taken for whole.
//!
//! ```text
//! bytes | 8: header's length | header: JSON, padded to a multiple of 8   | tensor | tensor | ...
//!         little-endian u64    "__metadata__": {"checksum": "89abcdef",    little-endian, by name
//!                              ...}, then names, types, shapes, offsets
//!
//! checksum: CRC-32 (IEEE 802.3) of all bytes from the first to the last, its own digits as zeros
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Crc;
use safetensors::Dtype;

use super::header::{Entry, Header};
use super::load::{open, read_header};
use super::{CHUNK_BYTES, LENGTH_BYTES, StorageError, replace};
use crate::tensor::DType;

/// The entry of the metadata that has the checksum.
const CHECKSUM: &str = "checksum";
/// What stands before its digits in the header. Within a string, quotes would be escaped; only the end of a string can look
/// like it, after an escaped one.
const BEFORE_DIGITS: &[u8] = b"\"checksum\":\"";
/// What stands for the digits while they are worked out.
const NO_DIGITS: &str = "00000000";

/// A tensor as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub dtype: DType,
    /// Outermost first.
    pub shape: Vec<u64>,
    /// The elements, little-endian.
    pub bytes: Vec<u8>,
}

/// What a sealed file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFile {
    /// Every tensor, by name.
    pub tensors: BTreeMap<String, StoredTensor>,
    /// The file's own remarks.
    pub metadata: BTreeMap<String, String>,
}

/// Writes tensors, whole or not at all, with a checksum among the metadata.
///
/// # Errors
/// [`StorageError::Tensor`] for what the format cannot hold; else what [`super::write_atomically`]
/// says.
pub fn save_sealed(
    path: &Path,
    tensors: &[StoredTensor],
    metadata: &BTreeMap<String, String>,
) -> Result<(), StorageError> {
    let mut sorted: Vec<&StoredTensor> = tensors.iter().collect();
    sorted.sort_by_key(|tensor| &tensor.name);
    let entry = |tensor: &&'_ StoredTensor| {
        let elements = tensor.bytes.len() as u64 / tensor.dtype.bytes();
        (tensor.name.clone(), stored_as(tensor.dtype), tensor.shape.clone(), elements)
    };
    let entries: Vec<_> = sorted.iter().map(entry).collect();
    let entries: Vec<Entry<'_>> =
        entries.iter().map(|(name, dtype, shape, n)| Entry { name, dtype: *dtype, shape, elements: *n }).collect();
    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM.into(), NO_DIGITS.into());
    let refused = |(tensor, reason): (String, String)| StorageError::Tensor { path: path.into(), tensor, reason };
    let header = Header::of(&entries, &metadata).map_err(refused)?;
    let data_bytes = header.data_bytes();
    let mut header = header.bytes().map_err(|source| StorageError::io("write", path, source))?;
    let length = (header.len() as u64).to_le_bytes();
    let mut crc = Crc::new();
    crc.update(&length);
    crc.update(&header);
    sorted.iter().for_each(|tensor| crc.update(&tensor.bytes));
    digits_in(&mut header).expect("the metadata was given a checksum").copy_from_slice(digits(&crc).as_bytes());
    replace(path, LENGTH_BYTES + header.len() as u64 + data_bytes, |file| {
        file.write_all(&length)?;
        file.write_all(&header)?;
        sorted.iter().try_for_each(|tensor| file.write_all(&tensor.bytes))
    })
}

/// Bytes of the file that [`save_sealed`] makes of tensors of these names, types and shapes; none if no
/// file can hold them.
pub fn sealed_bytes(tensors: &[(String, DType, Vec<u64>)], metadata: &BTreeMap<String, String>) -> Option<u64> {
    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM.into(), NO_DIGITS.into());
    Header::file_bytes(tensors.iter().map(|(name, dtype, shape)| (name, stored_as(*dtype), shape)), &metadata)
}

/// Reads a file that [`save_sealed`] wrote.
///
/// # Errors
/// [`StorageError::NotSafetensors`] if the file is cut short or of another format,
/// [`StorageError::Damaged`] if its bytes are not those that were written, else [`StorageError::Io`].
pub fn load_sealed(path: &Path) -> Result<SealedFile, StorageError> {
    let (mut file, file_bytes) = open(path)?;
    read_sealed(path, &mut file, file_bytes)
}

/// [`load_sealed`], of anything that has `file_bytes` bytes; errors call it `path`.
///
/// # Errors
/// As [`load_sealed`].
pub fn read_sealed(path: &Path, file: &mut impl Read, file_bytes: u64) -> Result<SealedFile, StorageError> {
    let failed = |source: io::Error| StorageError::io("read", path, source);
    let damaged = |reason: String| StorageError::Damaged { path: path.into(), reason };
    let (header, mut raw) = read_header(path, file, file_bytes)?;
    let mut crc = Crc::new();
    crc.update(&(raw.len() as u64).to_le_bytes());
    let digits_there = digits_in(&mut raw).ok_or_else(|| damaged("it has no checksum".into()))?;
    let said = String::from_utf8_lossy(digits_there).into_owned();
    digits_there.copy_from_slice(NO_DIGITS.as_bytes());
    crc.update(&raw);
    let mut tensors = BTreeMap::new();
    for name in header.offset_keys() {
        let info = header.info(&name).expect("`offset_keys` lists the tensors of the header");
        let bytes = read_bytes(file, info.data_offsets.1 - info.data_offsets.0, &mut crc).map_err(failed)?;
        let dtype = read_as(info.dtype).ok_or_else(|| damaged(format!("`{name}` has the type {}", info.dtype)))?;
        let shape = info.shape.iter().map(|&size| size as u64).collect();
        tensors.insert(name.clone(), StoredTensor { name, dtype, shape, bytes });
    }
    let found = digits(&crc);
    if said != found {
        return Err(damaged(format!("its checksum is {said}, and its bytes come to {found}")));
    }
    let mut metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
    metadata.remove(CHECKSUM);
    Ok(SealedFile { tensors, metadata })
}

/// The next `len` bytes, which were held against the file's size.
fn read_bytes(file: &mut impl Read, len: usize, crc: &mut Crc) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    while bytes.len() < len {
        let from = bytes.len();
        bytes.resize(len.min(from + CHUNK_BYTES), 0);
        let (_, chunk) = bytes.split_at_mut(from);
        file.read_exact(chunk)?;
        crc.update(chunk);
    }
    Ok(bytes)
}

/// The digits of the checksum in a header, as many as there should be.
fn digits_in(header: &mut [u8]) -> Option<&mut [u8]> {
    let stands = |at: usize, found: &[u8]| found == BEFORE_DIGITS && (at == 0 || header.get(at - 1) != Some(&b'\\'));
    let places = header.windows(BEFORE_DIGITS.len()).enumerate();
    let at = places.into_iter().find(|&(at, found)| stands(at, found))?.0 + BEFORE_DIGITS.len();
    let end = at + NO_DIGITS.len();
    if header.get(end) == Some(&b'"') { header.get_mut(at..end) } else { None }
}

fn digits(crc: &Crc) -> String {
    format!("{:08x}", crc.sum())
}

fn stored_as(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::U32 => Dtype::U32,
    }
}

fn read_as(dtype: Dtype) -> Option<DType> {
    [DType::F32, DType::F16, DType::U32].into_iter().find(|&known| stored_as(known) == dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::Scratch;
    use std::fs;

    fn some() -> (Vec<StoredTensor>, BTreeMap<String, String>) {
        let of = |name: &str, dtype, shape: &[u64], bytes: Vec<u8>| StoredTensor {
            name: name.into(),
            dtype,
            shape: shape.into(),
            bytes,
        };
        let tensors = vec![
            of("z", DType::F32, &[2, 3], (0..24).collect()),
            of("a \"checksum\":\"", DType::F16, &[5], (100..110).collect()),
            of("count", DType::U32, &[1], vec![1, 2, 3, 4]),
            of("none", DType::F32, &[0], vec![]),
        ];
        let metadata = [("about", r#"{"checksum":"ffffffff","n":1}"#), ("\"checksum", "01234567"), ("step", "7")];
        (tensors, metadata.map(|(key, value)| (key.to_string(), value.to_string())).into())
    }

    #[test]
    fn what_was_sealed_is_read_back_bit_for_bit_and_is_as_long_as_was_said() {
        let folder = Scratch::new();
        let (tensors, metadata) = some();
        let path = folder.path("x.safetensors");
        save_sealed(&path, &tensors, &metadata).unwrap();
        let found = load_sealed(&path).unwrap();
        assert_eq!(found.metadata["about"], metadata["about"]);
        assert_eq!(found.metadata["format"], "pt");
        assert_eq!(found.tensors.len(), 4);
        for tensor in &tensors {
            assert_eq!(&found.tensors[&tensor.name], tensor);
        }
        let shapes: Vec<_> = tensors.iter().map(|t| (t.name.clone(), t.dtype, t.shape.clone())).collect();
        assert_eq!(sealed_bytes(&shapes, &metadata), Some(fs::metadata(&path).unwrap().len()));
        let read = safetensors::SafeTensors::deserialize(&fs::read(&path).unwrap()).unwrap().len();
        assert_eq!(read, 4, "other readers of the format take it");
    }

    #[test]
    fn every_bit_that_flips_and_every_byte_that_is_missing_or_too_many_is_noticed() {
        let folder = Scratch::new();
        let (tensors, metadata) = some();
        let path = folder.path("x.safetensors");
        save_sealed(&path, &tensors, &metadata).unwrap();
        let whole = fs::read(&path).unwrap();
        let refused = |bytes: &[u8], what: &str| {
            let error = read_sealed(&path, &mut &*bytes, bytes.len() as u64).expect_err(what);
            assert!(
                matches!(error, StorageError::Damaged { .. } | StorageError::NotSafetensors { .. }),
                "{what}: {error}"
            );
        };
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused(&bytes, &format!("bit {bit}"));
        }
        for len in 0..whole.len() {
            refused(&whole[..len], &format!("cut to {len} bytes"));
        }
        refused(&[&whole[..], &[0]].concat(), "a byte too many");
    }
}
