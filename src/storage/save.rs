//! Tensors written to safetensors files.
//!
//! ```text
//! bytes | 8: header's length | header: JSON, padded to a multiple of 8 | tensor | tensor | ...
//!         little-endian u64    metadata, then names, types, shapes       little-endian, by name
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{CHUNK_BYTES, HEADER_LIMIT, LENGTH_BYTES, StorageError, replace};

/// Name, shape (outermost first) and elements of a tensor to be saved.
pub type NamedTensor<'a> = (String, Vec<u64>, &'a [f32]);

/// The header's entry that is not a tensor.
const METADATA: &str = "__metadata__";

/// Writes tensors as F32, whole or not at all; the same tensors and metadata always make the same
/// bytes.
///
/// `format: pt` is added to the metadata, for the readers that ask for it. Nothing is copied but 64
/// KiB at a time.
///
/// # Errors
/// [`StorageError::Tensor`] for a name twice, a reserved name or a shape that has not as many
/// elements as are given; else what [`super::write_atomically`] says.
pub fn save_tensors(
    path: &Path,
    tensors: &[NamedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), StorageError> {
    let mut sorted: Vec<&NamedTensor<'_>> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _, _)| name);
    let header = Header::of(&sorted, metadata).map_err(|(tensor, reason)| StorageError::Tensor {
        path: path.into(),
        tensor,
        reason,
    })?;
    let data_bytes = header.tensors.last().map_or(0, |(_, info)| info.data_offsets.1) as u64;
    let header = header.bytes().map_err(|source| StorageError::io("write", path, source))?;
    let header_bytes = header.len() as u64;
    replace(path, LENGTH_BYTES + header_bytes + data_bytes, |file| {
        file.write_all(&header_bytes.to_le_bytes())?;
        file.write_all(&header)?;
        sorted.iter().try_for_each(|(_, _, elements)| write_elements(file, elements))
    })
}

/// A header to be written. Not the crate's own, which has its metadata in an order that changes
/// from run to run.
struct Header<'a> {
    metadata: BTreeMap<&'a str, &'a str>,
    tensors: Vec<(&'a str, TensorInfo)>,
}

impl<'a> Header<'a> {
    /// The header of tensors sorted by name, or a tensor that cannot be written and why.
    fn of(
        sorted: &[&'a NamedTensor<'_>],
        metadata: &'a BTreeMap<String, String>,
    ) -> Result<Header<'a>, (String, String)> {
        let mut tensors: Vec<(&str, TensorInfo)> = Vec::with_capacity(sorted.len());
        let mut offset = 0;
        for (name, sizes, elements) in sorted {
            let refuse = |reason: String| Err((name.clone(), reason));
            if name == METADATA {
                return refuse("has a name that the format keeps for itself".into());
            }
            if tensors.last().is_some_and(|(last, _)| last == name) {
                return refuse("is given twice".into());
            }
            let shape: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
            let product = shape.as_ref().and_then(|shape| shape.iter().try_fold(1, |a: usize, &b| a.checked_mul(b)));
            let (Some(shape), true) = (shape, product == Some(elements.len())) else {
                return refuse(format!("has the shape {sizes:?} and {} elements", elements.len()));
            };
            let end = offset + size_of_val(*elements);
            tensors.push((name, TensorInfo { dtype: Dtype::F32, shape, data_offsets: (offset, end) }));
            offset = end;
        }
        let mut metadata: BTreeMap<&str, &str> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        metadata.insert("format", "pt");
        Ok(Header { metadata, tensors })
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        if bytes.len() as u64 > HEADER_LIMIT {
            let reason = format!("names, shapes and metadata take {} bytes of at most {HEADER_LIMIT}", bytes.len());
            return Err(io::Error::new(ErrorKind::InvalidInput, reason));
        }
        Ok(bytes)
    }
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(METADATA, &self.metadata)?;
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

fn write_elements(file: &mut File, elements: &[f32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(CHUNK_BYTES);
    for chunk in elements.chunks(CHUNK_BYTES / 4) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|x| x.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::{Scratch, bytes_of};
    use safetensors::tensor::{SafeTensors, TensorView, serialize};
    use std::fs;

    #[test]
    fn our_bytes_are_those_of_the_safetensors_crate() {
        let folder = Scratch::new();
        let elements = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tensors = [("b".to_string(), vec![2, 3], &elements[..]), ("a".to_string(), vec![1], &elements[..1])];
        save_tensors(&folder.path("x"), &tensors, &BTreeMap::new()).unwrap();
        let ours = fs::read(folder.path("x")).unwrap();
        let data = bytes_of(&elements);
        let views = [
            ("b", TensorView::new(Dtype::F32, vec![2, 3], &data).unwrap()),
            ("a", TensorView::new(Dtype::F32, vec![1], &data[..4]).unwrap()),
        ];
        let theirs = serialize(views, Some([("format".to_string(), "pt".to_string())].into())).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(SafeTensors::deserialize(&ours).unwrap().len(), 2);
    }

    #[test]
    fn the_same_tensors_in_any_order_make_the_same_bytes() {
        let folder = Scratch::new();
        let metadata: BTreeMap<String, String> = (0..20).map(|i| (format!("key {i}"), i.to_string())).collect();
        let mut tensors: Vec<NamedTensor<'_>> = (0..20).map(|i| (format!("t{i}"), vec![1], &[1.0][..])).collect();
        save_tensors(&folder.path("a"), &tensors, &metadata).unwrap();
        tensors.reverse();
        save_tensors(&folder.path("b"), &tensors, &metadata).unwrap();
        let read = |name| fs::read(folder.path(name)).unwrap();
        assert_eq!(read("a"), read("b"));
        assert_eq!(SafeTensors::read_metadata(&read("a")).unwrap().0 % 8, 0);
    }

    #[test]
    fn a_tensor_that_the_format_cannot_hold_is_refused_before_anything_is_written() {
        let folder = Scratch::new();
        let one = |name: &str, shape: &[u64]| (name.to_string(), shape.to_vec(), &[1.0f32][..]);
        let cases = [
            (vec![one("a", &[1]), one("b", &[1]), one("a", &[1])], "`a` is given twice"),
            (vec![one("__metadata__", &[1])], "keeps for itself"),
            (vec![one("a", &[2, 3])], "`a` has the shape [2, 3] and 1 elements"),
            (vec![one("a", &[u64::MAX, 3])], "`a` has the shape"),
        ];
        for (tensors, wanted) in cases {
            let error = save_tensors(&folder.path("x"), &tensors, &BTreeMap::new()).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
        assert!(folder.names().is_empty());
    }
}
