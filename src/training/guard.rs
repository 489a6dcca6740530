//! What becomes of a step whose loss or gradients are not finite, and where in it that began.

use super::precision::LossScale;
use super::session::Session;
use super::{Planned, Training};
use crate::data::{Batch, Data};
use crate::error::Error;
use crate::ids::{NodeId, ValueId};
use crate::nn::Field;
use crate::ops::{Guard, LossScaler, Op};
use crate::tensor::DType;

/// What becomes of a run in which the loss or the gradients of a step are not finite. The step itself changes
/// no parameter and nothing that the optimizer remembers; the device sees to that, without a readback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonFinite {
    /// No later step changes anything either, so that what was learnt is there to be saved as it was.
    Stop,
    /// Training goes on with the next batch. Where the loss is scaled dynamically, by a lower scale.
    Skip,
}

/// Where in a step the first number that is not finite came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In what was handed in.
    Batch {
        /// The field.
        field: String,
        /// Which row of the batch.
        row: usize,
    },
    /// In a parameter, before the step.
    Parameter {
        /// Its name.
        name: String,
    },
    /// In what a layer made.
    Layer {
        /// The layer.
        layer: String,
        /// The op.
        op: &'static str,
        /// Whether on the way back, in a gradient.
        backward: bool,
    },
    /// In no gradient, but the sum of their squares is past what `f32` holds.
    Norm {
        /// The parameter whose gradient is the longest.
        longest: String,
    },
    /// In nothing that was made, but what bounds the sum of the gradients' squares is past 1e38, by which a step that
    /// may be skipped is judged where gradients are released before all of them are known.
    Bound,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batch { field, row } => write!(f, "in the batch: `{field}` of its row {row}, counted from 0"),
            Self::Parameter { name } => write!(f, "in the parameter `{name}`, before the step"),
            Self::Layer { layer, op, backward: false } => write!(f, "in what the layer `{layer}` makes ({op})"),
            Self::Layer { layer, op, backward: true } => {
                write!(f, "on the way back, in a gradient at the layer `{layer}` ({op})")
            }
            Self::Norm { longest } => write!(
                f,
                "in the sum of the gradients' squares, which are each finite; the longest is that of `{longest}`"
            ),
            Self::Bound => write!(
                f,
                "in what bounds the gradients' squares, by which steps are judged with `release_gradients`; the gradients \
                 themselves may be finite"
            ),
        }
    }
}

impl Training {
    /// What becomes of a run with a step that is not finite: what was chosen; where nothing was, a run whose
    /// loss is scaled goes on, for its scale may be too large, and any other stops.
    pub fn on_non_finite(&self) -> NonFinite {
        let usual = if self.scaling().is_some() { NonFinite::Skip } else { NonFinite::Stop };
        self.non_finite.unwrap_or(usual)
    }

    /// The same, as the norm of the gradients is told.
    pub(super) fn guard(&self) -> Guard {
        match self.on_non_finite() {
            NonFinite::Stop => Guard::Stop,
            NonFinite::Skip => Guard::Skip,
        }
    }

    /// What keeps count of the steps that were applied, and the scale of the loss where it is scaled.
    pub(super) fn loss_scaler(&self) -> LossScaler {
        // An optimizer that is told of steps passed over has to be told how many it has seen.
        let beta2 = self.optimizer.beta2().filter(|_| self.on_non_finite() == NonFinite::Skip);
        match self.scaling() {
            Some(LossScale::Dynamic { interval, .. }) => LossScaler { interval, growth: 2.0, backoff: 0.5, beta2 },
            Some(LossScale::Static(_)) | None => LossScaler { interval: 0, growth: 1.0, backoff: 1.0, beta2 },
        }
    }

    /// What it has in a run that has made `applied` steps and passed over none.
    pub(super) fn scaler_after(&self, applied: u64) -> [f32; 4] {
        #[allow(clippy::cast_precision_loss, reason = "exact up to 2^24, as on the device")]
        let applied = applied as f32;
        [self.scaling().map_or(1.0, LossScale::initial), applied, applied, 0.0]
    }
}

impl Session {
    /// Where the first number that is not finite comes up in step `step`, counted from 1, of `batch`: the step
    /// is made again, dispatch by dispatch, without its update. `None` where none comes up.
    ///
    /// Nothing that the next step depends on changes. Carried state is what it is now, not what it was before
    /// that step, so that there the answer is one of a step much like it.
    ///
    /// # Errors
    /// Steps that are not reported yet, which [`Session::finish`] does; else as [`Session::step`].
    pub fn find_non_finite(&mut self, step: u64, batch: &Batch) -> Result<Option<Origin>, Error> {
        if !self.pending.is_empty() {
            return Err(Error::Input("steps are under way whose reports `finish` returns first".into()));
        }
        if let Some(origin) = self.in_batch(batch).or(self.in_parameters()?) {
            return Ok(Some(origin));
        }
        let now = self.capture()?;
        self.step = step.saturating_sub(1);
        let found = self.in_programs(batch);
        self.step = now.step;
        let found = found.and_then(|found| found.map_or_else(|| self.in_norm(), |origin| Ok(Some(origin))));
        self.restore(&now)?;
        found
    }

    /// Makes `step` the last that was made, where nothing that was learnt has changed since.
    pub(crate) fn count_from(&mut self, step: u64) {
        self.step = step;
    }

    fn in_batch(&self, batch: &Batch) -> Option<Origin> {
        let of_field = |field: &&Field| match batch.field(&field.name) {
            Some(Data::F32(numbers)) if !field.optional => {
                let width = crate::ops::clamp(field.width()).max(1) as usize;
                let rows = self.planned.training.batch as usize;
                let row = |at: usize| at / width % rows;
                // What lies past a row's end is nothing.
                let is_there = |at: usize| match batch.lengths.get(row(at)) {
                    Some(&length) if field.time => at / width / rows < length as usize,
                    _ => true,
                };
                let at = (0..numbers.len()).find(|&at| !numbers[at].is_finite() && is_there(at))?;
                Some(Origin::Batch { field: field.name.clone(), row: row(at) })
            }
            _ => None,
        };
        self.shape.fields().iter().find_map(|field| of_field(&field))
    }

    fn in_parameters(&mut self) -> Result<Option<Origin>, Error> {
        let spoilt = |(_, _, numbers): &(String, Vec<u64>, Vec<f32>)| numbers.iter().any(|x| !x.is_finite());
        let found = self.parameters()?.into_iter().find(spoilt);
        Ok(found.map(|(name, ..)| Origin::Parameter { name }))
    }

    fn in_programs(&mut self, batch: &Batch) -> Result<Option<Origin>, Error> {
        let mut found: Option<(NodeId, &'static str)> = None;
        self.forward_and_back(batch, &mut |session, program, copy| {
            if found.is_some() {
                return Ok(());
            }
            let planned = session.planned.clone();
            let index = planned.plan.program(program).expect("the description has planned this program");
            session.engine.inspect(index, copy, &mut |step, access, bytes| {
                let of = &planned.plan.schedule.steps[step];
                let written = of.accesses[access].writes;
                if written.is_some_and(|value| spoilt(&planned, value, bytes) || judged(&planned, value, bytes)) {
                    found = Some((of.node, program));
                }
                found.is_none()
            })?;
            Ok(())
        })?;
        let graph = &self.planned.plan.graph;
        Ok(found.map(|(node, program)| {
            // What each gradient goes through as it is released; of finite ones the sum may not be.
            if let Op::GradientNorm(_) = graph[node].op {
                let longest = graph[graph[node].site.inputs[0]].label.clone();
                return Origin::Norm { longest };
            }
            if let Op::GradientBound(_) = graph[node].op {
                return Origin::Bound;
            }
            let program = graph.programs().iter().find(|p| p.name == program);
            // Nodes are numbered as they are written, and differentiation writes after the loss.
            let backward = program.is_some_and(|p| p.is_backward(node));
            Origin::Layer { layer: graph[node].label.clone(), op: graph[node].op.rule().name(), backward }
        }))
    }

    fn in_norm(&mut self) -> Result<Option<Origin>, Error> {
        if self.planned.handles.gradient_slots.is_empty() {
            return Ok(None);
        }
        let mut longest: Option<(f64, String)> = None;
        let mut sum = 0.0;
        let mut slots: Vec<Option<Vec<f32>>> = vec![None; self.planned.handles.gradient_slots.len()];
        for parameter in self.planned.handles.parameters.clone() {
            let slot = self.planned.handles.gradient_slots[parameter.group];
            if slots[parameter.group].is_none() {
                slots[parameter.group] = Some(super::numbers::numbers(&self.engine.download(slot, 0)?));
            }
            let from = super::numbers::index(parameter.offset / 4);
            let all = slots[parameter.group].as_deref().unwrap_or_default();
            let own = &all[from..from + super::numbers::index(parameter.ty.len())];
            let squares: f64 = own.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            sum += squares;
            if longest.as_ref().is_none_or(|(most, _)| squares > *most) {
                longest = Some((squares, parameter.name.clone()));
            }
        }
        Ok(longest.filter(|_| sum > f32::MAX.into()).map(|(_, longest)| Origin::Norm { longest }))
    }
}

/// Whether the bytes of a value are what says of gradients to come that they may not be finite.
fn judged(planned: &Planned, value: ValueId, bytes: &[u8]) -> bool {
    let graph = &planned.plan.graph;
    let maker =
        graph[value].producer.filter(|(node, output)| *output == 0 && matches!(graph[*node].op, Op::GradientBound(_)));
    maker.is_some() && bytes.chunks_exact(4).map(super::numbers::number).any(|factor| factor < 0.0)
}

/// Whether the bytes of a value hold a number that is not finite.
fn spoilt(planned: &Planned, value: ValueId, bytes: &[u8]) -> bool {
    let dtype = planned.plan.graph[value].ty.dtype;
    let whole = bytes.chunks_exact(super::numbers::index(dtype.bytes()));
    match dtype {
        DType::U32 => false,
        DType::F32 => whole.map(super::numbers::number).any(|x| !x.is_finite()),
        DType::F16 => whole.map(|b| half::f16::from_le_bytes([b[0], b[1]])).any(|x| !x.is_finite()),
    }
}
