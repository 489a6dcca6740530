//! What is trained: a list of layers with a task, or a function that writes any graph.

use std::fmt;
use std::sync::Arc;

use super::LayerError;
use super::builder::Builder;
use super::fields::{Count, Field, Values};
use super::model::Model;
use super::task::{Task, Time};
use crate::data::{INPUTS, TARGETS};
use crate::ids::ValueId;

/// What is trained.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// Layers, each fed by the one before or by those it names.
    Layers {
        /// The layers.
        model: Model,
        /// What they learn.
        task: Task,
    },
    /// A graph written by hand.
    Custom(Custom),
}

/// A network's answer in a program: its loss, or what it predicts.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What it predicts, of any shape.
    pub prediction: ValueId,
    /// Its loss (1).
    pub loss: ValueId,
}

type Write = dyn Fn(&mut Builder, &Values) -> Result<Answer, LayerError> + Send + Sync;

/// A network that no list of layers can say: a function from a batch's values to a loss.
///
/// The function is called once for each program that is planned, and must write the same network
/// each time. Parameters are named as it goes; one that is named twice is one parameter.
#[derive(Clone)]
pub struct Custom {
    /// What its batches hold.
    pub fields: Vec<Field>,
    /// What the sum of its losses is divided by.
    pub count: Count,
    write: Arc<Write>,
}

impl Custom {
    /// A network of these fields, whose losses are counted by the field `targets` if it has one,
    /// else by rows.
    pub fn new(
        fields: impl Into<Vec<Field>>,
        write: impl Fn(&mut Builder, &Values) -> Result<Answer, LayerError> + Send + Sync + 'static,
    ) -> Self {
        let fields = fields.into();
        let has_targets = fields.iter().any(|f| f.name == TARGETS);
        let count = if has_targets { Count::Valid(TARGETS.to_string()) } else { Count::Rows };
        Self { fields, count, write: Arc::new(write) }
    }

    /// The same with its losses counted otherwise.
    pub fn counted(self, count: Count) -> Self {
        Self { count, ..self }
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("fields", &self.fields).field("count", &self.count).finish_non_exhaustive()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields && self.count == other.count && Arc::ptr_eq(&self.write, &other.write)
    }
}

impl Network {
    /// What its batches hold.
    pub fn fields(&self) -> Vec<Field> {
        match self {
            Network::Layers { task, .. } => task.fields(),
            Network::Custom(custom) => custom.fields.clone(),
        }
    }

    /// What the sum of losses is divided by.
    pub fn count(&self) -> Count {
        match self {
            Network::Layers { task, .. } => task.count(),
            Network::Custom(custom) => custom.count.clone(),
        }
    }

    /// Its task, if it is a list of layers.
    pub fn task(&self) -> Option<&Task> {
        match self {
            Network::Layers { task, .. } => Some(task),
            Network::Custom(_) => None,
        }
    }

    /// Whether batches have a time dimension.
    pub fn is_sequence(&self) -> bool {
        self.fields().iter().any(|f| f.time)
    }

    /// Writes what it predicts, and its loss, into the program begun; `None` of a segment of a window that has no
    /// targets, as they belong to the window's end.
    pub(crate) fn write(&self, builder: &mut Builder, values: &Values) -> Result<Option<Answer>, LayerError> {
        match self {
            Network::Layers { model, task } => {
                let prediction = model.write(builder, values.field(INPUTS)?, task)?;
                if task.time == Time::WholeSequence && !builder.segment().is_last {
                    return Ok(None);
                }
                let ty = &builder.graph[prediction].ty;
                if task.time == Time::WholeSequence && ty.shape.len() != 2 {
                    return Err(builder.error(format!(
                        "its output is {ty} (T, B, F), and each sequence has one target (B, F); end with a layer of \
                         type `last`, or give each step a target (`predict = \"each\"`)"
                    )));
                }
                builder.enter("loss");
                let loss = task.write_loss(builder, prediction, values.field(TARGETS)?)?;
                Ok(Some(Answer { prediction, loss }))
            }
            Network::Custom(custom) => (custom.write)(builder, values).map(Some),
        }
    }
}
