//! How long each dispatch of a program takes, by the device's own clock.

use super::run::DeviceEngine;
use crate::engine::{Engine, EngineError};

/// Dispatches timed at once: each takes two of the 4096 queries that a set may have.
const AT_ONCE: usize = 2048;

/// Bytes of a timestamp.
const STAMP: u64 = 8;

impl DeviceEngine {
    /// Runs a program as [`Engine::run`] does, each dispatch in a pass of its own between two timestamps;
    /// returns the nanoseconds of each, or `None` where the device has no clock.
    ///
    /// Takes memory beside the plan: a few bytes for each dispatch, given back before it returns.
    pub(super) fn time_each(&mut self, program: usize, copy: u32) -> Result<Option<Vec<f64>>, EngineError> {
        if !self.device().device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            self.run(program, copy)?;
            return Ok(None);
        }
        self.submit()?;
        let steps: Vec<usize> = self.plan().schedule.programs[program].steps.clone().collect();
        let mut times = Vec::with_capacity(steps.len());
        for steps in steps.chunks(AT_ONCE) {
            times.extend(self.time_some(steps, copy)?);
        }
        Ok(Some(times))
    }

    fn time_some(&self, steps: &[usize], copy: u32) -> Result<Vec<f64>, EngineError> {
        let device = self.device();
        let count = crate::ops::clamp(2 * steps.len() as u64);
        let queries = device.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let buffer = |usage| {
            device.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times"),
                size: u64::from(count) * STAMP,
                usage,
                mapped_at_creation: false,
            })
        };
        let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let read = buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (i, &step) in (0u32..).zip(steps) {
            let stamps = |beginning_of_pass_write_index, end_of_pass_write_index| wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index,
                    end_of_pass_write_index,
                }),
            };
            let (first, last) = (2 * i, 2 * i + 1);
            let mut begins = Some(first);
            if self.wants_copies(step) {
                // Its time begins with a pass of nothing, before what is copied for it.
                drop(encoder.begin_compute_pass(&stamps(begins.take(), None)));
                self.copy_for(&mut encoder, step, copy);
            }
            let mut pass = encoder.begin_compute_pass(&stamps(begins, Some(last)));
            self.dispatch(&mut pass, step, copy);
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &read, 0, u64::from(count) * STAMP);
        device.queue.submit([encoder.finish()]);
        read.map_async(wgpu::MapMode::Read, .., |_| ());
        let lost = |e: String| EngineError::Lost { reason: e };
        device.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| lost(e.to_string()))?;
        device.trouble.check()?;
        let view = read.get_mapped_range(..).map_err(|e| EngineError::Rejected { reason: e.to_string() })?;
        let stamp = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a timestamp has eight bytes"));
        let stamps: Vec<u64> = view.chunks_exact(8).map(stamp).collect();
        let period = f64::from(device.queue.get_timestamp_period());
        Ok(stamps.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period).collect())
    }
}
