//! What a batch holds, by name; and a network's way to its values.

use super::LayerError;
use crate::ids::ValueId;
use crate::tensor::{DType, TensorType};

/// A named part of every batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Whether it holds numbers (`f32`) or ids (`u32`).
    pub dtype: DType,
    /// What a row has, or a timestep of it; empty for one element.
    pub shape: Vec<u32>,
    /// Whether there is one for each timestep.
    pub time: bool,
    /// Ids are below this.
    pub below: Option<u32>,
    /// Whether an element may be missing: an id [`IGNORE`](crate::ops::IGNORE), a number NaN.
    pub optional: bool,
}

impl Field {
    /// Numbers, so many a row.
    pub fn numbers(name: &str, shape: &[u32]) -> Self {
        Self { name: name.into(), dtype: DType::F32, shape: shape.into(), time: false, below: None, optional: false }
    }

    /// One id below `below` a row.
    pub fn ids(name: &str, below: u32) -> Self {
        Self { dtype: DType::U32, below: Some(below), ..Self::numbers(name, &[]) }
    }

    /// The same, but elements may be missing: what targets are.
    pub fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same with or without one for each timestep.
    pub fn over_time(self, time: bool) -> Self {
        Self { time, ..self }
    }

    /// Its type in a batch of `rows` rows and `time` timesteps.
    pub fn tensor(&self, time: u32, rows: u32) -> TensorType {
        let leading: &[u32] = if self.time { &[time, rows] } else { &[rows] };
        TensorType::new(&[leading, &self.shape].concat(), self.dtype)
    }

    /// Elements of one row, or of one timestep of it.
    pub fn width(&self) -> u64 {
        self.shape.iter().map(|&d| u64::from(d)).fold(1, u64::saturating_mul)
    }
}

/// What the sum of a batch's losses is divided by.
#[derive(Clone, Debug, PartialEq)]
pub enum Count {
    /// The rows.
    Rows,
    /// The elements of this field that are there.
    Valid(String),
    /// Those, each with the weight of its class.
    Weighted(String, Vec<f32>),
}

/// The values of a batch in a program being written, by the names of their fields.
#[derive(Clone, Debug, Default)]
pub struct Values(pub(crate) Vec<(String, ValueId)>);

impl Values {
    /// The value of the field `name`.
    ///
    /// # Errors
    /// There is no such field.
    pub fn field(&self, name: &str) -> Result<ValueId, LayerError> {
        let found = self.0.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        found.ok_or_else(|| {
            let all: Vec<_> = self.0.iter().map(|(n, _)| format!("`{n}`")).collect();
            let reason = format!("there is no field `{name}` in a batch; it has {}", all.join(", "));
            LayerError { layer: "network".into(), reason }
        })
    }
}
