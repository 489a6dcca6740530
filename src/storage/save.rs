//! Tensors written to safetensors files.
//!
//! ```text
//! bytes | 8: header's length | header: JSON, padded to a multiple of 8 | tensor | tensor | ...
//!         little-endian u64    metadata, then names, types, shapes       little-endian, by name
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use safetensors::Dtype;

use super::header::{Entry, Header};
use super::{CHUNK_BYTES, LENGTH_BYTES, NamedShape, StorageError, replace};

/// Name, shape (outermost first) and elements of a tensor to be saved.
pub type NamedTensor<'a> = (String, Vec<u64>, &'a [f32]);

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
    let entries: Vec<Entry<'_>> = sorted
        .iter()
        .map(|(name, shape, elements)| Entry { name, dtype: Dtype::F32, shape, elements: elements.len() as u64 })
        .collect();
    let header = Header::of(&entries, metadata).map_err(|(tensor, reason)| StorageError::Tensor {
        path: path.into(),
        tensor,
        reason,
    })?;
    let data_bytes = header.data_bytes();
    let header = header.bytes().map_err(|source| StorageError::io("write", path, source))?;
    let header_bytes = header.len() as u64;
    replace(path, LENGTH_BYTES + header_bytes + data_bytes, |file| {
        file.write_all(&header_bytes.to_le_bytes())?;
        file.write_all(&header)?;
        sorted.iter().try_for_each(|(_, _, elements)| write_elements(file, elements))
    })
}

/// Bytes of the file that [`save_tensors`] makes of F32 tensors of these names and shapes; none if no
/// file can hold them.
pub fn tensors_bytes(shapes: &[NamedShape], metadata: &BTreeMap<String, String>) -> Option<u64> {
    Header::file_bytes(shapes.iter().map(|(name, shape)| (name, Dtype::F32, shape)), metadata)
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
