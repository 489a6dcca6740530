//! Runs a plan: one submission a step, losses read back every few steps.

use std::collections::VecDeque;

use crate::data::Batch;
use crate::device::{Device, DeviceEngine};
use crate::engine::{Drawn, Engine, Held};
use crate::error::Error;
use crate::host::Host;
use crate::ids::SlotId;
use crate::nn::CarriedState;
use crate::plan::Plan;
use crate::storage::TensorFile;

use super::batch::Shape;
use super::numbers::{decoded, index, number, numbers};
use super::rate::PlateauState;
use super::{Evaluation, Planned, Training};

/// A parameter's name, shape and numbers.
pub type NamedNumbers = (String, Vec<u64>, Vec<f32>);

/// How a program of an update is carried out on the copies of a micro-step.
pub(super) type Carry<'a> = dyn FnMut(&mut Session, &'static str, u32) -> Result<(), Error> + 'a;

/// What is known of a step before the device has answered.
pub(super) struct Pending {
    pub(super) step: u64,
    pub(super) learning_rate: f32,
    pub(super) tokens: u64,
}

/// A run on a device.
pub struct Session {
    pub(super) engine: Box<dyn Engine>,
    pub(super) planned: Planned,
    pub(super) shape: Shape,
    pub(super) plateau: PlateauState,
    pub(super) step: u64,
    /// What losses are multiplied by, as it was last uploaded.
    pub(super) canary: f32,
    pub(super) pending: VecDeque<Pending>,
    /// What was held after the first step, and the most buffers that were held after any.
    pub(super) first_step: Option<(Held, u64)>,
}

impl Session {
    /// Plans `training` for `device`, refuses or takes its memory, and draws its parameters.
    ///
    /// # Errors
    /// [`Error::Refused`] with what would fit, before anything is allocated; device errors.
    pub fn new(training: &Training, device: &Device) -> Result<Self, Error> {
        Self::start(training.plan(device.target())?, device)
    }

    /// The same for a plan already made for `device`.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn start(planned: Planned, device: &Device) -> Result<Self, Error> {
        let planned = planned.accepted()?;
        let engine = DeviceEngine::new(device, planned.plan.clone())?;
        Self::on(Box::new(engine), planned)
    }

    /// Runs the plan on the host, slowly, as an oracle for tests.
    ///
    /// # Errors
    /// [`Error::Refused`] if the plan does not fit what it was made for.
    pub fn on_host(planned: Planned) -> Result<Self, Error> {
        let planned = planned.accepted()?;
        Self::on(Box::new(Host::new(planned.plan.clone())), planned)
    }

    pub(super) fn on(engine: Box<dyn Engine>, planned: Planned) -> Result<Self, Error> {
        let (shape, plateau) = (Shape::of(&planned.training).kept_by(&planned), PlateauState::default());
        let (pending, canary) = (VecDeque::new(), 0.0);
        let mut session = Self { engine, planned, shape, plateau, step: 0, canary, pending, first_step: None };
        let seed = session.planned.training.seed;
        let drawn: Vec<Vec<f32>> = session.planned.handles.parameters.iter().map(|p| p.draw(seed)).collect();
        session.set_parameters(&drawn)?;
        let handles = session.planned.handles.clone();
        for (slot, numbers) in &handles.constants {
            session.upload(*slot, 0, bytemuck::cast_slice(numbers))?;
        }
        // Fresh memory is zero, which most optimizers start from.
        for &(slot, start) in handles.optimizer_slots.iter().filter(|(_, start)| *start != 0.0) {
            let elements = index(session.plan().graph[slot].bytes / 4);
            session.upload(slot, 0, bytemuck::cast_slice(&vec![start; elements]))?;
        }
        if let Some(slot) = handles.scaler {
            let scaler = session.planned.training.scaler_after(0);
            session.upload(slot, 0, bytemuck::cast_slice(&scaler))?;
        }
        session.engine.submit()?;
        Ok(session)
    }

    /// The plan that is run.
    pub fn plan(&self) -> &Plan {
        self.engine.plan()
    }

    /// The run, its plan and its slots.
    pub fn planned(&self) -> &Planned {
        &self.planned
    }

    /// Steps begun so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// What the device holds for this run, by its own counters; `None` where it has none.
    pub fn held(&self) -> Option<Held> {
        self.engine.held()
    }

    /// What the device's allocator has handed out and taken from the driver, for all that runs on the device; `None`
    /// where it makes no report. [`Plan::reserved`] tells it beforehand.
    pub fn reserved(&self) -> Option<Drawn> {
        self.engine.reserved()
    }

    /// By how many buffers the device has held more, at the end of any step, than at the end of the
    /// first; `None` before that or without counters.
    pub fn allocations_after_first_step(&self) -> Option<u64> {
        let (first, most) = self.first_step?;
        Some(most - first.buffers)
    }

    /// The mean loss over `batches` of held-out data, of [`Training::micro_batch`] rows each.
    /// Carried state of training is left alone; that of evaluation starts from zero.
    ///
    /// Reports of steps still under way are kept for the next call of [`Session::step`] or
    /// [`Session::finish`].
    ///
    /// # Errors
    /// A batch that is not what the plan is for; device errors.
    pub fn evaluate(&mut self, batches: impl IntoIterator<Item = Batch>) -> Result<Evaluation, Error> {
        let Some(slot) = self.planned.handles.evaluated else {
            return Err(Error::Input("this run was planned without evaluation".into()));
        };
        let training = self.planned.training.clone();
        for state in self.planned.handles.evaluate_states.clone() {
            self.clear(state, 0)?;
        }
        let mut sum = Evaluation::default();
        // Losses are summed on the host, in f64 and by batch, so each batch is scaled by 1.
        self.scale_losses(1.0)?;
        for batch in batches {
            let rows = training.micro_batch();
            let batch = self.shape.accepted(batch, rows)?;
            let (tokens, weight) = self.shape.counted(&batch, rows);
            sum.tokens += tokens;
            sum.weight += weight;
            self.feed(&batch, 0)?;
            self.run("evaluate", 0)?;
            self.engine.submit()?;
            let loss = self.engine.download(slot, 0)?;
            sum.total += f64::from(number(&loss));
            if let Some(slot) = self.planned.handles.hits {
                let hits = f64::from(number(&self.engine.download(slot, 0)?));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of hits")]
                let hits = hits as u64;
                sum.hits = Some(sum.hits.unwrap_or(0) + hits);
            }
        }
        self.look_at_canary()?;
        Ok(sum)
    }

    /// What the network predicts of `batch`, of [`Training::micro_batch`] rows: the last layer's
    /// output, row by row, timesteps outermost. What the batch holds as targets does not matter, and
    /// state starts from zero.
    ///
    /// # Errors
    /// A batch that is not what the plan is for; a run planned without predictions; device errors.
    pub fn predict(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        let Some(slot) = self.planned.handles.predicted else {
            return Err(Error::Input("this run was planned without predictions; set `predict`".into()));
        };
        let batch = self.shape.accepted(batch.clone(), self.planned.training.micro_batch())?;
        for state in self.planned.handles.evaluate_states.clone() {
            self.clear(state, 0)?;
        }
        self.mark()?;
        self.feed(&batch, 0)?;
        self.run("predict", 0)?;
        self.engine.submit()?;
        let predicted = numbers(&self.engine.download(slot, 0)?);
        self.look_at_canary()?;
        Ok(predicted)
    }

    /// Tells the schedule a loss on held-out data; one that waits for a plateau goes by it.
    pub fn observe(&mut self, validation_loss: f64) {
        self.planned.training.schedule.observe(&mut self.plateau, validation_loss);
    }

    /// Zeroes the state carried in training, as at the start.
    ///
    /// # Errors
    /// Device errors.
    pub fn reset_state(&mut self) -> Result<(), Error> {
        for state in self.planned.handles.train_states.clone() {
            for copy in 0..self.planned.training.accumulate {
                self.clear(state.slot, copy)?;
            }
        }
        Ok(())
    }

    /// The state carried by the recurrent layers, by name, each (S, B, H) over all micro-steps' rows:
    /// S is 2 for an LSTM, whose cell state comes second, else 1.
    ///
    /// # Errors
    /// Device errors.
    pub fn state(&mut self) -> Result<Vec<(String, Vec<f32>)>, Error> {
        let carried = self.planned.handles.train_states.clone();
        let mut states = Vec::new();
        for CarriedState { name, slot, kinds } in carried {
            let mut copies = Vec::new();
            for copy in 0..self.planned.training.accumulate {
                let bytes = self.engine.download(slot, copy)?;
                copies.push(decoded(&bytes, self.plan().graph.type_in(slot)));
            }
            // A copy has (S, rows, H), and further copies are further rows.
            let part = copies[0].len() / kinds as usize;
            let of_kind = |kind: usize| copies.iter().flat_map(move |c| &c[kind * part..(kind + 1) * part]);
            states.push((name, (0..kinds as usize).flat_map(of_kind).copied().collect()));
        }
        Ok(states)
    }

    /// Every parameter: name, shape and numbers, in the model's order.
    ///
    /// # Errors
    /// Device errors.
    pub fn parameters(&mut self) -> Result<Vec<NamedNumbers>, Error> {
        let mut groups = Vec::new();
        for slot in self.planned.handles.parameter_slots.clone() {
            groups.push(numbers(&self.engine.download(slot, 0)?));
        }
        let tensor = |p: &crate::nn::Parameter| {
            let (from, len) = (index(p.offset / 4), index(p.ty.len()));
            let shape = p.ty.shape.iter().map(|&d| d.into()).collect();
            (p.name.clone(), shape, groups[p.group][from..from + len].to_vec())
        };
        Ok(self.planned.handles.parameters.iter().map(tensor).collect())
    }

    /// Every parameter as a PyTorch module of the same layers has it in its state: one that the
    /// model has in two places stands under both names.
    ///
    /// # Errors
    /// Device errors.
    pub fn state_dict(&mut self) -> Result<Vec<NamedNumbers>, Error> {
        let mut all = self.parameters()?;
        for (alias, of) in &self.planned.handles.aliases {
            if let Some((_, shape, numbers)) = all.iter().find(|(name, ..)| name == of).cloned() {
                all.push((alias.clone(), shape, numbers));
            }
        }
        Ok(all)
    }

    /// Sets every parameter from a file that holds exactly these, by name; of one that the model has
    /// in two places, either name or both.
    ///
    /// # Errors
    /// As [`Planned::matching`]; device errors.
    pub fn load(&mut self, file: &TensorFile) -> Result<(), Error> {
        let numbers = self.planned.matching(file)?;
        self.set_parameters(&numbers)
    }

    fn set_parameters(&mut self, numbers: &[Vec<f32>]) -> Result<(), Error> {
        let handles = self.planned.handles.clone();
        for (parameter, numbers) in handles.parameters.iter().zip(numbers) {
            let slot = handles.parameter_slots[parameter.group];
            self.engine.upload(slot, 0, parameter.offset, bytemuck::cast_slice(numbers))?;
        }
        Ok(self.engine.submit()?)
    }

    pub(super) fn upload(&mut self, slot: SlotId, copy: u32, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.engine.upload(slot, copy, 0, bytes)?)
    }

    pub(super) fn run(&mut self, program: &str, copy: u32) -> Result<(), Error> {
        let program = self.plan().program(program).expect("the description has planned this program");
        Ok(self.engine.run(program, copy)?)
    }

    fn clear(&mut self, slot: SlotId, copy: u32) -> Result<(), Error> {
        let zeros = vec![0; index(self.plan().graph[slot].bytes)];
        self.upload(slot, copy, &zeros)
    }
}
