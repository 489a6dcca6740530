//! One update from one batch: what is uploaded for it, what is run, and what is read back of it later.

use super::StepReport;
use super::canary::{CANARY, answers_wrongly, canary};
use super::numbers::{encoded, index, numbers};
use super::rate::Rate;
use super::session::{Carry, Pending, Session};
use crate::data::{Batch, Data};
use crate::error::Error;
use crate::graph::Derived;
use crate::ids::SlotId;

impl Session {
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
        let base = training.optimizer.learning_rate();
        let Rate { learning_rate, momentum } = training.schedule.at(self.step, base, &self.plateau);
        let mut scalars = training.optimizer.scalars(self.step + 1, learning_rate, momentum);
        scalars[CANARY.sent] = canary(self.step + 1);
        self.upload(self.planned.handles.scalars, 0, bytemuck::cast_slice(&scalars))?;
        let tokens = self.forward_and_back(batch, run)?;
        run(self, "update", 0)?;
        for slot in self.planned.handles.of_step() {
            self.engine.read(slot, 0)?;
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
        let scaled = self.planned.training.scaling().is_some();
        let mut reports = Vec::new();
        for results in results.chunks_exact(self.planned.handles.of_step().count()) {
            let Pending { step, learning_rate, tokens } =
                self.pending.pop_front().expect("each step reads as many results");
            let [loss, norm, scalars, scaler] = [0, 1, 2, 3].map(|i| numbers(&results[i]));
            if scalars[CANARY.returned].to_bits() != canary(step).to_bits() {
                return Err(answers_wrongly(&format!("step {step} came back without the mark it was sent with")));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of steps")]
            let skipped_so_far = scaler[3] as u64;
            tracing::debug!(step, loss = loss[0], grad_norm = norm[0], learning_rate, "reported");
            reports.push(StepReport {
                step,
                loss: loss[0],
                learning_rate,
                grad_norm: norm[0],
                tokens,
                skipped: norm[1] < 0.0,
                skipped_so_far,
                next_loss_scale: scaled.then_some(scaler[0]),
            });
        }
        Ok(reports)
    }

    /// The programs of all micro-steps, carried out by `run`; returns the number of valid targets.
    pub(super) fn forward_and_back(&mut self, batch: &Batch, run: &mut Carry) -> Result<u64, Error> {
        let training = self.planned.training.clone();
        let batch = self.shape.accepted(batch.clone(), training.batch)?;
        let (tokens, count) = self.shape.counted(&batch, training.batch);
        self.scale_losses(count)?;
        for group in 0..training.accumulate {
            let part = self.shape.group(&batch, training.batch, group, training.accumulate);
            self.feed(&part, group * training.micro_batch())?;
            run(self, if group == 0 { "first" } else { "next" }, group)?;
        }
        Ok(tokens)
    }

    pub(super) fn scale_losses(&mut self, count: f64) -> Result<(), Error> {
        // Without a valid target every loss is zero, and so may the scale be.
        #[allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]
        let scale = if count == 0.0 { 0.0 } else { (1.0 / count) as f32 };
        self.canary = scale;
        self.upload(self.planned.handles.loss_scale, 0, bytemuck::cast_slice(&[scale]))
    }

    /// Uploads a micro-step's rows, of which the first is row `first` of the batch, and what is
    /// worked out from them.
    pub(super) fn feed(&mut self, batch: &Batch, first: u32) -> Result<(), Error> {
        let handles = self.planned.handles.clone();
        let shape = self.shape.clone();
        for (field, &slot) in shape.fields().iter().zip(&handles.fields) {
            let data = batch.field(&field.name).expect("the batch was checked");
            let kept = encoded(data, self.plan().graph.type_in(slot));
            self.upload(slot, 0, &kept)?;
            if let Data::U32(ids) = data {
                self.derive(slot, ids)?;
            }
        }
        if let Some(keep) = handles.keep {
            let rows = index(self.plan().graph[keep].bytes / 4);
            let kept: Vec<u32> = (0..rows).map(|r| u32::from(!batch.reset.get(r).copied().unwrap_or(false))).collect();
            self.upload(keep, 0, bytemuck::cast_slice(&kept))?;
        }
        if let Some(lengths) = handles.lengths {
            self.upload(lengths, 0, bytemuck::cast_slice(&batch.lengths))?;
            self.derive(lengths, &batch.lengths)?;
        }
        if let Some(dropout) = handles.dropout {
            let halves = self.step.to_le_bytes();
            let word = |i: usize| u32::from_le_bytes([halves[i], halves[i + 1], halves[i + 2], halves[i + 3]]);
            self.upload(dropout, 0, bytemuck::cast_slice(&[word(0), word(4), first, 0]))?;
        }
        Ok(())
    }

    /// Uploads what the plan works out from the ids in `from`.
    fn derive(&mut self, from: SlotId, ids: &[u32]) -> Result<(), Error> {
        let derived: Vec<_> =
            self.planned.handles.derived.iter().filter(|(_, how)| how.from == from).cloned().collect();
        for (into, Derived { elements, how, .. }) in derived {
            self.upload(into, 0, bytemuck::cast_slice(&how.compute(&ids[elements])))?;
        }
        Ok(())
    }
}
