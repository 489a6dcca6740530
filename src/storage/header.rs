//! The header of a safetensors file to be written.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{HEADER_LIMIT, LENGTH_BYTES};

/// The header's entry that is not a tensor.
const METADATA: &str = "__metadata__";

/// A tensor that a header is to tell of.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: Dtype,
    /// Outermost first.
    pub(super) shape: &'a [u64],
    /// How many elements are given.
    pub(super) elements: u64,
}

/// A header to be written. Not the crate's own, which has its metadata in an order that changes
/// from run to run.
pub(super) struct Header<'a> {
    metadata: BTreeMap<&'a str, &'a str>,
    tensors: Vec<(&'a str, TensorInfo)>,
}

impl<'a> Header<'a> {
    /// The header of tensors sorted by name, or a tensor that cannot be written and why.
    ///
    /// `format: pt` is added to the metadata, for the readers that ask for it.
    pub(super) fn of(
        sorted: &[Entry<'a>],
        metadata: &'a BTreeMap<String, String>,
    ) -> Result<Header<'a>, (String, String)> {
        let mut tensors: Vec<(&str, TensorInfo)> = Vec::with_capacity(sorted.len());
        let mut offset = 0;
        for &Entry { name, dtype, shape: sizes, elements } in sorted {
            let refuse = |reason: String| Err((name.to_string(), reason));
            if name == METADATA {
                return refuse("has a name that the format keeps for itself".into());
            }
            if tensors.last().is_some_and(|(last, _)| *last == name) {
                return refuse("is given twice".into());
            }
            let shape: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
            let product = shape.as_ref().and_then(|shape| shape.iter().try_fold(1, |a: usize, &b| a.checked_mul(b)));
            let (Some(shape), true) = (shape, product.map(|n| n as u64) == Some(elements)) else {
                return refuse(format!("has the shape {sizes:?} and {elements} elements"));
            };
            let bytes = product.and_then(|n| n.checked_mul(dtype.bitsize() / 8));
            let Some(end) = bytes.and_then(|n| n.checked_add(offset)) else {
                return refuse("is larger than any file".into());
            };
            tensors.push((name, TensorInfo { dtype, shape, data_offsets: (offset, end) }));
            offset = end;
        }
        let mut metadata: BTreeMap<&str, &str> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        metadata.insert("format", "pt");
        Ok(Header { metadata, tensors })
    }

    /// Bytes of the whole file of tensors of these names, types and shapes, in any order; none if no
    /// file can hold them.
    pub(super) fn file_bytes<'t>(
        tensors: impl Iterator<Item = (&'t String, Dtype, &'t Vec<u64>)>,
        metadata: &BTreeMap<String, String>,
    ) -> Option<u64> {
        let elements = |shape: &[u64]| shape.iter().try_fold(1u64, |all, &n| all.checked_mul(n));
        let entry = |(name, dtype, shape): (&'t String, Dtype, &'t Vec<u64>)| {
            elements(shape).map(|elements| Entry { name, dtype, shape, elements })
        };
        let mut entries = tensors.map(entry).collect::<Option<Vec<_>>>()?;
        entries.sort_by_key(|entry| entry.name);
        let header = Header::of(&entries, metadata).ok()?;
        let bytes = header.bytes().ok()?.len() as u64;
        (LENGTH_BYTES + bytes).checked_add(header.data_bytes())
    }

    /// Bytes of all tensors.
    pub(super) fn data_bytes(&self) -> u64 {
        self.tensors.last().map_or(0, |(_, info)| info.data_offsets.1) as u64
    }

    /// As it stands in the file, padded to a multiple of eight.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
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
