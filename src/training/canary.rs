//! A device that was lost may go on reporting success, with memory that stays as it is. What tells is something
//! new that has to come back: in each step a mark that a kernel passes on, elsewhere a number that was uploaded.

use super::numbers::number;
use super::session::Session;
use crate::engine::EngineError;
use crate::error::Error;

/// Where among the optimizer's scalars a step's mark goes to the device, and where it comes back from it.
pub(super) struct Canary {
    pub(super) sent: usize,
    pub(super) returned: usize,
}

/// The places of a step's mark, which is different in each step.
pub(super) const CANARY: Canary = Canary { sent: 7, returned: 6 };

/// The mark of a step, counted from 1: a whole number that `f32` holds, and not 0.
pub(super) fn canary(step: u64) -> f32 {
    #[allow(clippy::cast_precision_loss, reason = "below 2^24")]
    let mark = (step % ((1 << 24) - 1)) as f32;
    mark + 1.0
}

/// The error of a device that says that all is well and answers what cannot be.
pub(super) fn answers_wrongly(what: &str) -> Error {
    EngineError::Lost { reason: format!("it reports success, but {what}") }.into()
}

impl Session {
    /// Leaves something new where losses are scaled, which is told anew before each step, so that
    /// [`Session::look_at_canary`] tells whether what comes after was carried out.
    pub(super) fn mark(&mut self) -> Result<(), Error> {
        self.canary = if self.canary.to_bits() == 1.0f32.to_bits() { 2.0 } else { 1.0 };
        self.upload(self.planned.handles.loss_scale, 0, bytemuck::cast_slice(&[self.canary]))
    }

    /// A device that was lost may go on answering, with what it had. What it was last told of losses, which no
    /// kernel changes, tells.
    pub(super) fn look_at_canary(&mut self) -> Result<(), Error> {
        let found = number(&self.engine.download(self.planned.handles.loss_scale, 0)?);
        if found.to_bits() == self.canary.to_bits() {
            return Ok(());
        }
        Err(answers_wrongly("it no longer has what was uploaded to it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Batch;
    use crate::ids::SlotId;
    use std::cell::Cell;
    use std::rc::Rc;

    use crate::engine::{Engine, Held, Look};
    use crate::host::Host;
    use crate::nn::{Model, Task};
    use crate::plan::Plan;
    use crate::target::Target;
    use crate::training::Training;

    /// A device that reports success after it was lost, and answers with what it had before.
    struct Zombie {
        host: Host,
        lost: Rc<Cell<bool>>,
    }

    impl Engine for Zombie {
        fn plan(&self) -> &Plan {
            self.host.plan()
        }

        fn upload(&mut self, slot: SlotId, copy: u32, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
            if self.lost.get() { Ok(()) } else { self.host.upload(slot, copy, offset, bytes) }
        }

        fn inspect(&mut self, program: usize, copy: u32, look: &mut Look<'_>) -> Result<(), EngineError> {
            self.host.inspect(program, copy, look)
        }

        fn run(&mut self, program: usize, copy: u32) -> Result<(), EngineError> {
            if self.lost.get() { Ok(()) } else { self.host.run(program, copy) }
        }

        fn read(&mut self, slot: SlotId, copy: u32) -> Result<(), EngineError> {
            self.host.read(slot, copy)
        }

        fn submit(&mut self) -> Result<(), EngineError> {
            self.host.submit()
        }

        fn results(&mut self, all: bool) -> Result<Vec<Vec<u8>>, EngineError> {
            self.host.results(all)
        }

        fn download(&mut self, slot: SlotId, copy: u32) -> Result<Vec<u8>, EngineError> {
            self.host.download(slot, copy)
        }

        fn held(&self) -> Option<Held> {
            None
        }
    }

    #[test]
    fn a_device_that_reports_success_and_does_nothing_is_seen_at_the_first_report() {
        let whole = Training::new(Model::new().output(), Task::regression(2, 1), 2);
        let training = Training { report_every: 1, predict: true, ..whole };
        let planned = training.plan(&Target::profile("webgpu-default").unwrap()).unwrap();
        let batch = Batch::numbers(vec![1.0; 4], vec![0.5; 2]);
        for steps in 0..3u64 {
            let lost = Rc::new(Cell::new(false));
            let zombie = Zombie { host: Host::new(planned.plan.clone()), lost: Rc::clone(&lost) };
            let mut session = Session::on(Box::new(zombie), planned.clone()).unwrap();
            for step in 0..steps {
                assert_eq!(session.step(&batch).unwrap()[0].step, step + 1);
            }
            assert!(session.evaluate([batch.clone()]).is_ok() && session.predict(&batch).is_ok());
            lost.set(true);
            assert!(session.predict(&batch).is_err(), "what it predicts is not believed");
            let Err(Error::Engine(EngineError::Lost { reason })) = session.step(&batch) else {
                panic!("step {} is believed", steps + 1);
            };
            assert!(reason.contains("reports success"), "{reason}");
            assert!(session.evaluate([batch.clone()]).is_err(), "nor is what it says of held-out data");
        }
    }

    #[test]
    fn marks_are_whole_numbers_and_no_two_near_ones_are_alike() {
        for step in [1, 2, (1 << 24) - 2, (1 << 24) - 1, 1 << 24, u64::MAX - 1] {
            let marks = [canary(step), canary(step + 1)];
            assert!(marks.iter().all(|x| *x >= 1.0 && x.fract() == 0.0) && marks[0] != marks[1], "{step}: {marks:?}");
        }
    }
}
