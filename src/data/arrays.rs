//! Examples from arrays of a `.npz` or a `.safetensors` file, outermost dimension first: one example
//! each.

use std::path::Path;

use super::array::{Array, Elements};
use super::dataset::Dataset;
use super::error::{DataError, name_one_of};
use super::field::{Field, Values};
use super::npy::Npz;
use super::{Predict, Target};
use crate::ops::IGNORE;
use crate::storage::load_arrays;

/// Which arrays are wanted, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The array of what a model reads: (N, ..), or (N, T, ..) for sequences.
    pub inputs: String,
    /// The array of what it is to predict: (N, ..), or (N, T, ..) where each step has a target.
    pub targets: String,
    /// The array of the sequences' lengths: (N).
    pub lengths: Option<String>,
    /// What the targets are.
    pub target: Target,
    /// The inputs are ids, of which there are so many.
    pub vocabulary: Option<u32>,
    /// How many classes there are; none for one more than the highest.
    pub classes: Option<u32>,
    /// The inputs are sequences, and which of their steps have a target; none for no sequences.
    pub predict: Option<Predict>,
}

impl Wanted {
    /// The names of the arrays: of inputs, of targets and, if there are any, of lengths.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.inputs, &self.targets].into_iter().chain(&self.lengths).map(String::as_str)
    }
}

/// The examples of a file. A class that is -100, PyTorch's `ignore_index`, is `IGNORE`; of numbers
/// and bits, NaN is.
///
/// # Errors
/// As [`read`], [`Dataset::new`] and [`Dataset::with_lengths`]; a [`DataError::Fault`] for arrays
/// of too few dimensions or of unequal numbers of examples, and for ids that are none.
pub fn dataset(path: &Path, wanted: &Wanted) -> Result<Dataset, DataError> {
    let names: Vec<&str> = wanted.names().collect();
    let arrays = read(path, &names)?;
    examples(&path.display().to_string(), arrays, wanted)
}

/// [`dataset`], of the arrays that were [`Wanted::names`], in that order; errors call their file `file`.
///
/// # Errors
/// As [`dataset`], but for reading.
///
/// # Panics
/// If there is not one array for each name.
pub fn examples(file: &str, arrays: Vec<Array>, wanted: &Wanted) -> Result<Dataset, DataError> {
    let mut arrays = arrays.into_iter().zip(wanted.names());
    let mut next = || arrays.next().expect("there is an array for each name");
    let (inputs, targets) = (next(), next());
    check(file, &[&inputs, &targets], wanted.predict)?;
    let field = |shape: &[usize], values, timed, make: fn(&[usize], Values) -> Field| {
        let field = make(shape.get(1..).unwrap_or_default(), values);
        if timed { field.each_step() } else { field }
    };
    let (shape, timed) = (inputs.0.shape.clone(), wanted.predict.is_some());
    let values = match (wanted.vocabulary, inputs) {
        (Some(vocabulary), (array, name)) => Values::Ids { ids: array.into_ids(file, name, false)?, vocabulary },
        (None, (array, _)) => Values::Numbers(array.into_numbers()),
    };
    let examples = field(&shape, values, timed, Field::inputs);
    let (shape, timed) = (targets.0.shape.clone(), wanted.predict == Some(Predict::Each));
    let values = answers(file, targets.0, targets.1, wanted)?;
    let all = Dataset::new(vec![examples, field(&shape, values, timed, Field::targets)])?;
    if wanted.lengths.is_none() {
        return Ok(all);
    }
    let (lengths, name) = next();
    all.with_lengths(lengths.into_ids(file, name, false)?)
}

/// The arrays of those names, in their order; floats of 16 and of 64 bits become `f32`.
///
/// # Errors
/// A [`DataError::Fault`] for a file of another kind, and for a name that is not there; as
/// [`Npz::array`] and [`load_arrays`].
pub fn read(path: &Path, names: &[&str]) -> Result<Vec<Array>, DataError> {
    let file = path.display().to_string();
    let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match kind {
        "npz" => {
            let mut npz = Npz::open(path)?;
            names.iter().map(|name| npz.array(name)).collect()
        }
        "safetensors" => {
            let tensors = load_arrays(path)?.tensors;
            let known: Vec<String> = tensors.keys().cloned().collect();
            let one = |name: &&str| {
                let Some((shape, elements)) = tensors.get(*name) else {
                    let (found, wanted) = (format!("no array `{name}`"), "the arrays that were chosen");
                    return Err(DataError::fault(&file, "", found, wanted, name_one_of(name, &known)));
                };
                let size = |&size: &u64| usize::try_from(size).expect("its elements are in memory");
                Ok(Array { shape: shape.iter().map(size).collect(), elements: Elements::F32(elements.clone()) })
            };
            names.iter().map(one).collect()
        }
        _ => {
            let found = format!("the extension {kind:?}");
            let remedy = "save the arrays with `numpy.savez` or `safetensors.numpy.save_file`";
            Err(DataError::fault(&file, "", found, "npz or safetensors", remedy))
        }
    }
}

/// The values to be predicted.
fn answers(file: &str, array: Array, name: &str, wanted: &Wanted) -> Result<Values, DataError> {
    Ok(match wanted.target {
        Target::Number => Values::Numbers(array.into_numbers()),
        Target::Bit => Values::Bits(array.into_numbers()),
        Target::Class => {
            let ids = array.into_ids(file, name, true)?;
            let highest = ids.iter().filter(|&&id| id != IGNORE).max();
            let classes = wanted.classes.unwrap_or(highest.map_or(0, |highest| highest + 1));
            Values::Classes { ids, classes }
        }
    })
}

/// # Errors
/// Unless inputs and targets are of as many examples, and sequences have steps.
fn check(file: &str, arrays: &[&(Array, &str); 2], predict: Option<Predict>) -> Result<(), DataError> {
    let dimensions = [1 + usize::from(predict.is_some()), 1 + usize::from(predict == Some(Predict::Each))];
    for ((array, name), least) in arrays.iter().zip(dimensions) {
        if array.shape.len() < least {
            let (place, found) = (format!("array `{name}`"), format!("the shape {:?}", array.shape));
            let wanted = if least == 1 { "(N, ..)" } else { "(N, T, ..)" };
            return Err(DataError::fault(file, place, found, wanted, "look which array is meant"));
        }
    }
    let [inputs, targets] = arrays.map(|(array, _)| array.shape.first().copied().unwrap_or(1));
    if inputs == targets {
        return Ok(());
    }
    let found = format!("{inputs} of `{}` and {targets} of `{}`", arrays[0].1, arrays[1].1);
    Err(DataError::fault(file, "", found, "as many of both", "look which arrays are meant"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::npy::tests::{file, npz};
    use crate::storage::save_tensors;
    use crate::storage::tests::Scratch;
    use std::collections::BTreeMap;
    use zip::CompressionMethod::Deflated;

    fn wanted() -> Wanted {
        Wanted {
            inputs: "x".into(),
            targets: "y".into(),
            lengths: None,
            target: Target::Class,
            vocabulary: Some(9),
            classes: None,
            predict: Some(Predict::Last),
        }
    }

    /// Two sequences of three ids each, and their classes, of which the second is to be ignored.
    fn folder() -> Scratch {
        let folder = Scratch::new();
        let classes = [1i64, -100].map(i64::to_le_bytes).concat();
        let arrays = [
            ("x", file(1, "|u1", false, "(2, 3)", &[1, 2, 3, 4, 8, 6])),
            ("y", file(1, "<i8", false, "(2,)", &classes)),
            ("n", file(1, "|u1", false, "(2,)", &[3, 1])),
        ];
        std::fs::write(folder.path("a.npz"), npz(&arrays, Deflated)).unwrap();
        folder
    }

    #[test]
    fn sequences_of_ids_with_lengths_become_examples() {
        let data = dataset(&folder().path("a.npz"), &Wanted { lengths: Some("n".into()), ..wanted() }).unwrap();
        assert_eq!((data.len(), data.steps(), data.length(1)), (2, 3, 1));
        let classes = Values::Classes { ids: vec![1, IGNORE], classes: 2 };
        assert_eq!(data.fields()[1].values(), &classes);
        assert!(!data.fields()[1].is_timed() && data.fields()[0].is_timed());
    }

    #[test]
    fn safetensors_become_examples() {
        let folder = Scratch::new();
        let path = folder.path("a.safetensors");
        let tensors = [("x".into(), vec![2, 2], &[1.0, 2.0, 3.0, 4.0][..]), ("y".into(), vec![2], &[0.0, 1.0][..])];
        save_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
        let asked = Wanted { vocabulary: None, predict: None, target: Target::Bit, ..wanted() };
        let data = dataset(&path, &asked).unwrap();
        assert_eq!((data.len(), data.fields()[0].shape(), data.steps()), (2, &[2][..], 1));
        let said = dataset(&path, &Wanted { inputs: "xs".into(), ..asked }).unwrap_err().to_string();
        assert!(said.contains("no array `xs`") && said.contains("there are `x`, `y`"), "{said}");
    }

    #[test]
    fn no_examples_of_a_size_that_cannot_be_counted_are_no_examples() {
        let folder = Scratch::new();
        let shape = "(0, 9223372036854775808, 4)";
        let none = [("x", file(1, "<f4", false, shape, &[])), ("y", file(1, "<f4", false, "(0,)", &[]))];
        std::fs::write(folder.path("c.npz"), npz(&none, Deflated)).unwrap();
        for predict in [None, Some(Predict::Last)] {
            let asked = Wanted { vocabulary: None, target: Target::Number, predict, ..wanted() };
            let said = dataset(&folder.path("c.npz"), &asked).unwrap_err().to_string();
            assert!(said.contains("wanted at least one example"), "{said}");
        }
    }

    #[test]
    fn arrays_that_are_not_as_asked_are_refused() {
        let folder = folder();
        let of_3 = [("x", file(1, "|u1", false, "(3,)", &[1; 3])), ("y", file(1, "|u1", false, "(2,)", &[1; 2]))];
        std::fs::write(folder.path("b.npz"), npz(&of_3, Deflated)).unwrap();
        for (name, asked, said) in [
            ("a.npz", Wanted { predict: Some(Predict::Each), ..wanted() }, "array `y`: found the shape [2]"),
            ("a.npz", Wanted { vocabulary: Some(8), ..wanted() }, "the id 8, wanted an id below 8"),
            ("a.npz", Wanted { classes: Some(1), ..wanted() }, "the id 1, wanted an id below 1"),
            ("a.npz", Wanted { lengths: Some("x".into()), ..wanted() }, "6 lengths, wanted 2"),
            ("b.npz", Wanted { predict: None, ..wanted() }, "3 of `x` and 2 of `y`"),
            ("b.txt", wanted(), "wanted npz or safetensors"),
        ] {
            let found = dataset(&folder.path(name), &asked).unwrap_err().to_string();
            assert!(found.contains(said), "{found}");
        }
    }
}
