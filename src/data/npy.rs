//! NumPy's arrays: `.npy` of versions 1 to 3, and `.npz`, a zip of them.
//!
//! ```text
//! 93 N U M P Y | major | minor | header length, 2 or 4 bytes | header | elements
//! header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//! ```

mod header;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::array::{Array, Elements, inflated, is_damage, read_up_to};
use super::error::{DataError, name_one_of, open_to_hold};
use header::{DType, Header};

/// What to do about a damaged file.
const SAVE: &str = "save it again";

/// Reads a `.npy` file.
///
/// # Errors
/// [`DataError::Storage`] if the file cannot be read; a [`DataError::Fault`] if it is no such file,
/// is cut short or goes on after its last element, or has elements of another type than `f4`, `f8`,
/// `i4`, `i8`, `u1` and `bool`, little-endian. No memory is asked for that the file does not fill.
pub fn read(path: &Path) -> Result<Array, DataError> {
    let (file, file_bytes) = open_to_hold(path)?;
    parse(BufReader::new(file), path, file_bytes)
}

/// [`read`], of anything that has `file_bytes` bytes; errors call it `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(mut file: impl Read, path: &Path, file_bytes: u64) -> Result<Array, DataError> {
    let name = path.display().to_string();
    array(&mut file, &name, "", file_bytes).map_err(|trouble| trouble.at(path, ""))
}

/// A `.npz` file; its arrays are read one by one.
#[derive(Debug)]
pub struct Npz<R = BufReader<File>> {
    name: String,
    /// Most bytes that an array in it can have.
    most_bytes: u64,
    archive: ZipArchive<R>,
}

impl Npz {
    /// Opens a `.npz` file.
    ///
    /// # Errors
    /// [`DataError::Storage`] if the file cannot be read, a [`DataError::Fault`] if it is no zip.
    pub fn open(path: &Path) -> Result<Npz, DataError> {
        let (file, file_bytes) = open_to_hold(path)?;
        Npz::parse(BufReader::new(file), path, file_bytes)
    }
}

impl<R: Read + Seek> Npz<R> {
    /// [`Npz::open`], of anything that has `file_bytes` bytes; errors call it `path`.
    ///
    /// # Errors
    /// As [`Npz::open`].
    pub fn parse(file: R, path: &Path, file_bytes: u64) -> Result<Npz<R>, DataError> {
        let name = path.display().to_string();
        let archive = ZipArchive::new(file).map_err(|error| zipped(error).at(path, ""))?;
        Ok(Npz { name, most_bytes: inflated(file_bytes), archive })
    }

    /// The arrays' names, in order.
    pub fn names(&self) -> Vec<String> {
        // A name that is no text cannot be asked for.
        let files = self.archive.file_names().filter_map(Result::ok);
        let mut names: Vec<String> = files.filter_map(|name| name.strip_suffix(".npy").map(str::to_string)).collect();
        names.sort();
        names
    }

    /// The array of that name.
    ///
    /// # Errors
    /// A [`DataError::Fault`] if there is none, and as [`read`].
    pub fn array(&mut self, name: &str) -> Result<Array, DataError> {
        let (file, most_bytes) = (self.name.clone(), self.most_bytes);
        let names = self.names();
        if !names.iter().any(|known| known == name) {
            let found = format!("no array `{name}`");
            return Err(DataError::fault(&file, "", found, "the arrays that were chosen", name_one_of(name, &names)));
        }
        let place = format!("array `{name}`");
        let entry = self.archive.by_name(&format!("{name}.npy")).map_err(zipped);
        let array = entry.and_then(|mut entry| array(&mut entry, &file, &place, most_bytes));
        array.map_err(|trouble| trouble.at(Path::new(&file), &place))
    }
}

/// What went wrong before it is known whether the file or the disk is at fault.
enum Trouble {
    Io(std::io::Error),
    Damage(String),
    Fault(DataError),
}

impl Trouble {
    fn at(self, path: &Path, place: &str) -> DataError {
        let damaged =
            |found| DataError::fault(&path.display().to_string(), place, found, "a whole .npy or .npz file", SAVE);
        match self {
            Trouble::Fault(error) => error,
            Trouble::Damage(found) => damaged(format!("damage ({found})")),
            Trouble::Io(error) if is_damage(&error) => damaged(format!("damage ({error})")),
            Trouble::Io(error) => DataError::unreadable(path, error),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

fn zipped(error: ZipError) -> Trouble {
    match error {
        ZipError::Io(error) => Trouble::Io(error),
        other => Trouble::Damage(other.to_string()),
    }
}

/// The array of `file`, which cannot have more than `most_bytes`.
fn array(file: &mut impl Read, name: &str, place: &str, most_bytes: u64) -> Result<Array, Trouble> {
    let refuse = |found: String, wanted: &str, remedy: &str| {
        Trouble::Fault(DataError::fault(name, place, found, wanted, remedy))
    };
    let text = header::text(file)?.map_err(|found| refuse(found, "a .npy file", SAVE))?;
    let header = Header::parse(&text).map_err(|found| refuse(found, "a header as NumPy writes it", SAVE))?;
    let Some(dtype) = DType::of(&header.descr) else {
        let remedy = "save it with `.astype(\"float32\")` or `.astype(\"int64\")`";
        return Err(refuse(format!("elements of type {}", header.descr), "<f4, <f8, <i4, <i8, |u1 or |b1", remedy));
    };
    let count = super::array::count(&header.shape);
    let bytes = count.and_then(|count| (count as u64).checked_mul(dtype.bytes()));
    let Some(bytes) = bytes.filter(|&bytes| bytes <= most_bytes) else {
        let found = format!("the shape {:?}", header.shape);
        return Err(refuse(found, "no more than the file can hold", SAVE));
    };
    let elements = read_up_to(file, bytes)?;
    if elements.len() as u64 != bytes {
        let found = if elements.len() as u64 > bytes { "more".into() } else { elements.len().to_string() };
        return Err(refuse(format!("{found} bytes of elements"), &format!("{bytes}, as the header says"), SAVE));
    }
    let elements = decode(dtype, elements);
    let elements = if header.fortran_order { in_rows(elements, &header.shape) } else { elements };
    Ok(Array { shape: header.shape, elements })
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest `f32`")]
fn decode(dtype: DType, bytes: Vec<u8>) -> Elements {
    let fours = || bytes.as_chunks::<4>().0.iter();
    let eights = || bytes.as_chunks::<8>().0.iter();
    match dtype {
        DType::F4 => Elements::F32(fours().map(|&x| f32::from_le_bytes(x)).collect()),
        DType::F8 => Elements::F32(eights().map(|&x| f64::from_le_bytes(x) as f32).collect()),
        DType::I4 => Elements::I64(fours().map(|&x| i64::from(i32::from_le_bytes(x))).collect()),
        DType::I8 => Elements::I64(eights().map(|&x| i64::from_le_bytes(x)).collect()),
        DType::U1 => Elements::U8(bytes),
        DType::Bool => Elements::U8(bytes.into_iter().map(|x| u8::from(x != 0)).collect()),
    }
}

/// Elements whose first dimension was innermost, with the last innermost.
fn in_rows(elements: Elements, shape: &[usize]) -> Elements {
    #[expect(clippy::indexing_slicing, reason = "`array` has counted as many elements as the shape has places")]
    fn turn<T: Copy>(old: &[T], shape: &[usize]) -> Vec<T> {
        let mut places = vec![0; shape.len()];
        let mut new = Vec::with_capacity(old.len());
        for _ in 0..old.len() {
            let at = places.iter().zip(shape).rev().fold(0, |at, (&place, &size)| at * size + place);
            new.push(old[at]);
            // Counts like a clock, the last dimension fastest.
            for (place, &size) in places.iter_mut().zip(shape).rev() {
                *place += 1;
                if *place < size {
                    break;
                }
                *place = 0;
            }
        }
        new
    }
    match elements {
        Elements::F32(x) => Elements::F32(turn(&x, shape)),
        Elements::I64(x) => Elements::I64(turn(&x, shape)),
        Elements::U8(x) => Elements::U8(turn(&x, shape)),
    }
}

#[cfg(test)]
pub(super) mod tests;
