//! One kind of thing that all examples have, in memory once however often examples share it.
//!
//! ```text
//! values | a b c d e f g h |     example i is values[first + i * stride ..][.. shape]
//! i = 0    [a b c]
//! i = 1      [b c d]             windows of a series overlap: stride < size
//! ```

use std::ops::Range;

use super::batch::{Data, INPUTS, TARGETS};
use super::error::DataError;
use crate::ops::IGNORE;

/// What a field holds for all examples: (N, ..shape), outermost first.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers; as targets they may be NaN.
    Numbers(Vec<f32>),
    /// Bytes of images; a batch has them divided by 255, as torchvision's `ToTensor` does.
    Pixels(Vec<u8>),
    /// Ids of tokens.
    Ids {
        /// Each below `vocabulary`.
        ids: Vec<u32>,
        /// How many ids there are.
        vocabulary: u32,
    },
    /// Ids of classes; as targets they may be [`IGNORE`].
    Classes {
        /// Each below `classes`.
        ids: Vec<u32>,
        /// How many classes there are.
        classes: u32,
    },
    /// 0 and 1; as targets also NaN.
    Bits(Vec<f32>),
}

impl Values {
    /// How many there are, of all examples together.
    pub fn len(&self) -> usize {
        match self {
            Values::Numbers(x) | Values::Bits(x) => x.len(),
            Values::Pixels(x) => x.len(),
            Values::Ids { ids, .. } | Values::Classes { ids, .. } => ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they take in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Values::Pixels(x) => x.len(),
            _ => self.len() * size_of::<u32>(),
        }
    }

    /// The first that may not be, with what may.
    fn first_wrong(&self, target: bool) -> Option<(usize, String, String)> {
        let number = |x: &[f32], ok: fn(f32) -> bool, wanted: &str| {
            let at = x.iter().position(|&x| !(ok(x) || target && x.is_nan()))?;
            Some((at, x[at].to_string(), wanted.to_string()))
        };
        let id = |ids: &[u32], below: u32| {
            let at = ids.iter().position(|&id| id >= below && !(target && id == IGNORE))?;
            Some((at, format!("the id {}", ids[at]), format!("an id below {below}")))
        };
        match self {
            Values::Numbers(x) => number(x, f32::is_finite, "a finite number"),
            Values::Bits(x) => number(x, |x| x == 0.0 || x == 1.0, "0 or 1"),
            Values::Pixels(_) => None,
            Values::Ids { ids, vocabulary } => id(ids, *vocabulary),
            Values::Classes { ids, classes } => id(ids, *classes),
        }
    }

    /// Those of `range`, as a batch has them.
    fn cut(&self, range: Range<usize>) -> Data {
        match self {
            Values::Numbers(x) | Values::Bits(x) => Data::F32(x[range].to_vec()),
            Values::Pixels(x) => Data::F32(x[range].iter().map(|&byte| f32::from(byte) / 255.0).collect()),
            Values::Ids { ids, .. } | Values::Classes { ids, .. } => Data::U32(ids[range].to_vec()),
        }
    }
}

/// Elements of one example. A file without examples may give them any shape: what cannot be counted is more
/// than there is of anything.
fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1, |elements, &size| elements.saturating_mul(size))
}

/// A field of a dataset: its name, its values, and the shape of one example.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    name: String,
    values: Values,
    shape: Vec<usize>,
    timed: bool,
    target: bool,
    first: usize,
    stride: usize,
    /// Examples that are taken, where that is fewer than there are values for.
    taken: Option<usize>,
}

impl Field {
    /// What a model reads, under the name [`INPUTS`]: for each example numbers or ids of `shape`,
    /// outermost first.
    pub fn inputs(shape: &[usize], values: Values) -> Field {
        let stride = elements(shape);
        let (name, shape) = (INPUTS.into(), shape.into());
        Field { name, values, shape, timed: false, target: false, first: 0, stride, taken: None }
    }

    /// What is to be predicted, under the name [`TARGETS`].
    pub fn targets(shape: &[usize], values: Values) -> Field {
        Field { name: TARGETS.into(), target: true, ..Field::inputs(shape, values) }
    }

    /// Under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Field {
        Field { name: name.into(), ..self }
    }

    /// The first of its dimensions is time: batches have it outermost.
    #[must_use]
    pub fn each_step(self) -> Field {
        Field { timed: true, ..self }
    }

    /// Example i begins at value `first + i * stride`.
    #[must_use]
    pub(super) fn spaced(self, first: usize, stride: usize) -> Field {
        Field { first, stride, ..self }
    }

    /// Only the first `examples` are taken.
    #[must_use]
    pub(super) fn taking(self, examples: usize) -> Field {
        Field { taken: Some(examples), ..self }
    }

    /// Its name in a batch.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds, of all examples.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The shape of one example, outermost first, time included.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// T, or 1 where examples have no steps.
    pub fn steps(&self) -> usize {
        if self.timed { self.shape[0] } else { 1 }
    }

    /// Whether its examples have steps.
    pub fn is_timed(&self) -> bool {
        self.timed
    }

    /// Whether it is to be predicted.
    pub fn is_target(&self) -> bool {
        self.target
    }

    /// Whether examples lie otherwise than one after the other.
    pub(super) fn is_spaced(&self) -> bool {
        self.first != 0 || self.stride != self.size() || self.taken.is_some()
    }

    /// Elements of one example.
    pub fn size(&self) -> usize {
        elements(&self.shape)
    }

    /// Elements of one step of one example.
    pub fn width(&self) -> usize {
        self.size() / self.steps()
    }

    /// Examples that it has.
    pub(super) fn examples(&self) -> usize {
        let room = self.values.len().checked_sub(self.first.saturating_add(self.size()));
        // `check` refuses examples of nothing, whose stride is 0.
        let all = room.map_or(0, |room| room / self.stride.max(1) + 1);
        self.taken.map_or(all, |taken| taken.min(all))
    }

    /// The values of example `i`, before any batch.
    pub(super) fn example(&self, i: usize) -> Data {
        let start = self.first + i * self.stride;
        self.values.cut(start..start + self.size())
    }

    /// `len` elements that stand for nothing: 0 for inputs, [`IGNORE`] or NaN for targets.
    pub(super) fn padding(&self, len: usize) -> Data {
        match (&self.values, self.target) {
            (Values::Numbers(_) | Values::Pixels(_) | Values::Bits(_), false) => Data::F32(vec![0.0; len]),
            (Values::Numbers(_) | Values::Pixels(_) | Values::Bits(_), true) => Data::F32(vec![f32::NAN; len]),
            (Values::Ids { .. } | Values::Classes { .. }, false) => Data::U32(vec![0; len]),
            (Values::Ids { .. } | Values::Classes { .. }, true) => Data::U32(vec![IGNORE; len]),
        }
    }

    /// # Errors
    /// A value that may not be, or dimensions of nothing.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let name = &self.name;
        if self.shape.contains(&0) || self.timed && self.shape.is_empty() {
            let remedy = "give every example at least one value";
            let found = format!("examples of shape {:?}", self.shape);
            return Err(DataError::fault("the dataset", format!("field `{name}`"), found, "no empty shape", remedy));
        }
        let Some((at, found, wanted)) = self.values.first_wrong(self.target) else { return Ok(()) };
        let place =
            format!("field `{name}`, value {at} (example {})", at.saturating_sub(self.first) / self.stride.max(1));
        Err(DataError::fault("the dataset", place, found, wanted, "correct it, or leave the example out"))
    }
}
