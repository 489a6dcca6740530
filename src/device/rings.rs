//! The host's buffers: a ring to write through and a ring to read through, of fixed size.
//!
//! `queue.write_buffer` would allocate a staging buffer at each call, outside the plan, and lose
//! the device where that fails; these are in the plan and are never more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Device;
use crate::engine::EngineError;

const MAPPING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// A buffer that passes between host and device.
struct Shuttle {
    buffer: wgpu::Buffer,
    state: Arc<AtomicU8>,
    /// The submission that uses it last.
    submission: Option<wgpu::SubmissionIndex>,
}

impl Shuttle {
    fn map(&self, mode: wgpu::MapMode) {
        self.state.store(MAPPING, Ordering::Release);
        let state = Arc::clone(&self.state);
        self.buffer.map_async(mode, .., move |mapped| {
            state.store(if mapped.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
    }

    /// Waits until the host may touch the buffer.
    fn wait(&self, device: &Device) -> Result<(), EngineError> {
        loop {
            match self.state.load(Ordering::Acquire) {
                MAPPED => return Ok(()),
                MAPPING => {}
                _ => {
                    device.trouble.check()?;
                    return Err(EngineError::Lost { reason: "a staging buffer could not be mapped".into() });
                }
            }
            let until = match &self.submission {
                Some(index) => wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: None },
                None => wgpu::PollType::wait_indefinitely(),
            };
            let polled = device.device.poll(until);
            device.trouble.check()?;
            polled.map_err(|e| EngineError::Lost { reason: e.to_string() })?;
        }
    }
}

/// Buffers the host fills while the device reads others.
pub(super) struct UploadRing {
    shuttles: Vec<Shuttle>,
    current: usize,
    filled: u64,
    bytes: u64,
}

impl UploadRing {
    /// Takes over `buffers` of `bytes` each.
    pub(super) fn new(buffers: Vec<wgpu::Buffer>, bytes: u64) -> Self {
        let shuttles: Vec<Shuttle> = buffers.into_iter().map(shuttle).collect();
        for shuttle in &shuttles {
            shuttle.map(wgpu::MapMode::Write);
        }
        Self { shuttles, current: 0, filled: 0, bytes }
    }

    /// Bytes that can still be put in before the next submission.
    pub(super) fn room(&self) -> u64 {
        self.bytes - self.filled
    }

    /// Puts `bytes`, a multiple of four no larger than [`Self::room`], into the current buffer;
    /// returns the buffer and where in it they are.
    pub(super) fn put(&mut self, device: &Device, bytes: &[u8]) -> Result<(usize, u64), EngineError> {
        let shuttle = &self.shuttles[self.current];
        shuttle.wait(device)?;
        let at = self.filled;
        let end = at + bytes.len() as u64;
        let mut view = shuttle
            .buffer
            .get_mapped_range_mut(at..end)
            .map_err(|e| EngineError::Rejected { reason: e.to_string() })?;
        view.slice(..).copy_from_slice(bytes);
        drop(view);
        // Mapped ranges begin at multiples of eight.
        self.filled = end.next_multiple_of(8).min(self.bytes);
        Ok((self.current, at))
    }

    /// The buffer at `index`.
    pub(super) fn buffer(&self, index: usize) -> &wgpu::Buffer {
        &self.shuttles[index].buffer
    }

    /// To be called before a submission that reads what was put in.
    pub(super) fn close(&self) {
        if self.filled > 0 {
            self.shuttles[self.current].buffer.unmap();
        }
    }

    /// To be called after that submission: the next buffer is the current one.
    pub(super) fn turn(&mut self, submission: &wgpu::SubmissionIndex) {
        if self.filled > 0 {
            let shuttle = &mut self.shuttles[self.current];
            shuttle.submission = Some(submission.clone());
            shuttle.map(wgpu::MapMode::Write);
            self.current = (self.current + 1) % self.shuttles.len();
            self.filled = 0;
        }
    }
}

/// Buffers the device fills while the host reads others.
pub(super) struct ReadbackRing {
    shuttles: Vec<Shuttle>,
    /// For each buffer, the lengths of what it holds, in order.
    held: Vec<Vec<u64>>,
    current: usize,
    filled: u64,
    bytes: u64,
}

impl ReadbackRing {
    /// Takes over `buffers` of `bytes` each.
    pub(super) fn new(buffers: Vec<wgpu::Buffer>, bytes: u64) -> Self {
        let shuttles: Vec<Shuttle> = buffers.into_iter().map(shuttle).collect();
        let held = vec![Vec::new(); shuttles.len()];
        Self { shuttles, held, current: 0, filled: 0, bytes }
    }

    /// Bytes the current buffer can still take.
    pub(super) fn room(&self) -> u64 {
        self.bytes - self.filled
    }

    /// Makes room for `bytes` in the current buffer; returns the buffer and where in it.
    pub(super) fn reserve(&mut self, bytes: u64) -> (usize, u64) {
        let at = self.filled;
        self.held[self.current].push(bytes);
        self.filled += bytes;
        (self.current, at)
    }

    /// The buffer at `index`.
    pub(super) fn buffer(&self, index: usize) -> &wgpu::Buffer {
        &self.shuttles[index].buffer
    }

    /// To be called after a submission that filled the current buffer.
    pub(super) fn submitted(&mut self, submission: &wgpu::SubmissionIndex) {
        self.shuttles[self.current].submission = Some(submission.clone());
    }

    /// Asks for the current buffer and turns to the next, which is emptied first. Returns what
    /// that one held.
    pub(super) fn turn(&mut self, device: &Device) -> Result<Vec<Vec<u8>>, EngineError> {
        if self.filled > 0 {
            self.shuttles[self.current].map(wgpu::MapMode::Read);
        }
        self.current = (self.current + 1) % self.shuttles.len();
        self.filled = 0;
        self.empty(device)
    }

    fn empty(&mut self, device: &Device) -> Result<Vec<Vec<u8>>, EngineError> {
        let lengths = std::mem::take(&mut self.held[self.current]);
        if lengths.is_empty() {
            return Ok(Vec::new());
        }
        let shuttle = &self.shuttles[self.current];
        shuttle.wait(device)?;
        let view = shuttle.buffer.get_mapped_range(..).map_err(|e| EngineError::Rejected { reason: e.to_string() })?;
        let mut rest = &view[..];
        let mut pieces = Vec::with_capacity(lengths.len());
        for length in lengths {
            let (piece, after) = rest.split_at(usize::try_from(length).expect("a staging buffer fits in memory"));
            pieces.push(piece.to_vec());
            rest = after;
        }
        drop(view);
        shuttle.buffer.unmap();
        Ok(pieces)
    }

    /// How many buffers there are.
    pub(super) fn len(&self) -> usize {
        self.shuttles.len()
    }
}

fn shuttle(buffer: wgpu::Buffer) -> Shuttle {
    Shuttle { buffer, state: Arc::new(AtomicU8::new(MAPPING)), submission: None }
}
