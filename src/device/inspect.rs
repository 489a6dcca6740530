//! What each dispatch of a program has written, one after the other.

use super::run::DeviceEngine;
use crate::engine::{Engine, EngineError, Look};
use crate::plan::Place;

impl DeviceEngine {
    /// Runs a program dispatch by dispatch, each a submission of its own, and shows `look` what each has written,
    /// by way of the plan's own readback buffers.
    pub(super) fn show_each(&mut self, program: usize, copy: u32, look: &mut Look<'_>) -> Result<(), EngineError> {
        self.submit()?;
        for step in self.plan().schedule.programs[program].steps.clone() {
            self.run_one(step, copy);
            let written: Vec<_> = self.plan().schedule.steps[step].accesses.iter().enumerate().collect();
            let place = |value| self.plan().value(value, copy);
            let written = written
                .into_iter()
                .filter_map(|(i, access)| access.writes.and_then(place).map(|place| (i, place.within(&access.bytes))));
            for (access, place) in written.collect::<Vec<_>>() {
                // Halves may begin and end within a word.
                let (before, end) = (place.offset % 4, (place.offset + place.bytes).next_multiple_of(4));
                let offset = place.offset - before;
                let words = self.fetch(Place { offset, bytes: end - offset, ..place })?;
                let (from, to) = (index(before), index(before + place.bytes));
                if !look(step, access, &words[from..to]) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn run_one(&self, step: usize, copy: u32) {
        let device = self.device();
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.copy_for(&mut encoder, step, copy);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.dispatch(&mut pass, step, copy);
        drop(pass);
        device.queue.submit([encoder.finish()]);
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("what is read back fits in memory")
}
