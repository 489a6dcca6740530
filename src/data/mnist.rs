//! The four files of MNIST and of those named like it, such as Fashion-MNIST.
//!
//! ```text
//! train-images-idx3-ubyte   train-labels-idx1-ubyte   each as it is, or with .gz
//! t10k-images-idx3-ubyte    t10k-labels-idx1-ubyte
//! ```

use std::path::{Path, PathBuf};

use super::array::{Array, Elements};
use super::dataset::Dataset;
use super::error::DataError;
use super::field::{Field, Values};
use super::idx;

/// Where the files usually are: beside the work, where torchvision puts them, and where Debian's
/// package `dataset-fashion-mnist` does.
pub const USUAL_FOLDERS: [&str; 6] = [
    "data",
    "data/MNIST/raw",
    "data/FashionMNIST/raw",
    "/usr/share/datasets/mnist",
    "/usr/share/datasets/fashion-mnist",
    "/usr/local/share/datasets/mnist",
];
/// Where torchvision puts the files within the folder that it is given.
const WITHIN: [&str; 4] = ["", "raw", "MNIST/raw", "FashionMNIST/raw"];
const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Images and their classes, with the test part that the files have.
#[derive(Clone, Debug, PartialEq)]
pub struct Mnist {
    /// Where the files were found.
    pub folder: PathBuf,
    /// For training; a validation part is yet to be split off.
    pub train: Dataset,
    /// For test.
    pub test: Dataset,
    /// One more than the highest label.
    pub classes: u32,
}

/// Reads the images (rows, columns), from 0 to 1, and their classes. With `rows_as_steps` an image
/// is a sequence of its rows: T rows of I columns.
///
/// # Errors
/// As [`find`] and [`idx::read`]; a [`DataError::Fault`] for files that are not of bytes, or do not
/// belong together.
pub fn read(folder: Option<&Path>, rows_as_steps: bool) -> Result<Mnist, DataError> {
    let folder = find(folder)?;
    let [train, test] = [Part::read(&folder, FILES[0], FILES[1])?, Part::read(&folder, FILES[2], FILES[3])?];
    if train.image() != test.image() {
        let found = format!("images of {:?} and of {:?}", train.image(), test.image());
        let remedy = "take all four files from one place";
        return Err(DataError::fault(&folder.display().to_string(), "", found, "one size", remedy));
    }
    let highest = train.labels.iter().chain(&test.labels).max();
    let classes = highest.map_or(0, |&label| u32::from(label) + 1);
    let (train, test) = (train.dataset(classes, rows_as_steps)?, test.dataset(classes, rows_as_steps)?);
    Ok(Mnist { folder, train, test, classes })
}

/// The folder with the four files: the one given, or a folder within it where torchvision puts
/// them; none given, the first of [`USUAL_FOLDERS`] that has them.
///
/// A folder that was given and has them not is an error, as another's images would be taken for its
/// own.
///
/// # Errors
/// A [`DataError::Fault`] that says where was looked.
pub fn find(folder: Option<&Path>) -> Result<PathBuf, DataError> {
    let folders: Vec<PathBuf> = match folder {
        Some(folder) => WITHIN.iter().map(|within| folder.join(within)).collect(),
        None => USUAL_FOLDERS.iter().map(PathBuf::from).collect(),
    };
    let complete = |folder: &&PathBuf| FILES.iter().all(|file| locate(folder, file).is_some());
    if let Some(folder) = folders.iter().find(complete) {
        return Ok(folder.components().collect());
    }
    let found = |folder: &PathBuf| FILES.iter().filter(|file| locate(folder, file).is_some()).count();
    let looked = folders.iter().map(|folder| format!("{} of them in {}", found(folder), folder.display()));
    Err(DataError::fault(
        &folder.map_or_else(|| "the images".into(), |folder| folder.display().to_string()),
        "",
        looked.collect::<Vec<_>>().join(", "),
        format!("{}, each with or without .gz", FILES.join(", ")),
        "name the folder that has them, or install Debian's package dataset-fashion-mnist",
    ))
}

/// The file in its folder, plain or gzipped.
fn locate(folder: &Path, file: &str) -> Option<PathBuf> {
    [folder.join(file), folder.join(format!("{file}.gz"))].into_iter().find(|path| path.is_file())
}

struct Part {
    /// (N, rows, columns)
    shape: Vec<usize>,
    pixels: Vec<u8>,
    /// (N)
    labels: Vec<u8>,
}

impl Part {
    /// The images and labels of two files.
    fn read(folder: &Path, images: &str, labels: &str) -> Result<Part, DataError> {
        let (_, shape, pixels) = bytes(folder, images, 3)?;
        let (name, _, labels) = bytes(folder, labels, 1)?;
        let images = shape.first().copied().unwrap_or_default();
        if images != labels.len() {
            let (found, wanted) = (format!("{} labels", labels.len()), format!("{images}, one for each image"));
            return Err(DataError::fault(&name, "", found, wanted, "take all four files from one place"));
        }
        Ok(Part { shape, pixels, labels })
    }

    /// The shape of one image.
    fn image(&self) -> &[usize] {
        self.shape.get(1..).unwrap_or_default()
    }

    fn dataset(self, classes: u32, rows_as_steps: bool) -> Result<Dataset, DataError> {
        let shape = self.image().to_vec();
        let images = Field::inputs(&shape, Values::Pixels(self.pixels));
        let images = if rows_as_steps { images.each_step() } else { images };
        let ids = self.labels.into_iter().map(u32::from).collect();
        Dataset::new(vec![images, Field::targets(&[], Values::Classes { ids, classes })])
    }
}

/// A file's path, and its bytes in so many dimensions.
fn bytes(folder: &Path, file: &str, dimensions: usize) -> Result<(String, Vec<usize>, Vec<u8>), DataError> {
    // Should the file have gone since it was found, reading says so.
    let path = locate(folder, file).unwrap_or_else(|| folder.join(file));
    let name = path.display().to_string();
    match idx::read(&path)? {
        Array { elements: Elements::U8(bytes), shape } if shape.len() == dimensions => Ok((name, shape, bytes)),
        Array { shape, .. } => {
            let (found, wanted) = (format!("an array of shape {shape:?}"), format!("bytes in {dimensions} dimensions"));
            Err(DataError::fault(&name, "", found, wanted, "look whether the file has the right name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::{Data, INPUTS, TARGETS};
    use crate::data::idx::tests::{file, gzip};
    use crate::storage::tests::Scratch;
    use std::fs;

    /// Two images for training and one for test, of 2 rows and 3 columns; half the files gzipped.
    fn folder() -> Scratch {
        let folder = Scratch::new();
        let pixels: Vec<u8> = (0..12).map(|i| i * 20).collect();
        let put = |name: &str, bytes: Vec<u8>| fs::write(folder.path(name), bytes).unwrap();
        put("train-images-idx3-ubyte.gz", gzip(&file(8, &[2, 2, 3], &pixels)));
        put("train-labels-idx1-ubyte", file(8, &[2], &[4, 0]));
        put("t10k-images-idx3-ubyte", file(8, &[1, 2, 3], &pixels[..6]));
        put("t10k-labels-idx1-ubyte.gz", gzip(&file(8, &[1], &[5])));
        folder
    }

    #[test]
    fn images_are_from_0_to_1_with_their_classes() {
        let folder = folder();
        let mnist = read(Some(&folder.path("")), false).unwrap();
        assert_eq!((mnist.train.len(), mnist.test.len(), mnist.classes), (2, 1, 6));
        assert_eq!(mnist.train.field(INPUTS).unwrap().shape(), [2, 3]);
        let (image, class) = (mnist.train.field(INPUTS).unwrap(), mnist.train.field(TARGETS).unwrap());
        assert_eq!(image.example(1), Data::F32([120.0, 140.0, 160.0, 180.0, 200.0, 220.0].map(|x| x / 255.0).into()));
        assert_eq!((class.example(1), mnist.train.steps()), (Data::U32(vec![0]), 1));
        let rows = read(Some(&folder.path("")), true).unwrap().train;
        assert_eq!((rows.steps(), rows.field(INPUTS).unwrap().width()), (2, 3));
    }

    #[test]
    fn torchvisions_folder_is_found_and_a_wrong_one_is_not_replaced() {
        let (folder, files) = (Scratch::new(), folder());
        fs::create_dir_all(folder.path("MNIST/raw")).unwrap();
        let said = find(Some(&folder.path(""))).unwrap_err().to_string();
        assert!(said.contains("0 of them in") && said.contains("dataset-fashion-mnist"), "{said}");
        for name in files.names() {
            fs::copy(files.path(&name), folder.path("MNIST/raw").join(name)).unwrap();
        }
        assert_eq!(find(Some(&folder.path(""))).unwrap(), folder.path("MNIST/raw"));
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        for (name, bytes, wanted) in [
            ("train-labels-idx1-ubyte", file(8, &[1], &[4]), "found 1 labels, wanted 2"),
            ("t10k-images-idx3-ubyte", file(8, &[1, 1, 1], &[4]), "images of [2, 3] and of [1, 1]"),
            ("t10k-images-idx3-ubyte", file(8, &[6], &[4; 6]), "shape [6], wanted bytes in 3 dimensions"),
        ] {
            let folder = folder();
            fs::write(folder.path(name), bytes).unwrap();
            let said = read(Some(&folder.path("")), false).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
