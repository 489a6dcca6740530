//! What a step is given: numbers or ids, row by row, checked before the device sees them.

use super::{Task, Training};
use crate::error::Error;
use crate::text::{IGNORE, Window};

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

    /// Of `time` by `rows` vectors, those of rows `from..to`.
    fn rows(&self, time: usize, rows: usize, from: usize, to: usize) -> Self {
        fn cut<T: Copy>(x: &[T], time: usize, rows: usize, from: usize, to: usize) -> Vec<T> {
            let width = x.len() / (time * rows);
            let of = |t: usize| &x[(t * rows + from) * width..(t * rows + to) * width];
            (0..time).flat_map(|t| of(t).to_vec()).collect()
        }
        match self {
            Data::F32(x) => Data::F32(cut(x, time, rows, from, to)),
            Data::U32(x) => Data::U32(cut(x, time, rows, from, to)),
        }
    }
}

/// One update's data, timesteps outermost: inputs (T, B, ..) and targets (T, B, ..).
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Ids (T, B), or features (B, I).
    pub inputs: Data,
    /// Ids (T, B) or (B), [`IGNORE`] where there is nothing to learn; or numbers (B, O).
    pub targets: Data,
    /// For each row, whether its carried state starts from zero; empty for all rows kept.
    pub reset: Vec<bool>,
}

impl From<Window> for Batch {
    fn from(window: Window) -> Self {
        Self { inputs: Data::U32(window.inputs), targets: Data::U32(window.targets), reset: window.reset }
    }
}

impl Batch {
    /// Features and the class of each row.
    pub fn classes(features: Vec<f32>, classes: Vec<u32>) -> Self {
        Self { inputs: Data::F32(features), targets: Data::U32(classes), reset: Vec::new() }
    }

    /// Features and the numbers of each row.
    pub fn numbers(features: Vec<f32>, targets: Vec<f32>) -> Self {
        Self { inputs: Data::F32(features), targets: Data::F32(targets), reset: Vec::new() }
    }

    /// Group `group` of `groups` equal groups of its `rows` rows.
    pub(super) fn group(&self, time: u32, rows: u32, group: u32, groups: u32) -> Self {
        let [time, rows, group, groups] = [time, rows, group, groups].map(|n| n as usize);
        let (from, to) = (rows / groups * group, rows / groups * (group + 1));
        Self {
            inputs: self.inputs.rows(time, rows, from, to),
            targets: self.targets.rows(time, rows, from, to),
            reset: if self.reset.is_empty() { Vec::new() } else { self.reset[from..to].to_vec() },
        }
    }

    /// What the sum of losses is divided by: valid targets, or elements.
    pub(super) fn valid(&self) -> usize {
        match &self.targets {
            Data::F32(x) => x.len(),
            Data::U32(x) => x.iter().filter(|&&t| t != IGNORE).count(),
        }
    }

    /// Whether it is what `training` expects of `rows` rows.
    pub(super) fn check(&self, training: &Training, rows: u32) -> Result<(), Error> {
        let cells = u64::from(rows) * u64::from(training.window);
        let ids = |name, data: &Data, count: u64, below: u32, ignored: bool| match data {
            Data::F32(_) => Err(Error::Input(format!("{name} are numbers, and the task takes ids"))),
            Data::U32(x) => counted(name, x.len(), count).and_then(|()| in_range(name, x, below, ignored)),
        };
        let numbers = |name, data: &Data, count: u64| match data {
            Data::U32(_) => Err(Error::Input(format!("{name} are ids, and the task takes numbers"))),
            Data::F32(x) => counted(name, x.len(), count),
        };
        match training.task {
            Task::NextToken { vocabulary } => {
                ids("inputs", &self.inputs, cells, vocabulary, false)?;
                ids("targets", &self.targets, cells, vocabulary, true)?;
            }
            Task::Regression { features, targets } => {
                numbers("inputs", &self.inputs, cells * u64::from(features))?;
                numbers("targets", &self.targets, cells * u64::from(targets))?;
            }
            Task::Classification { features, classes } => {
                numbers("inputs", &self.inputs, cells * u64::from(features))?;
                ids("targets", &self.targets, cells, classes, true)?;
            }
        }
        if self.reset.is_empty() { Ok(()) } else { counted("resets", self.reset.len(), rows.into()) }
    }
}

fn counted(name: &str, found: usize, wanted: u64) -> Result<(), Error> {
    if found as u64 == wanted {
        return Ok(());
    }
    Err(Error::Input(format!("the batch has {found} {name}, and the plan is for {wanted}")))
}

fn in_range(name: &str, ids: &[u32], below: u32, ignored: bool) -> Result<(), Error> {
    let wrong = ids.iter().position(|&id| id >= below && !(ignored && id == IGNORE));
    match wrong {
        None => Ok(()),
        Some(at) => Err(Error::Input(format!("{name}: id {} at position {at} is not below {below}", ids[at]))),
    }
}
