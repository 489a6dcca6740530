//! Training described as data: model, task, batch geometry, optimizer. From it come the programs,
//! the plan, and the session that runs it.

mod batch;
mod optimizer;
mod programs;
mod rate;
mod refuse;
mod session;
mod writer;

use crate::bytes::Bytes;
use crate::error::Error;
use crate::nn::Model;
use crate::plan::Plan;
use crate::storage::NamedShape;
use crate::target::Target;
use crate::text::Vocabulary;

pub use batch::{Batch, Data};
pub use optimizer::Optimizer;
pub use programs::{Handles, SampleHandles};
pub use rate::{Anneal, Curve, OneCycle, PlateauState, Rate, Schedule};
pub use session::{Evaluation, NamedNumbers, Session, StepReport};
pub use writer::{Sampling, Writer};

/// What a model learns, and what its batches look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task {
    /// From ids (T, B), each next one: cross-entropy over the vocabulary, mean over valid targets.
    NextToken {
        /// Number of ids.
        vocabulary: u32,
    },
    /// From features (B, I), numbers (B, O): mean squared error over all elements.
    Regression {
        /// I.
        features: u32,
        /// O.
        targets: u32,
    },
    /// From features (B, I), a class each: cross-entropy, mean over valid targets.
    Classification {
        /// I.
        features: u32,
        /// Number of classes.
        classes: u32,
    },
}

impl Task {
    /// The next unit of a text with this vocabulary.
    pub fn next_token(vocabulary: &Vocabulary) -> Self {
        Task::NextToken { vocabulary: vocabulary.size() }
    }

    /// Features the model's output must have.
    pub fn outputs(self) -> u32 {
        match self {
            Task::NextToken { vocabulary } => vocabulary,
            Task::Regression { targets, .. } => targets,
            Task::Classification { classes, .. } => classes,
        }
    }

    /// Whether batches have a time dimension.
    pub fn is_sequence(self) -> bool {
        matches!(self, Task::NextToken { .. })
    }
}

/// Timesteps of the longest window; each is a dispatch or two of every recurrent layer.
const LONGEST_WINDOW: u32 = 1 << 16;

/// A training run, but for its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The layers.
    pub model: Model,
    /// What is learnt.
    pub task: Task,
    /// Rows of one update.
    pub batch: u32,
    /// Timesteps of one window of truncated backpropagation through time; 1 without time.
    pub window: u32,
    /// Micro-steps that an update is split into, each of `batch / accumulate` rows. The update is
    /// the same up to rounding.
    pub accumulate: u32,
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// The global norm that gradients are scaled down to, if they exceed it.
    pub clip_norm: Option<f32>,
    /// What every random number is drawn from.
    pub seed: u64,
    /// Bytes the run may use; `None` for what the device offers.
    pub memory: Option<Bytes>,
    /// Losses are read back every so many steps.
    pub report_every: u32,
    /// Whether parameters will be learnt; without it there are no gradients and no optimizer.
    pub learn: bool,
    /// Whether held-out data will be evaluated.
    pub evaluate: bool,
    /// Whether text will be sampled.
    pub sample: bool,
}

impl Training {
    /// A run with AdamW at its defaults, no accumulation, no clipping, and no budget.
    pub fn new(model: Model, task: Task, batch: u32) -> Self {
        Self {
            model,
            task,
            batch,
            window: 1,
            accumulate: 1,
            optimizer: Optimizer::default(),
            clip_norm: None,
            seed: 0,
            memory: None,
            report_every: 10,
            learn: true,
            evaluate: true,
            sample: task.is_sequence(),
        }
    }

    /// The same with windows of `window` timesteps.
    pub fn window(self, window: u32) -> Self {
        Self { window, ..self }
    }

    /// The same with updates split into `accumulate` micro-steps.
    pub fn accumulate(self, accumulate: u32) -> Self {
        Self { accumulate, ..self }
    }

    /// Plans the run for `target`, with no device. Whether it fits is asked by
    /// [`Planned::refusal`].
    ///
    /// # Errors
    /// Layers that do not fit one another, and settings that make no sense.
    pub fn plan(&self, target: &Target) -> Result<Planned, Error> {
        self.check()?;
        programs::plan(self, target)
    }

    /// Rows of one micro-step.
    pub fn micro_batch(&self) -> u32 {
        self.batch / self.accumulate.max(1)
    }

    fn check(&self) -> Result<(), Error> {
        let positive = [
            ("batch", self.batch),
            ("window", self.window),
            ("accumulate", self.accumulate),
            ("report_every", self.report_every),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, n)| *n == 0) {
            return Err(Error::Input(format!("`{name}` is 0 and must be at least 1")));
        }
        if !self.batch.is_multiple_of(self.accumulate) {
            let fits: Vec<_> =
                (1..=self.batch.min(4096)).filter(|n| self.batch.is_multiple_of(*n)).map(|n| n.to_string()).collect();
            let (batch, accumulate, fits) = (self.batch, self.accumulate, fits.join(", "));
            return Err(Error::Input(format!(
                "a batch of {batch} rows cannot be split into {accumulate} equal micro-steps; {fits} would do"
            )));
        }
        if self.window > LONGEST_WINDOW {
            let window = self.window;
            return Err(Error::Input(format!(
                "`window` is {window}: a window is planned timestep by timestep and may have {LONGEST_WINDOW} of them; \
                 state is carried from one to the next, so a shorter one still reads the whole text"
            )));
        }
        if !self.task.is_sequence() && self.window != 1 {
            return Err(Error::Input(format!("`window` is {}, but the task has no time; leave it at 1", self.window)));
        }
        if self.model.layers.is_empty() {
            return Err(Error::Input("the model has no layers".into()));
        }
        if self.task.outputs() == 0 {
            return Err(Error::Input("the task has no outputs to learn".into()));
        }
        self.optimizer.check().map_err(Error::Input)
    }
}

/// A training run and its plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The run.
    pub training: Training,
    /// Its plan.
    pub plan: Plan,
    /// Where in the plan the session finds what it needs.
    pub handles: Handles,
}

impl Planned {
    /// Bytes the plan may use, where the run says.
    pub fn memory(&self) -> Option<u64> {
        self.training.memory.map(|b| b.0)
    }

    /// Names and shapes of the parameters, in the model's order.
    pub fn named_shapes(&self) -> Vec<NamedShape> {
        let parameters = self.handles.parameters.iter();
        parameters.map(|p| (p.name.clone(), p.ty.shape.iter().map(|&d| d.into()).collect())).collect()
    }

    /// Whether the plan exceeds no limit.
    pub fn fits(&self) -> bool {
        self.plan.violations(self.memory()).is_empty()
    }
}
