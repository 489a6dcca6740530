//! Arrays as files have them, and as numbers or ids.

use std::io::{self, Read};

use super::error::DataError;
use crate::ops::IGNORE;

/// Most bytes that a byte of a deflated file can stand for.
const DEFLATE_RATIO: u64 = 1032;
/// PyTorch's `ignore_index`, where it is not set.
const IGNORE_INDEX: i64 = -100;

/// Elements of one array.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Floats; those of 64 bits have been rounded.
    F32(Vec<f32>),
    /// Integers.
    I64(Vec<i64>),
    /// Bytes, and truth values as 0 and 1.
    U8(Vec<u8>),
}

impl Elements {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Elements::F32(x) => x.len(),
            Elements::I64(x) => x.len(),
            Elements::U8(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An array, its last dimension innermost.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Outermost first.
    pub shape: Vec<usize>,
    /// As many as the shape says.
    pub elements: Elements,
}

impl Array {
    /// Its elements as the nearest `f32`.
    pub fn into_numbers(self) -> Vec<f32> {
        match self.elements {
            Elements::F32(x) => x,
            Elements::I64(x) => x.into_iter().map(|x| x as f32).collect(),
            Elements::U8(x) => x.into_iter().map(f32::from).collect(),
        }
    }

    /// Its elements as ids; with `ignorable`, -100, PyTorch's `ignore_index`, is [`IGNORE`]. `file`
    /// and `name` are what errors call it.
    ///
    /// # Errors
    /// A [`DataError::Fault`] for the first that is negative, not whole, or beyond 32 bits.
    pub fn into_ids(self, file: &str, name: &str, ignorable: bool) -> Result<Vec<u32>, DataError> {
        let refused = |at: usize, found: String| {
            let place = format!("array `{name}`, element {at}");
            DataError::fault(file, place, found, "an id, a whole number from 0", "look what the array holds")
        };
        let id = |x: i64| match u32::try_from(x) {
            Ok(id) if id < IGNORE => Some(id),
            _ => (ignorable && x == IGNORE_INDEX).then_some(IGNORE),
        };
        match self.elements {
            Elements::U8(x) => Ok(x.into_iter().map(u32::from).collect()),
            Elements::I64(x) => {
                let ids = x.into_iter().enumerate();
                ids.map(|(at, x)| id(x).ok_or_else(|| refused(at, x.to_string()))).collect()
            }
            Elements::F32(x) => {
                #[expect(clippy::cast_possible_truncation, reason = "what is not whole is refused")]
                let whole = |x: f32| Some(x as i64).filter(|&whole| whole as f32 == x);
                let ids = x.into_iter().enumerate();
                ids.map(|(at, x)| whole(x).and_then(id).ok_or_else(|| refused(at, x.to_string()))).collect()
            }
        }
    }
}

/// Elements of a shape, unless there are too many to count.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))
}

/// Most bytes that a deflated file of `file_bytes` can hold.
pub(super) fn inflated(file_bytes: u64) -> u64 {
    file_bytes.saturating_mul(DEFLATE_RATIO)
}

/// All of `file`, up to one byte more than `wanted`: enough to know that it is too long. Memory
/// grows with what is there, not with what is wanted.
pub(super) fn read_up_to(file: &mut impl Read, wanted: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(wanted.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether it is the content that cannot be read, and not the disk.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof | ErrorKind::Other
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(elements: Elements, ignorable: bool) -> Result<Vec<u32>, String> {
        let array = Array { shape: vec![elements.len()], elements };
        array.into_ids("x.npz", "y", ignorable).map_err(|error| error.to_string())
    }

    #[test]
    fn ids_are_whole_and_not_negative_but_for_pytorchs_ignored_ones() {
        assert_eq!(ids(Elements::I64(vec![3, -100]), true), Ok(vec![3, IGNORE]));
        assert_eq!(ids(Elements::F32(vec![3.0, 0.0]), false), Ok(vec![3, 0]));
        assert_eq!(ids(Elements::U8(vec![255]), false), Ok(vec![255]));
        for (elements, wanted) in [
            (Elements::I64(vec![0, -100]), "x.npz, array `y`, element 1: found -100"),
            (Elements::I64(vec![i64::from(u32::MAX)]), "4294967295"),
            (Elements::I64(vec![i64::MIN]), "-9223372036854775808"),
            (Elements::F32(vec![0.5]), "0.5"),
            (Elements::F32(vec![f32::NAN]), "NaN"),
            (Elements::F32(vec![f32::INFINITY]), "inf"),
        ] {
            let said = ids(elements, false).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
