//! Training described as data: model, task, batch geometry, optimizer. From it come the programs,
//! the plan, and the session that runs it.

mod bargain;
mod batch;
mod canary;
mod give_way;
mod groups;
mod guard;
mod handles;
mod held_out;
mod micro_step;
mod numbers;
mod optimizer;
mod precision;
mod profile;
mod programs;
mod pytorch;
pub mod rate;
mod recompute;
mod refuse;
mod release;
mod reports;
mod room;
mod savings;
mod search;
mod segments;
mod session;
mod state;
mod step;
mod warnings;
mod way;
mod writer;

use std::sync::Arc;

use crate::bytes::Bytes;
use crate::error::Error;
use crate::plan::{Plan, Rates};
use crate::target::Target;

pub use crate::data::{Batch, Data};
pub use crate::nn::{Custom, Loss, Model, Network, Task};
pub use bargain::{Bargain, Offer};
pub use groups::ParameterGroup;
pub use guard::{NonFinite, Origin};
pub use handles::{Handles, SampleHandles};
pub(crate) use numbers::fits_in_half;
pub use optimizer::Optimizer;
pub use precision::{LossScale, Storage};
pub use profile::OpTime;
pub use pytorch::KeptByPytorch;
pub use rate::Schedule;
pub use reports::{Evaluation, StepReport};
pub use savings::{NONE_OF_THEM, Saved};
pub use segments::Segments;
pub use session::{NamedNumbers, Session};
pub use state::TrainingState;
pub use warnings::Warning;
pub use way::Way;
pub use writer::{Sampling, Writer};

pub(crate) use room::Room;

/// Timesteps of the longest window; each is a dispatch or two of every recurrent layer.
const LONGEST_WINDOW: u32 = 1 << 16;
/// Timesteps of all recurrent layers of a window. So many are planned in seconds, with gigabytes for the plan itself.
const MOST_TIMESTEPS: u64 = 1 << 20;

/// A training run, but for its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// What is trained.
    pub network: Network,
    /// Rows of one update.
    pub batch: u32,
    /// Timesteps of one window of truncated backpropagation through time, or of the longest
    /// sequence; 1 without time.
    pub window: u32,
    /// Whether recurrent state is carried from each window to the next, so that a stream longer
    /// than a window is one sequence; else every window starts from zero.
    pub carry_state: bool,
    /// Whether the data are sequences as long as the window, so that a shorter one would be other data.
    pub fixed_window: bool,
    /// Whether each row has a length of its own, of at most a window.
    pub lengths: bool,
    /// Micro-steps that an update is split into, each of `batch / accumulate` rows. The update is
    /// the same up to rounding.
    pub accumulate: u32,
    /// How a window is worked out in segments, so that less of it is in memory at once; `None`: as a whole. The
    /// update is the same up to rounding.
    pub segments: Option<Segments>,
    /// Blocks that the network is cut into, at most, the first of which are worked out again on the way back, so that
    /// of their activations only what passes from block to block is kept; `None`: all that the way back needs is
    /// kept. As `torch.utils.checkpoint.checkpoint_sequential` does, but for where it is cut: where least memory is
    /// needed. At least 2. The update is the same, to the bit.
    pub recompute: Option<u32>,
    /// Whether each gradient is released as soon as the optimizer has used it, so that no more of them are in memory
    /// at once than the way back makes. The update is the same, to the bit. Where [`Training::keeps_gradients`] says
    /// why not, it cannot be. Where a step that is not finite is to be skipped, all gradients are bounded before the first
    /// is used; a step whose bound of their squares is past 1e38 is skipped though they may be finite. Where the run stops
    /// at it, parameters behind a gradient that is not finite have changed.
    pub release_gradients: bool,
    /// How floats between two dispatches are stored.
    pub storage: Storage,
    /// Whether numbers of a batch that products alone read are kept so too, and uploaded so: none of them may then be
    /// past 65504, which is the most that halves hold.
    pub inputs_in_halves: bool,
    /// How products read parameters, in halves only where what they make is kept so. The optimizer's are in full.
    pub parameter_storage: Storage,
    /// Whether copies of parameters in halves that the first micro-step of an update makes are kept for the others, in
    /// memory all along; else each micro-step makes its own. Only where there are such copies and more micro-steps than
    /// one. The update is the same, to the bit.
    pub keep_copies: bool,
    /// How the loss is scaled where they are stored in halves.
    pub loss_scale: LossScale,
    /// What becomes of a run with a step that is not finite; `None`: what [`Training::on_non_finite`] says.
    pub non_finite: Option<NonFinite>,
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// How its step size changes.
    pub schedule: Schedule,
    /// Parameters with settings of their own; the first group that names one has it.
    pub groups: Vec<ParameterGroup>,
    /// The global norm that gradients are scaled down to, if they exceed it.
    pub clip_norm: Option<f32>,
    /// The size that each element of a gradient is cut to, after that.
    pub clip_value: Option<f32>,
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
    /// Whether predictions will be asked for.
    pub predict: bool,
    /// Whether text will be sampled.
    pub sample: bool,
}

impl Training {
    /// A run with AdamW at its defaults, no accumulation, no clipping, and no budget. Where the task
    /// is to write text, state is carried from window to window.
    pub fn new(model: Model, task: Task, batch: u32) -> Self {
        let writes = task.writes();
        let whole = Self::with_network(Network::Layers { model, task }, batch);
        Self { carry_state: writes, sample: writes, ..whole }
    }

    /// Timesteps of the shortest window there may be.
    pub(super) fn shortest_window(&self) -> u32 {
        if self.carry_state && !self.fixed_window { 1 } else { self.window }
    }

    /// The same of a network written by hand, without state carried.
    pub fn custom(network: Custom, batch: u32) -> Self {
        Self::with_network(Network::Custom(network), batch)
    }

    /// The same of either kind of network, without state carried.
    pub fn with_network(network: Network, batch: u32) -> Self {
        Self {
            network,
            batch,
            window: 1,
            carry_state: false,
            fixed_window: false,
            lengths: false,
            accumulate: 1,
            segments: None,
            recompute: None,
            release_gradients: false,
            storage: Storage::default(),
            inputs_in_halves: true,
            parameter_storage: Storage::default(),
            keep_copies: true,
            loss_scale: LossScale::default(),
            non_finite: None,
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            groups: Vec::new(),
            clip_norm: None,
            clip_value: None,
            seed: 0,
            memory: None,
            report_every: 10,
            learn: true,
            evaluate: true,
            predict: false,
            sample: false,
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

    /// The same with windows worked out in `segments`.
    pub fn segments(self, segments: Segments) -> Self {
        Self { segments: Some(segments), ..self }
    }

    /// The same with the network worked out again on the way back in at most so many `blocks`.
    pub fn recompute(self, blocks: u32) -> Self {
        Self { recompute: Some(blocks), ..self }
    }

    /// Plans the run for `target`, with no device: with a texture for kernels to read from only where a probe found that
    /// quicker and it fits. Whether the rest fits is asked by [`Planned::refusal`].
    ///
    /// # Errors
    /// Layers that do not fit one another, and settings that make no sense.
    pub fn plan(&self, target: &Target) -> Result<Planned, Error> {
        Ok(self.plan_in(target, &|_| None)?.0)
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
        if !self.network.is_sequence() && self.window != 1 {
            return Err(Error::Input(format!("`window` is {}, but the task has no time; leave it at 1", self.window)));
        }
        if self.lengths && self.carry_state {
            return Err(Error::Input(
                "rows have lengths and state is carried: a row that has ended has nothing to carry on; \
                 leave out `lengths` and start rows anew by their resets, or leave out `carry_state`"
                    .into(),
            ));
        }
        if self.lengths && !self.network.is_sequence() {
            return Err(Error::Input("rows have lengths, but the task has no time; leave out `lengths`".into()));
        }
        if self.sample && !self.carry_state {
            return Err(Error::Input(
                "text is written a step at a time, each from the state of the one before; \
                 set `carry_state`, or leave out `sample`"
                    .into(),
            ));
        }
        if let Network::Layers { model, task } = &self.network {
            let timesteps = model.timesteps(1).saturating_mul(self.timesteps_forward());
            if timesteps > MOST_TIMESTEPS {
                let window = self.window;
                return Err(Error::Input(format!(
                    "the recurrent layers have {timesteps} timesteps in a window of {window}, each planned by itself, \
                     and may have {MOST_TIMESTEPS} of them; take a shorter `window` or fewer layers"
                )));
            }
            if model.layers.is_empty() {
                return Err(Error::Input("the model has no layers".into()));
            }
            task.check().map_err(Error::Input)?;
        }
        for (name, limit) in [("clip_norm", self.clip_norm), ("clip_value", self.clip_value)] {
            if let Some(limit) = limit.filter(|x| !(x.is_finite() && *x > 0.0)) {
                return Err(Error::Input(format!("`{name}` is {limit} and must be above 0")));
            }
        }
        self.check_segments()?;
        self.check_recompute()?;
        self.check_release()?;
        self.check_storage()?;
        self.check_groups()?;
        if let Some(scale) = self.scaling() {
            scale.check().map_err(Error::Input)?;
            if matches!(scale, LossScale::Dynamic { .. }) && self.on_non_finite() == NonFinite::Stop {
                return Err(Error::Input(
                    "the loss is scaled dynamically, which finds its scale by steps that are not finite, and the run \
                     stops at the first of them; skip them (`non_finite = \"skip\"`), or scale by a number"
                        .into(),
                ));
            }
        }
        self.schedule.check(self.optimizer).map_err(Error::Input)?;
        self.optimizer.check().map_err(Error::Input)
    }

    fn check_groups(&self) -> Result<(), Error> {
        let positive = |name: &str, number: Option<f32>| match number {
            Some(x) if !(x.is_finite() && x >= 0.0) => {
                Err(Error::Input(format!("a group's `{name}` is {x} and must be a number of at least 0")))
            }
            _ => Ok(()),
        };
        for group in &self.groups {
            positive("weight_decay", group.weight_decay)?;
            positive("learning_rate", group.learning_rate)?;
            if group.learning_rate.is_some() && !self.schedule.is_a_factor() {
                return Err(Error::Input(
                    "a group has a learning rate of its own, and the schedule does not scale all rates alike: \
                     that takes a cosine without `eta_min`, a plateau without `min_lr`, and no one-cycle"
                        .into(),
                ));
            }
            if group.learning_rate.is_some() && self.optimizer.learning_rate() == 0.0 {
                return Err(Error::Input("a group has a learning rate where the optimizer's is 0".into()));
            }
        }
        Ok(())
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
    /// What the run was turned into, where it did not fit as described.
    pub bargain: Option<Bargain>,
    /// The ways to make its updates, where they were looked through in vain.
    offers: Option<Arc<[Offer]>>,
}

impl Planned {
    /// Bytes the plan may use, where the run says.
    pub fn memory(&self) -> Option<u64> {
        self.training.memory.map(|b| b.0)
    }

    /// Seconds of one update on a device that reaches `rates`; see [`Plan::seconds`].
    pub fn seconds(&self, rates: &Rates) -> f64 {
        self.plan.seconds(self.training.accumulate, rates)
    }

    /// Whether the plan exceeds no limit.
    pub fn fits(&self) -> bool {
        self.plan.fits(self.memory())
    }
}
