//! Runs a plan: one submission a step, losses read back every few steps.

use std::collections::VecDeque;

use crate::data::{Batch, Data};
use crate::device::{Device, DeviceEngine};
use crate::engine::{Engine, Held};
use crate::error::Error;
use crate::host::Host;
use crate::ids::SlotId;
use crate::nn::CarriedState;
use crate::plan::Plan;
use crate::storage::TensorFile;

use super::batch::Shape;
use super::numbers::{decoded, index, number, numbers};
use super::rate::{PlateauState, Rate};
use super::{Evaluation, Planned, Scaling, StepReport, Training};

/// A parameter's name, shape and numbers.
pub type NamedNumbers = (String, Vec<u64>, Vec<f32>);

/// How a program of an update is carried out on the copies of a micro-step.
pub(super) type Carry<'a> = dyn FnMut(&mut Session, &'static str, u32) -> Result<(), Error> + 'a;

/// What is known of a step before the device has answered.
struct Pending {
    step: u64,
    learning_rate: f32,
    tokens: u64,
}

/// A run on a device.
pub struct Session {
    pub(super) engine: Box<dyn Engine>,
    pub(super) planned: Planned,
    shape: Shape,
    pub(super) plateau: PlateauState,
    pub(super) step: u64,
    /// What losses are multiplied by, as it was last uploaded.
    pub(super) canary: f32,
    pending: VecDeque<Pending>,
    /// What was held after the first step, and the most buffers that were held after any.
    first_step: Option<(Held, u64)>,
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

    fn on(engine: Box<dyn Engine>, planned: Planned) -> Result<Self, Error> {
        let (shape, plateau) = (Shape::of(&planned.training), PlateauState::default());
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
        if let (Some(slot), Some(scale)) = (handles.scaler, session.planned.training.scaling()) {
            session.upload(slot, 0, bytemuck::cast_slice(&[scale.initial(), 0.0, 0.0, 0.0]))?;
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

    /// By how many buffers the device has held more, at the end of any step, than at the end of the
    /// first; `None` before that or without counters.
    pub fn allocations_after_first_step(&self) -> Option<u64> {
        let (first, most) = self.first_step?;
        Some(most - first.buffers)
    }

    /// One update from one batch. Returns the reports that have come in since the last call.
    ///
    /// # Errors
    /// A batch that is not what the plan is for; device errors.
    pub fn step(&mut self, batch: &Batch) -> Result<Vec<StepReport>, Error> {
        self.update(batch, &mut |session, program, copy| session.run(program, copy))?;
        let every = u64::from(self.planned.training.report_every);
        if self.step.is_multiple_of(every) { self.reports(false) } else { Ok(Vec::new()) }
    }

    /// One update from one batch, whose programs `run` carries out.
    pub(super) fn update(&mut self, batch: &Batch, run: &mut Carry) -> Result<(), Error> {
        let training = self.planned.training.clone();
        if !training.learn {
            return Err(Error::Input("this run was planned without learning".into()));
        }
        let batch = self.shape.accepted(batch.clone(), training.batch)?;
        let (tokens, count) = self.shape.counted(&batch, training.batch);
        self.scale_losses(count)?;
        let base = training.optimizer.learning_rate();
        let Rate { learning_rate, momentum } = training.schedule.at(self.step, base, &self.plateau);
        let scalars = training.optimizer.scalars(self.step + 1, learning_rate, momentum);
        self.upload(self.planned.handles.scalars, 0, bytemuck::cast_slice(&scalars))?;
        for group in 0..training.accumulate {
            let part = self.shape.group(&batch, training.batch, group, training.accumulate);
            self.feed(&part, group * training.micro_batch())?;
            run(self, if group == 0 { "first" } else { "next" }, group)?;
        }
        run(self, "update", 0)?;
        self.engine.read(self.planned.handles.loss, 0)?;
        self.engine.read(self.planned.handles.norm, 0)?;
        if let Some(scaler) = self.planned.handles.scaler {
            self.engine.read(scaler, 0)?;
        }
        self.engine.submit()?;
        self.step += 1;
        self.pending.push_back(Pending { step: self.step, learning_rate, tokens });
        if let Some(now) = self.engine.held() {
            let (_, most) = self.first_step.get_or_insert((now, now.buffers));
            *most = now.buffers.max(*most);
        }
        Ok(())
    }

    /// Waits for every step and returns the reports not returned yet.
    ///
    /// # Errors
    /// Device errors.
    pub fn finish(&mut self) -> Result<Vec<StepReport>, Error> {
        self.reports(true)
    }

    fn reports(&mut self, all: bool) -> Result<Vec<StepReport>, Error> {
        let results = self.engine.results(all)?;
        let report = |results: &[Vec<u8>], pending: Pending| StepReport {
            step: pending.step,
            loss: number(&results[0]),
            learning_rate: pending.learning_rate,
            grad_norm: number(&results[1]),
            tokens: pending.tokens,
            scaling: results.get(2).map(|scaler| Scaling::new(&numbers(&results[1]), &numbers(scaler))),
        };
        let of_steps = results.chunks_exact(2 + usize::from(self.planned.handles.scaler.is_some()));
        let mut pending = || self.pending.pop_front().expect("each step reads as many results");
        Ok(of_steps.map(|results| report(results, pending())).collect())
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
        self.feed(&batch, 0)?;
        self.run("predict", 0)?;
        self.engine.submit()?;
        Ok(numbers(&self.engine.download(slot, 0)?))
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

    fn scale_losses(&mut self, count: f64) -> Result<(), Error> {
        // Without a valid target every loss is zero, and so may the scale be.
        #[allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]
        let scale = if count == 0.0 { 0.0 } else { (1.0 / count) as f32 };
        self.canary = scale;
        self.upload(self.planned.handles.loss_scale, 0, bytemuck::cast_slice(&[scale]))
    }

    /// Uploads a micro-step's rows, of which the first is row `first` of the batch, and what is
    /// worked out from them.
    fn feed(&mut self, batch: &Batch, first: u32) -> Result<(), Error> {
        let handles = self.planned.handles.clone();
        let shape = self.shape.clone();
        for (field, &slot) in shape.fields().iter().zip(&handles.fields) {
            let data = batch.field(&field.name).expect("the batch was checked");
            self.upload(slot, 0, data.bytes())?;
            self.derive(slot, data)?;
        }
        if let Some(keep) = handles.keep {
            let rows = index(self.plan().graph[keep].bytes / 4);
            let kept: Vec<u32> = (0..rows).map(|r| u32::from(!batch.reset.get(r).copied().unwrap_or(false))).collect();
            self.upload(keep, 0, bytemuck::cast_slice(&kept))?;
        }
        if let Some(lengths) = handles.lengths {
            self.upload(lengths, 0, bytemuck::cast_slice(&batch.lengths))?;
        }
        if let Some(dropout) = handles.dropout {
            let halves = self.step.to_le_bytes();
            let word = |i: usize| u32::from_le_bytes([halves[i], halves[i + 1], halves[i + 2], halves[i + 3]]);
            self.upload(dropout, 0, bytemuck::cast_slice(&[word(0), word(4), first, 0]))?;
        }
        Ok(())
    }

    /// Uploads what the plan works out from the ids in `from`.
    fn derive(&mut self, from: SlotId, data: &Data) -> Result<(), Error> {
        let Data::U32(ids) = data else { return Ok(()) };
        let derived: Vec<_> = self.planned.handles.derived.iter().filter(|(f, _, _)| *f == from).copied().collect();
        for (_, into, how) in derived {
            self.upload(into, 0, bytemuck::cast_slice(&how.compute(ids)))?;
        }
        Ok(())
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
