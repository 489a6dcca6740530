//! Carries out a plan on a device: every buffer, pipeline and bind group is made before the first
//! step, and none after it.

use super::Device;
use super::buffers::{buffer, texture, usage};
use super::pace::Fill;
use super::pipelines::Pipelines;
use super::rings::{ReadbackRing, UploadRing};
use super::textured::Textured;
use crate::engine::{Drawn, Engine, EngineError, Held, Look};
use crate::graph::Role;
use crate::ids::SlotId;
use crate::plan::{Place, Plan, Staging};

/// A plan with its buffers on a device.
pub struct DeviceEngine {
    device: Device,
    pub(super) plan: Plan,
    /// The arenas that are buffers, by their ids; the texture comes after them.
    pub(super) arenas: Vec<wgpu::Buffer>,
    pub(super) texture: Option<Textured>,
    upload: UploadRing,
    readback: ReadbackRing,
    pub(super) pipelines: Pipelines,
    /// For each step, one bind group, or one for each copy of the slots it binds.
    bind_groups: Vec<Vec<wgpu::BindGroup>>,
    /// The parameters that dispatches do not carry, of which each binds its own.
    uniforms: Option<wgpu::BindGroup>,
    /// For each step, which share of a submission it takes; nothing where none is cut.
    shares: Vec<f64>,
    recorded: Vec<Command>,
    arrived: Vec<Vec<u8>>,
    /// What the plan says this takes.
    own: Held,
}

/// A dispatch that ends a pass.
struct Next {
    /// Its step, and the copy of its slots.
    dispatch: (usize, u32),
    /// Whether it begins a submission.
    begins: bool,
}

/// What a submission will do.
enum Command {
    Upload {
        from: (usize, u64),
        to: Place,
    },
    Run {
        program: usize,
        copy: u32,
    },
    /// What its dispatches want in the texture, without these.
    Copy {
        program: usize,
    },
    Read {
        from: Place,
        to: (usize, u64),
    },
}

impl DeviceEngine {
    /// Takes the plan's memory on `device`, which must be what the plan was made for.
    ///
    /// The dispatches must be those that the plan's ops have lowered themselves to, or tell their kernels the true
    /// extents of what they bind: a release compiles kernels without wgpu's checks of indices.
    ///
    /// Memory is taken in the order that [`Blocks::take`](crate::plan::reserved::Blocks::take) counts on.
    pub fn new(device: &Device, plan: Plan) -> Result<Self, EngineError> {
        Self::take(device, plan).inspect_err(|_| {
            // What was taken before something was refused is given back when the device is looked after, and may be
            // wanted at once.
            let _ = device.device.poll(wgpu::PollType::wait_indefinitely());
        })
    }

    fn take(device: &Device, plan: Plan) -> Result<Self, EngineError> {
        device.trouble.check()?;
        let mut given = 0;
        let mut make = |bytes, usage, what| {
            let made = buffer(device, bytes, given, usage, what)?;
            given += bytes;
            Ok::<_, EngineError>(made)
        };
        let buffers = plan.arenas.iter().filter(|a| a.role != Role::Texture);
        let arenas = buffers.map(|a| make(a.bytes, usage(a.role), a.role.name())).collect::<Result<Vec<_>, _>>()?;
        let writing = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let reading = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let Staging { upload_bytes, readback_bytes } = plan.staging;
        let mut ring = |bytes, usage| {
            (0..Staging::RING).map(|_| make(bytes, usage, Role::Staging.name())).collect::<Result<Vec<_>, _>>()
        };
        let upload = UploadRing::new(ring(upload_bytes, writing)?, upload_bytes);
        let readback = ReadbackRing::new(ring(readback_bytes, reading)?, readback_bytes);
        let texture = plan.texture.arena.map(|_| texture(device, plan.texture, given)).transpose()?;
        let texture = texture.map(Textured::new);
        let pipelines = Pipelines::new(&device.device, &plan);
        let shares = device.pace.shares(&plan);
        let mut engine = Self {
            device: device.clone(),
            plan,
            arenas,
            texture,
            upload,
            readback,
            pipelines,
            bind_groups: Vec::new(),
            uniforms: None,
            shares,
            recorded: Vec::new(),
            arrived: Vec::new(),
            own: Held::default(),
        };
        engine.own = Held {
            bytes: engine.plan.planned_bytes(),
            buffers: engine.plan.arenas.len() as u64 + 2 * u64::from(Staging::RING),
        };
        device.ledger.take(engine.own);
        engine.bind_groups = (0..engine.plan.schedule.steps.len()).map(|step| engine.bind(step)).collect();
        engine.uniforms = engine.bind_uniforms();
        let content = |engine: &Self, piece| engine.plan.uniforms.content(&engine.plan.schedule, piece);
        let mut piece = 0;
        while let Some((place, bytes)) = content(&engine, piece) {
            engine.send(place, &bytes)?;
            piece += 1;
        }
        device.trouble.check()?;
        Ok(engine)
    }

    /// The device that the plan lies on.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Records one dispatch and all that it needs but what is copied for it.
    pub(super) fn dispatch(&self, pass: &mut wgpu::ComputePass, step: usize, copy: u32) {
        pass.set_pipeline(self.pipelines.of(step).1);
        self.dispatch_bound(pass, step, copy);
    }

    /// Records dispatches in one pass, until one belongs into the next submission or something is to be copied for it, if
    /// there is such a one; says which.
    fn dispatch_some(
        &self,
        pass: &mut wgpu::ComputePass,
        dispatches: &mut impl Iterator<Item = (usize, u32)>,
        first: Option<(usize, u32)>,
        fill: &mut Fill,
    ) -> Option<Next> {
        let mut set = None;
        let mut dispatch = |pass: &mut wgpu::ComputePass, (index, copy): (usize, u32)| {
            let (number, pipeline) = self.pipelines.of(index);
            if set != Some(number) {
                pass.set_pipeline(pipeline);
                set = Some(number);
            }
            self.dispatch_bound(pass, index, copy);
        };
        if let Some(first) = first {
            dispatch(pass, first);
        }
        for (index, copy) in dispatches {
            let begins = !self.shares.get(index).is_none_or(|share| fill.takes(*share));
            if begins || self.wants_copies(index) {
                return Some(Next { dispatch: (index, copy), begins });
            }
            dispatch(pass, (index, copy));
        }
        None
    }

    /// Records a dispatch whose pipeline is set.
    fn dispatch_bound(&self, pass: &mut wgpu::ComputePass, step: usize, copy: u32) {
        let dispatch = &self.plan.schedule.steps[step].dispatch;
        let groups = &self.bind_groups[step];
        pass.set_bind_group(0, &groups[(copy as usize).min(groups.len() - 1)], &[]);
        if let Some(offset) = self.plan.uniforms.offset(step) {
            let offset = u32::try_from(offset).expect("the plan's check has refused a buffer so large");
            pass.set_bind_group(1, self.uniforms.as_ref(), &[offset]);
        } else if !dispatch.params.is_empty() {
            pass.set_immediates(0, &dispatch.params);
        }
        let [x, y, z] = dispatch.groups;
        pass.dispatch_workgroups(x, y, z);
    }

    /// Hands `commands` over, in one submission or in several that the device carries out in order; the last of them.
    fn hand_over(&self, commands: &[Command]) -> wgpu::SubmissionIndex {
        let begin = || self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let submit = |encoder: wgpu::CommandEncoder| {
            self.device.pace.note();
            self.device.queue.submit([encoder.finish()])
        };
        let (mut encoder, mut fill, mut at) = (begin(), Fill::default(), 0);
        while at < commands.len() {
            match &commands[at] {
                Command::Upload { from, to } => {
                    let (source, target) = (self.upload.buffer(from.0), &self.arenas[to.arena.index()]);
                    encoder.copy_buffer_to_buffer(source, from.1, target, to.offset, to.bytes);
                }
                Command::Read { from, to } => {
                    let (source, target) = (&self.arenas[from.arena.index()], self.readback.buffer(to.0));
                    encoder.copy_buffer_to_buffer(source, from.offset, target, to.1, from.bytes);
                }
                Command::Run { .. } => {
                    // Programs that follow one another share a pass.
                    let runs = commands[at..].iter().map_while(|command| match command {
                        Command::Run { program, copy } => Some((*program, *copy)),
                        _ => None,
                    });
                    at += runs.clone().count();
                    let steps = |program: usize| self.plan.schedule.programs[program].steps.clone();
                    let mut all = runs.flat_map(|(program, copy)| steps(program).map(move |step| (step, copy)));
                    let mut first = None;
                    loop {
                        if let Some((step, copy)) = first {
                            self.copy_for(&mut encoder, step, copy);
                        }
                        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                        let next = self.dispatch_some(&mut pass, &mut all, first, &mut fill);
                        drop(pass);
                        let Some(Next { dispatch, begins }) = next else { break };
                        if begins {
                            submit(std::mem::replace(&mut encoder, begin()));
                        }
                        first = Some(dispatch);
                    }
                    continue;
                }
                Command::Copy { program } => {
                    let steps = self.plan.schedule.programs[*program].steps.clone();
                    steps.for_each(|step| self.copy_for(&mut encoder, step, 0));
                }
            }
            at += 1;
        }
        submit(encoder)
    }

    /// Has what the dispatches of a program want in the texture copied there, without these, so that a probe can tell how
    /// long that takes.
    pub(crate) fn copy(&mut self, program: usize) {
        self.recorded.push(Command::Copy { program });
    }

    /// What lies at `place`, whole words, by way of the readback buffers.
    pub(super) fn fetch(&mut self, place: Place) -> Result<Vec<u8>, EngineError> {
        // What was read before stays in line for `results`.
        self.collect_all()?;
        let earlier = std::mem::take(&mut self.arrived);
        let mut bytes = Vec::with_capacity(usize::try_from(place.bytes).unwrap_or(0));
        let mut at = 0;
        while at < place.bytes {
            let piece = (place.bytes - at).min(self.readback.room());
            let from = Place { offset: place.offset + at, bytes: piece, ..place };
            let to = self.readback.reserve(piece);
            self.recorded.push(Command::Read { from, to });
            self.collect_all()?;
            bytes.extend(std::mem::take(&mut self.arrived).into_iter().flatten());
            at += piece;
        }
        self.arrived = earlier;
        Ok(bytes)
    }

    /// Writes `bytes` from the start of `place` on, by way of the upload buffers.
    fn send(&mut self, mut place: Place, bytes: &[u8]) -> Result<(), EngineError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.upload.room() == 0 {
                self.submit()?;
            }
            let room = usize::try_from(self.upload.room()).expect("a staging buffer fits in memory");
            let (piece, after) = rest.split_at(rest.len().min(room));
            let from = self.upload.put(&self.device, piece)?;
            let to = Place { bytes: piece.len() as u64, ..place };
            self.recorded.push(Command::Upload { from, to });
            place.offset += piece.len() as u64;
            rest = after;
        }
        Ok(())
    }

    /// Everything that was read so far goes to `arrived`.
    fn collect_all(&mut self) -> Result<(), EngineError> {
        self.submit()?;
        for _ in 0..self.readback.len() {
            let arrived = self.readback.turn(&self.device)?;
            self.arrived.extend(arrived);
        }
        Ok(())
    }
}

impl Engine for DeviceEngine {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn upload(&mut self, slot: SlotId, copy: u32, offset: u64, bytes: &[u8]) -> Result<(), EngineError> {
        let place = self.plan.slot(slot, copy);
        self.send(Place { offset: place.offset + offset, ..place }, bytes)
    }

    fn run(&mut self, program: usize, copy: u32) -> Result<(), EngineError> {
        self.recorded.push(Command::Run { program, copy });
        Ok(())
    }

    fn profile(&mut self, program: usize, copy: u32) -> Result<Option<Vec<f64>>, EngineError> {
        self.time_each(program, copy)
    }

    fn inspect(&mut self, program: usize, copy: u32, look: &mut Look<'_>) -> Result<(), EngineError> {
        self.show_each(program, copy, look)
    }

    fn read(&mut self, slot: SlotId, copy: u32) -> Result<(), EngineError> {
        let from = self.plan.slot(slot, copy);
        if self.readback.room() < from.bytes {
            self.collect_all()?;
        }
        let to = self.readback.reserve(from.bytes);
        self.recorded.push(Command::Read { from, to });
        Ok(())
    }

    fn submit(&mut self) -> Result<(), EngineError> {
        if self.recorded.is_empty() {
            return Ok(());
        }
        self.upload.close();
        let commands = std::mem::take(&mut self.recorded);
        tracing::trace!(commands = commands.len(), "submitted");
        let submission = self.hand_over(&commands);
        self.upload.turn(&submission);
        self.readback.submitted(&submission);
        self.device.trouble.check()
    }

    fn results(&mut self, all: bool) -> Result<Vec<Vec<u8>>, EngineError> {
        if all {
            self.collect_all()?;
        } else {
            self.submit()?;
            let arrived = self.readback.turn(&self.device)?;
            self.arrived.extend(arrived);
        }
        Ok(std::mem::take(&mut self.arrived))
    }

    fn download(&mut self, slot: SlotId, copy: u32) -> Result<Vec<u8>, EngineError> {
        self.fetch(self.plan.slot(slot, copy))
    }

    fn held(&self) -> Option<Held> {
        self.device.ledger.held(&self.device.device, self.own)
    }

    fn reserved(&self) -> Option<Drawn> {
        self.device.reserved()
    }
}

impl Drop for DeviceEngine {
    /// Waits for what is under way, so that the memory is free when this returns.
    fn drop(&mut self) {
        // On a lost device there is nothing to wait for, and nobody to tell.
        let _ = self.device.device.poll(wgpu::PollType::wait_indefinitely());
        self.device.ledger.give_back(self.own);
    }
}
