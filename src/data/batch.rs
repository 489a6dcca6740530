//! What a step is given: named numbers or ids, timesteps outermost.

use crate::ops::IGNORE;
use crate::text::Window;

/// The name of what a model reads.
pub const INPUTS: &str = "inputs";
/// The name of what it is to predict.
pub const TARGETS: &str = "targets";

/// Numbers or ids.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Numbers.
    F32(Vec<f32>),
    /// Ids.
    U32(Vec<u32>),
}

impl Data {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(x) => x.len(),
            Data::U32(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As the device holds them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Data::F32(x) => bytemuck::cast_slice(x),
            Data::U32(x) => bytemuck::cast_slice(x),
        }
    }

    /// Those that there is something to learn from: neither [`IGNORE`] nor NaN.
    pub fn valid(&self) -> usize {
        match self {
            Data::F32(x) => x.iter().filter(|x| !x.is_nan()).count(),
            Data::U32(x) => x.iter().filter(|&&id| id != IGNORE).count(),
        }
    }

    /// Of vectors (`time`, `rows`, ..), those of rows `from..to`: (`time`, `to - from`, ..).
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn rows(&self, time: usize, rows: usize, from: usize, to: usize) -> Self {
        fn cut<T: Copy>(x: &[T], time: usize, rows: usize, from: usize, to: usize) -> Vec<T> {
            let width = x.len() / (time * rows);
            (0..time).flat_map(|t| &x[(t * rows + from) * width..(t * rows + to) * width]).copied().collect()
        }
        match self {
            Data::F32(x) => Data::F32(cut(x, time, rows, from, to)),
            Data::U32(x) => Data::U32(cut(x, time, rows, from, to)),
        }
    }
}

/// One update's data. A field is (T, B, ..) or (B, ..); how much belongs to a step of a row follows
/// from its length, `len / (T * B)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Names, [`INPUTS`] and [`TARGETS`] among them, and what they name.
    pub fields: Vec<(String, Data)>,
    /// (B): steps of each row, at least 1; what follows them is padding. Empty: all steps of all
    /// rows.
    pub lengths: Vec<u32>,
    /// (B): whether a row's carried state starts from zero. Empty: all states are kept.
    pub reset: Vec<bool>,
}

impl From<Window> for Batch {
    fn from(window: Window) -> Self {
        Batch::tokens(window.inputs, window.targets).with_reset(window.reset)
    }
}

impl Batch {
    /// Features (B, I) or (T, B, I) and the class of each row, or of each step.
    pub fn classes(features: Vec<f32>, classes: Vec<u32>) -> Self {
        Self::of(Data::F32(features), Data::U32(classes))
    }

    /// Features (B, I) or (T, B, I) and the numbers, or the bits, of each row, or of each step.
    pub fn numbers(features: Vec<f32>, targets: Vec<f32>) -> Self {
        Self::of(Data::F32(features), Data::F32(targets))
    }

    /// Ids (T, B) and the ids to be predicted of them: (T, B), or (B).
    pub fn tokens(inputs: Vec<u32>, targets: Vec<u32>) -> Self {
        Self::of(Data::U32(inputs), Data::U32(targets))
    }

    /// Any inputs and any targets.
    pub fn of(inputs: Data, targets: Data) -> Self {
        Self::named([(INPUTS, inputs), (TARGETS, targets)])
    }

    /// Any fields, as a network written by hand names them.
    pub fn named<'a>(fields: impl IntoIterator<Item = (&'a str, Data)>) -> Self {
        let fields = fields.into_iter().map(|(name, data)| (name.to_string(), data)).collect();
        Self { fields, lengths: Vec::new(), reset: Vec::new() }
    }

    /// With the steps of each row.
    #[must_use]
    pub fn with_lengths(self, lengths: Vec<u32>) -> Self {
        Self { lengths, ..self }
    }

    /// With what each row's carried state starts from.
    #[must_use]
    pub fn with_reset(self, reset: Vec<bool>) -> Self {
        Self { reset, ..self }
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&Data> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, data)| data)
    }

    /// Targets that there is something to learn from; 0 without targets.
    pub fn valid(&self) -> usize {
        self.field(TARGETS).map_or(0, Data::valid)
    }

    /// Bytes of all fields.
    pub fn bytes(&self) -> usize {
        self.fields.iter().map(|(_, data)| data.bytes().len()).sum()
    }

    /// Group `group` of `groups` equal groups of its `rows` rows; `time` says of how many steps a
    /// field is: T, or 1 where rows have no steps.
    ///
    /// # Panics
    /// Unless `groups` divides `rows` and `group < groups`.
    #[must_use]
    pub fn group(&self, rows: usize, group: usize, groups: usize, time: impl Fn(&str) -> usize) -> Self {
        assert!(group < groups && rows.is_multiple_of(groups), "{rows} rows have no group {group} of {groups}");
        let (from, to) = (rows / groups * group, rows / groups * (group + 1));
        let field = |(name, data): &(String, Data)| (name.clone(), data.rows(time(name), rows, from, to));
        Self {
            fields: self.fields.iter().map(field).collect(),
            lengths: if self.lengths.is_empty() { Vec::new() } else { self.lengths[from..to].to_vec() },
            reset: if self.reset.is_empty() { Vec::new() } else { self.reset[from..to].to_vec() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_rows_of_every_step_and_of_every_field() {
        let inputs = (0..12).map(|i| i as f32).collect(); // (2, 2, 3)
        let batch = Batch::classes(inputs, vec![7, IGNORE]).with_lengths(vec![2, 1]).with_reset(vec![true, false]);
        let group = batch.group(2, 1, 2, |name| if name == INPUTS { 2 } else { 1 });
        assert_eq!(group.field(INPUTS), Some(&Data::F32(vec![3.0, 4.0, 5.0, 9.0, 10.0, 11.0])));
        assert_eq!(group.field(TARGETS), Some(&Data::U32(vec![IGNORE])));
        assert_eq!((group.lengths.as_slice(), group.reset.as_slice()), (&[1][..], &[false][..]));
        assert_eq!((batch.valid(), group.valid(), batch.bytes()), (1, 0, 56));
        assert_eq!(batch.field("weights"), None);
    }

    #[test]
    fn not_a_number_is_no_target() {
        assert_eq!(Batch::numbers(vec![], vec![1.0, f32::NAN, f32::INFINITY]).valid(), 2);
    }
}
