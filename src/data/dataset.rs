//! Examples in memory, all of one shape; parts of a dataset share its memory.

use std::sync::Arc;

use super::error::DataError;
use super::field::Field;
use super::split::{Order, Parts, split};

/// Examples with named fields. A clone, a subset or a part shares the values.
///
/// Sequences of unequal lengths are padded to T steps; `lengths` says how many steps of each are
/// meant, and batches have padding for the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    fields: Arc<[Field]>,
    /// (N of all examples): at least 1 and at most T; none for T.
    lengths: Option<Arc<[u32]>>,
    /// Which of all examples these are.
    examples: Arc<[usize]>,
}

impl Dataset {
    /// All examples of the fields.
    ///
    /// # Errors
    /// A [`DataError::Fault`] for fields of unequal numbers of examples or of steps, for two of one
    /// name, for no examples, and for the first value that its kind does not allow.
    pub fn new(fields: Vec<Field>) -> Result<Dataset, DataError> {
        fields.iter().try_for_each(Field::check)?;
        let fault = |found: String, wanted, remedy| Err(DataError::fault("the dataset", "", found, wanted, remedy));
        let counts: Vec<usize> = fields.iter().map(Field::examples).collect();
        let said = || {
            let each = fields.iter().zip(&counts).map(|(field, n)| format!("{n} of `{}`", field.name()));
            format!("examples: {}", each.collect::<Vec<_>>().join(", "))
        };
        let len = counts.iter().copied().min().unwrap_or(0);
        if len == 0 {
            return fault(said(), "at least one example", "look whether the file has any");
        }
        let whole = |field: &Field| field.values().len() == field.size() * len;
        if counts.iter().any(|&n| n != len) || !fields.iter().all(|field| field.is_spaced() || whole(field)) {
            return fault(said(), "as many of every field, and no part of one", "look which examples lack one");
        }
        let steps: Vec<usize> = fields.iter().filter(|field| field.is_timed()).map(Field::steps).collect();
        if steps.windows(2).any(|pair| pair[0] != pair[1]) {
            return fault(format!("fields of {steps:?} steps"), "as many steps of every field", "pad the shorter ones");
        }
        for (i, field) in fields.iter().enumerate() {
            if fields[..i].iter().any(|other| other.name() == field.name()) {
                return fault(format!("two fields named `{}`", field.name()), "one", "name one of them otherwise");
            }
        }
        Ok(Dataset { fields: fields.into(), lengths: None, examples: (0..len).collect() })
    }

    /// With the number of steps that each example has.
    ///
    /// # Errors
    /// A [`DataError::Fault`] unless there are as many as examples, each at least 1 and at most T.
    pub fn with_lengths(self, lengths: Vec<u32>) -> Result<Dataset, DataError> {
        let (steps, all) = (self.steps(), self.all());
        let fault = |place: String, found: String, wanted: String, remedy| {
            Err(DataError::fault("the dataset", place, found, wanted, remedy))
        };
        if !self.fields.iter().any(Field::is_timed) {
            let remedy = "leave them out, or make the inputs sequences";
            return fault(String::new(), "lengths, but no sequences".into(), "sequences".into(), remedy);
        }
        if lengths.len() != all {
            let found = format!("{} lengths", lengths.len());
            return fault(String::new(), found, format!("{all}, one for each example"), "give each example one");
        }
        if let Some(i) = lengths.iter().position(|&len| len == 0 || len as usize > steps) {
            let (place, found) = (format!("example {i}"), format!("the length {}", lengths[i]));
            return fault(place, found, format!("at least 1 and at most {steps}"), "leave it out, or correct it");
        }
        Ok(Dataset { lengths: Some(lengths.into()), ..self })
    }

    /// N: examples of this part.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether this part has none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// T, or 1 where examples have no steps.
    pub fn steps(&self) -> usize {
        self.fields.iter().map(Field::steps).max().unwrap_or(1)
    }

    /// All fields, in the order in which batches have them.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether both are parts of the same examples, which are then in memory once.
    pub fn shares_with(&self, other: &Dataset) -> bool {
        Arc::ptr_eq(&self.fields, &other.fields)
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name() == name)
    }

    /// Whether its sequences are of unequal lengths.
    pub fn has_lengths(&self) -> bool {
        self.lengths.is_some()
    }

    /// Which example of the whole dataset example `i` of this part is.
    ///
    /// # Panics
    /// Unless `i < N`.
    pub fn origin(&self, i: usize) -> usize {
        self.examples[i]
    }

    /// Steps of example `i` of this part.
    ///
    /// # Panics
    /// Unless `i < N`.
    pub fn length(&self, i: usize) -> usize {
        self.lengths.as_ref().map_or(self.steps(), |lengths| lengths[self.examples[i]] as usize)
    }

    /// Those examples of this part, in that order; one may come more than once.
    ///
    /// # Panics
    /// Unless all are below N.
    #[must_use]
    pub fn subset(&self, examples: &[usize]) -> Dataset {
        Dataset { examples: examples.iter().map(|&i| self.examples[i]).collect(), ..self.clone() }
    }

    /// The parts for training, validation and test, of which the last two are the fractions
    /// `validation` and `test` of all examples, rounded down.
    ///
    /// # Errors
    /// As [`split`].
    pub fn split(&self, validation: f64, test: f64, order: Order) -> Result<Parts<Dataset>, DataError> {
        Ok(split(self.len(), validation, test, order)?.map(|examples| self.subset(&examples)))
    }

    /// Examples of the whole dataset.
    fn all(&self) -> usize {
        self.fields.iter().map(Field::examples).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::TARGETS;
    use super::super::field::Values;
    use super::*;
    use crate::ops::IGNORE;

    fn numbers(n: usize) -> Values {
        Values::Numbers((0..n).map(|i| i as f32).collect())
    }

    fn refused(fields: Vec<Field>) -> String {
        Dataset::new(fields).unwrap_err().to_string()
    }

    #[test]
    fn fields_that_do_not_belong_together_are_refused_with_their_numbers() {
        let inputs = |n| Field::inputs(&[2], numbers(n));
        let classes = |ids: &[u32]| Field::targets(&[], Values::Classes { ids: ids.into(), classes: 3 });
        assert!(Dataset::new(vec![inputs(4), classes(&[0, 2])]).is_ok());
        assert!(refused(vec![inputs(4), classes(&[0])]).contains("2 of `inputs`, 1 of `targets`"));
        assert!(refused(vec![inputs(5), classes(&[0, 0])]).contains("no part of one"));
        assert!(refused(vec![]).contains("at least one example"));
        assert!(refused(vec![inputs(1)]).contains("0 of `inputs`"));
        assert!(refused(vec![inputs(4), inputs(4)]).contains("two fields named `inputs`"));
        assert!(refused(vec![Field::inputs(&[0], numbers(0))]).contains("no empty shape"));
        let steps = |t| Field::inputs(&[t], numbers(12)).each_step();
        assert!(refused(vec![steps(3), Field::targets(&[6], numbers(12)),]).contains("4 of `inputs`, 2 of"));
        assert!(refused(vec![steps(3), Field::targets(&[4], numbers(16)).each_step()]).contains("[3, 4] steps"));
    }

    #[test]
    fn values_that_their_kind_does_not_allow_are_refused_with_their_place() {
        let of = |values: Values| vec![Field::inputs(&[1], values)];
        let said = refused(of(Values::Numbers(vec![0.0, f32::NAN])));
        assert_eq!(
            said,
            "the dataset, field `inputs`, value 1 (example 1): found NaN, wanted a finite number; \
             correct it, or leave the example out"
        );
        assert!(refused(of(Values::Ids { ids: vec![3], vocabulary: 3 })).contains("the id 3, wanted an id below 3"));
        assert!(refused(of(Values::Bits(vec![0.5]))).contains("0.5, wanted 0 or 1"));
        let targets = |values: Values| Dataset::new(vec![Field::targets(&[], values)]);
        assert!(targets(Values::Numbers(vec![f32::NAN])).is_ok());
        assert!(targets(Values::Classes { ids: vec![IGNORE], classes: 2 }).is_ok());
        assert!(targets(Values::Numbers(vec![f32::INFINITY])).is_err());
    }

    #[test]
    fn a_subset_is_its_examples_in_their_order_and_knows_where_they_are_from() {
        let data = Dataset::new(vec![Field::inputs(&[1, 2], numbers(8)).each_step()]).unwrap();
        let part = data.subset(&[3, 1, 2]).subset(&[0, 2]);
        assert_eq!((part.len(), part.origin(0), part.origin(1), data.steps()), (2, 3, 2, 1));
        assert!(part.field(TARGETS).is_none() && part.subset(&[]).is_empty());
    }

    #[test]
    fn lengths_are_one_for_each_example_and_within_the_steps() {
        let data = || Dataset::new(vec![Field::inputs(&[3, 1], numbers(6)).each_step()]).unwrap();
        assert_eq!(data().with_lengths(vec![3, 1]).unwrap().subset(&[1]).length(0), 1);
        for (lengths, wanted) in
            [(vec![1], "1 lengths, wanted 2"), (vec![0, 1], "example 0"), (vec![1, 4], "at most 3")]
        {
            let said = data().with_lengths(lengths).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
        let flat = Dataset::new(vec![Field::inputs(&[3], numbers(6))]).unwrap();
        assert!(flat.with_lengths(vec![1, 1]).is_err());
    }
}
