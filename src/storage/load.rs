//! Tensors read from safetensors files, believing nothing that the file says of its own size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{CHUNK_BYTES, HEADER_LIMIT, LENGTH_BYTES, Misshapen, StorageError};

/// Name and shape (outermost first) of a tensor that is wanted.
pub type NamedShape = (String, Vec<u64>);

/// What a safetensors file holds, as `f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Shape (outermost first) and elements of every tensor, by name.
    pub tensors: BTreeMap<String, (Vec<u64>, Vec<f32>)>,
    /// The file's own remarks, such as `format`.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// The elements of the wanted tensors, in the order wanted.
    ///
    /// # Errors
    /// [`StorageError::Mismatch`] unless the file holds exactly these tensors in these shapes.
    pub fn matching(&self, wanted: &[NamedShape]) -> Result<Vec<Vec<f32>>, StorageError> {
        let (mut missing, mut misshapen, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut surplus: BTreeMap<&str, &[u64]> =
            self.tensors.iter().map(|(name, (shape, _))| (name.as_str(), shape.as_slice())).collect();
        for (name, shape) in wanted {
            surplus.remove(name.as_str());
            match self.tensors.get(name) {
                None => missing.push((name.clone(), shape.clone())),
                Some((found, _)) if found != shape => {
                    misshapen.push(Misshapen { name: name.clone(), found: found.clone(), wanted: shape.clone() });
                }
                Some((_, elements)) => values.push(elements.as_slice()),
            }
        }
        if missing.is_empty() && misshapen.is_empty() && surplus.is_empty() {
            return Ok(values.into_iter().map(<[f32]>::to_vec).collect());
        }
        let surplus = surplus.into_iter().map(|(name, shape)| (name.into(), shape.into())).collect();
        Err(StorageError::Mismatch { path: self.path.clone(), missing, surplus, misshapen })
    }
}

/// Reads all tensors of a safetensors file; F16 and BF16 become `f32`.
///
/// # Errors
/// [`StorageError::NotSafetensors`] if the file is damaged, cut short or of another format,
/// [`StorageError::DType`] for other element types, else [`StorageError::Io`].
pub fn load_tensors(path: &Path) -> Result<TensorFile, StorageError> {
    let (mut file, file_bytes) = open(path)?;
    read_tensors(path, &mut file, file_bytes)
}

/// [`load_tensors`], of anything that has `file_bytes` bytes; errors call it `path`.
///
/// # Errors
/// As [`load_tensors`].
pub fn read_tensors(path: &Path, file: &mut impl Read, file_bytes: u64) -> Result<TensorFile, StorageError> {
    read(path, file, file_bytes, &FLOATS)
}

/// The same of data, whose ids and labels may be whole numbers or truth values: I64, I32, U8 and BOOL
/// become `f32` too, which holds them exactly up to 2^24.
///
/// # Errors
/// As [`load_tensors`].
pub fn load_arrays(path: &Path) -> Result<TensorFile, StorageError> {
    let (mut file, file_bytes) = open(path)?;
    read_arrays(path, &mut file, file_bytes)
}

/// [`load_arrays`], of anything that has `file_bytes` bytes; errors call it `path`.
///
/// # Errors
/// As [`load_tensors`].
pub fn read_arrays(path: &Path, file: &mut impl Read, file_bytes: u64) -> Result<TensorFile, StorageError> {
    read(path, file, file_bytes, &[&FLOATS[..], &[Dtype::I64, Dtype::I32, Dtype::U8, Dtype::BOOL]].concat())
}

/// What weights are kept in.
const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

/// A file to be read, and how many bytes it has.
pub(super) fn open(path: &Path) -> Result<(File, u64), StorageError> {
    let failed = |source: io::Error| StorageError::io("read", path, source);
    super::check_regular(path)?;
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    super::check_memory(path)?;
    Ok((file, about.len()))
}

fn read(path: &Path, file: &mut impl Read, file_bytes: u64, known: &[Dtype]) -> Result<TensorFile, StorageError> {
    let failed = |source: io::Error| StorageError::io("read", path, source);
    let (header, _) = read_header(path, file, file_bytes)?;
    check_dtypes(path, &header, known)?;
    let mut tensors = BTreeMap::new();
    // In the order of their offsets, between which `Metadata` allows no gaps.
    for name in header.offset_keys() {
        let info = header.info(&name).expect("`offset_keys` lists the tensors of the header");
        let shape = info.shape.iter().map(|&size| size as u64).collect();
        let elements = read_elements(file, info).map_err(failed)?;
        tensors.insert(name, (shape, elements));
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(TensorFile { path: path.into(), tensors, metadata })
}

/// The header, also as it stands in the file. Leaves `file` at the first tensor. Believes no number
/// of the file before it is held against `file_bytes`.
pub(super) fn read_header(
    path: &Path,
    file: &mut impl Read,
    file_bytes: u64,
) -> Result<(Metadata, Vec<u8>), StorageError> {
    let refuse = |reason: String| StorageError::NotSafetensors { path: path.into(), reason };
    let failed = |source: io::Error| StorageError::io("read", path, source);
    let Some(room) = file_bytes.checked_sub(LENGTH_BYTES) else {
        return Err(refuse(format!("it has {file_bytes} bytes, and the header's length alone takes {LENGTH_BYTES}")));
    };
    let mut length = 0u64.to_le_bytes();
    file.read_exact(&mut length).map_err(failed)?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > room.min(HEADER_LIMIT) {
        return Err(refuse(format!("its header would have {header_bytes} bytes, the file has {file_bytes}")));
    }
    let mut raw = Vec::new();
    file.take(header_bytes).read_to_end(&mut raw).map_err(failed)?;
    let header: Metadata = serde_json::from_slice(&raw).map_err(|error| refuse(format!("its header: {error}")))?;
    let (data_bytes, held_bytes) = (header.data_len() as u64, room - header_bytes);
    if data_bytes != held_bytes {
        return Err(refuse(format!("its tensors take {data_bytes} bytes, {held_bytes} bytes follow the header")));
    }
    Ok((header, raw))
}

fn check_dtypes(path: &Path, header: &Metadata, known: &[Dtype]) -> Result<(), StorageError> {
    let mut tensors: Vec<(String, String)> = header
        .tensors()
        .into_iter()
        .filter(|(_, info)| !known.contains(&info.dtype))
        .map(|(name, info)| (name, info.dtype.to_string()))
        .collect();
    tensors.sort();
    if tensors.is_empty() { Ok(()) } else { Err(StorageError::DType { path: path.into(), tensors }) }
}

/// The next tensor of `file`; `info` was held against the file's size.
#[expect(clippy::indexing_slicing, reason = "a chunk is cut to no more than it has")]
fn read_elements(file: &mut impl Read, info: &TensorInfo) -> io::Result<Vec<f32>> {
    let mut left_bytes = info.data_offsets.1 - info.data_offsets.0;
    let mut elements = Vec::new();
    elements.try_reserve_exact(left_bytes / (info.dtype.bitsize() / 8))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    while left_bytes > 0 {
        let bytes = &mut chunk[..left_bytes.min(CHUNK_BYTES)];
        file.read_exact(bytes)?;
        left_bytes -= bytes.len();
        let fours = bytes.as_chunks::<4>().0.iter();
        let twos = bytes.as_chunks::<2>().0.iter();
        let eights = bytes.as_chunks::<8>().0.iter();
        match info.dtype {
            Dtype::F32 => elements.extend(fours.map(|&x| f32::from_le_bytes(x))),
            Dtype::F16 => elements.extend(twos.map(|&x| f16::from_le_bytes(x).to_f32())),
            Dtype::BF16 => elements.extend(twos.map(|&x| bf16::from_le_bytes(x).to_f32())),
            Dtype::I64 => elements.extend(eights.map(|&x| i64::from_le_bytes(x) as f32)),
            Dtype::I32 => elements.extend(fours.map(|&x| i32::from_le_bytes(x) as f32)),
            Dtype::U8 | Dtype::BOOL => elements.extend(bytes.iter().map(|&x| f32::from(x))),
            other => unreachable!("`check_dtypes` refuses {other}"),
        }
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::save_tensors;
    use crate::storage::tests::{Scratch, bytes_of};
    use std::fs;

    fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn load(bytes: &[u8]) -> Result<TensorFile, StorageError> {
        let folder = Scratch::new();
        fs::write(folder.path("x.safetensors"), bytes).unwrap();
        load_tensors(&folder.path("x.safetensors"))
    }

    fn named(name: &str, shape: &[u64]) -> NamedShape {
        (name.into(), shape.into())
    }

    #[test]
    fn what_was_saved_is_loaded_bit_for_bit() {
        let folder = Scratch::new();
        let path = folder.path("x.safetensors");
        let long: Vec<f32> = (0..40_000).map(|i| (i as f32).sin()).collect(); // Three chunks.
        let odd = [f32::NAN, -0.0, f32::INFINITY, f32::MIN_POSITIVE / 2.0];
        let tensors = [
            ("z \"quoted\"".into(), vec![40, 1000], &long[..]),
            ("scalar".into(), vec![], &[7.0][..]),
            ("odd".into(), vec![2, 2], &odd[..]),
            ("none".into(), vec![0, 3], &[][..]),
        ];
        let metadata = BTreeMap::from([("step".to_string(), "12".to_string())]);
        save_tensors(&path, &tensors, &metadata).unwrap();
        let file = load_tensors(&path).unwrap();
        assert_eq!(file.tensors.len(), 4);
        for (name, shape, elements) in &tensors {
            let (found_shape, found) = &file.tensors[name];
            assert_eq!((found_shape, bytes_of(found)), (shape, bytes_of(elements)), "{name}");
        }
        assert_eq!((file.metadata["step"].as_str(), file.metadata["format"].as_str()), ("12", "pt"));
        assert_eq!(folder.names(), ["x.safetensors"]);
    }

    #[test]
    fn halves_become_the_same_numbers_as_f32() {
        let header = concat!(
            r#"{"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"#,
            r#""b":{"dtype":"BF16","shape":[1],"data_offsets":[6,8]}}"#,
        );
        let data = [0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00, 0x20, 0x40];
        let file = load(&file_of(header, &data)).unwrap();
        assert_eq!(file.tensors["h"], (vec![3], vec![1.0, -2.0, 2f32.powi(-24)]));
        assert_eq!(file.tensors["b"], (vec![1], vec![2.5]));
    }

    #[test]
    fn all_tensors_of_other_types_are_named() {
        let header = concat!(
            r#"{"b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"#,
            r#""a":{"dtype":"U8","shape":[2],"data_offsets":[8,10]}}"#,
        );
        let error = load(&file_of(header, &[0; 10])).unwrap_err().to_string();
        assert!(error.ends_with("only F32, F16 and BF16 can be read, but `a` is U8, `b` is I64"), "{error}");
    }

    #[test]
    fn data_may_be_whole_numbers() {
        let header = concat!(
            r#"{"b":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"#,
            r#""a":{"dtype":"U8","shape":[2],"data_offsets":[16,18]}}"#,
        );
        let scratch = Scratch::new();
        let bytes = [&7i64.to_le_bytes()[..], &(-100i64).to_le_bytes(), &[0, 255]].concat();
        fs::write(scratch.path("x"), file_of(header, &bytes)).unwrap();
        let read = load_arrays(&scratch.path("x")).unwrap().tensors;
        assert_eq!((&read["b"].1[..], &read["a"].1[..]), (&[7.0, -100.0][..], &[0.0, 255.0][..]));
    }

    #[test]
    fn a_file_cut_short_or_lengthened_anywhere_is_an_error() {
        let folder = Scratch::new();
        let path = folder.path("x");
        save_tensors(&path, &[("a".into(), vec![3], &[1.0, 2.0, 3.0])], &BTreeMap::new()).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            assert!(matches!(load(&whole[..len]), Err(StorageError::NotSafetensors { .. })), "{len}");
        }
        assert!(load(&whole).is_ok());
        assert!(load(&[&whole[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_damaged_byte_never_panics() {
        let tensor = r#""dtype":"F32","shape":[1],"data_offsets""#;
        let whole = file_of(&format!(r#"{{"a":{{{tensor}:[0,4]}},"b":{{{tensor}:[4,8]}}}}"#), &[0; 8]);
        for i in 0..whole.len() {
            for change in [1, 0x10, 0x80, 0xFF] {
                let mut damaged = whole.clone();
                damaged[i] ^= change;
                let _ = load(&damaged);
            }
        }
    }

    #[test]
    fn sizes_that_a_header_invents_are_held_against_the_file() {
        assert!(
            load(&u64::MAX.to_le_bytes()).unwrap_err().to_string().contains("would have 18446744073709551615 bytes")
        );
        // Nearly 2^64 bytes of tensors, each of a size that is no overflow by itself: their sum
        // with the header's is.
        let size = usize::MAX / 8 / 4 * 4;
        let tensors: Vec<String> = (0..8)
            .map(|i| {
                format!(
                    r#""{i}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}}"#,
                    size / 4,
                    i * size,
                    (i + 1) * size
                )
            })
            .collect();
        let error = load(&file_of(&format!("{{{}}}", tensors.join(",")), &[])).unwrap_err().to_string();
        assert!(error.contains("its tensors take") && error.contains("0 bytes follow"), "{error}");
    }

    #[test]
    fn one_error_lists_all_that_is_missing_surplus_and_misshapen() {
        let folder = Scratch::new();
        let path = folder.path("x.safetensors");
        let six = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tensors =
            [("w".into(), vec![2, 3], &six[..]), ("b".into(), vec![6], &six[..]), ("u".into(), vec![6], &six[..])];
        save_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
        let file = load_tensors(&path).unwrap();
        let wanted = [named("m", &[4]), named("w", &[3, 2]), named("b", &[6]), named("n", &[])];
        let said = file.matching(&wanted).unwrap_err().to_string();
        let rest = said.strip_prefix(&format!("{} does not fit:", path.display())).unwrap();
        assert_eq!(
            rest,
            concat!(
                "\n  missing: `m` [4]\n  missing: `n` []\n  surplus: `u` [6]",
                "\n  misshapen: `w` is [2, 3] in the file, [3, 2] is wanted",
            )
        );
        let all = [named("u", &[6]), named("w", &[2, 3]), named("b", &[6])];
        assert_eq!(file.matching(&all).unwrap(), [six; 3]);
    }
}
