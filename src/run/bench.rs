//! Where the time of a run's steps goes, measured: on the wall, on processors, and op by op by the
//! device's clock, beside what a product and a pass over numbers reach on this device.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::summary::cpu_seconds;
use super::{Batches, PlanReport, Probed, Run};
use crate::device::{Device, DeviceEngine};
use crate::engine::Engine;
use crate::error::Error;
use crate::graph::{Graph, Role};
use crate::ops::{ActivationGradient, Binary, Function, Layout, Matmul, Op, ShapeError};
use crate::plan::{Plan, Staging};
use crate::target::DeviceKind;
use crate::tensor::TensorType;
use crate::training::{OpTime, Session};

/// Updates of which the fastest is taken, op by op.
const PROFILES: usize = 3;
/// Fewest groups of updates that are timed, whatever the time they take.
const FEWEST: usize = 3;
/// What the updates of a group take, about. They are begun one after another and waited for together: so in
/// training, where the host records one while the device is at work on another. Longer ones are each waited for.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Rows and columns of the product that is probed: enough to keep all of a processor at work.
const PRODUCT: u32 = 512;
/// The same on a graphics processor, of whatever kind.
const LARGE_PRODUCT: u32 = 2048;
/// Elements of the sum that is probed, of which two are read and one written each.
const SUM: u32 = 1 << 21;
/// Elements of the slopes that are probed, of which as many are read: no more than go to a texture at once.
const SLOPES: u32 = 1 << 19;
/// Runs of each probe, of which the fastest counts.
const PROBES: usize = 5;

/// What steps of a run take. The JSON's fields are kept stable; new ones may be added.
#[derive(Clone, Debug, Serialize)]
pub struct BenchReport {
    /// Of Plimsoll.
    pub version: &'static str,
    /// The device.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
    /// Updates timed.
    pub steps: usize,
    /// Updates begun one after another before the last is waited for, as in training.
    pub steps_at_once: usize,
    /// Dispatches of one.
    pub dispatches_per_step: usize,
    /// What the first took, kernels compiled.
    pub first_step_ms: f64,
    /// The median on the wall, of each of those at once on average.
    pub wall_ms: f64,
    /// The least on the wall, likewise.
    pub least_wall_ms: f64,
    /// The mean on all processors, where the system tells; a software adapter computes on them.
    pub cpu_ms: Option<f64>,
    /// The mean on the wall until a step is recorded and handed over, should the device be free.
    pub recording_ms: f64,
    /// The mean on the wall until a batch is there, of which the device may have no notice.
    pub loading_ms: f64,
    /// Units predicted a second, by the median.
    pub tokens_per_second: f64,
    /// What the device reaches, where it has a clock.
    pub peaks: Option<Peaks>,
    /// What a step was expected to take, by the plan and by `probed`; none where nothing was probed.
    pub predicted_ms: Option<f64>,
    /// What the device was found to reach before.
    pub probed: Option<Probed>,
    /// Op by op, the longest first; none where the device has no clock.
    pub ops: Vec<OpTime>,
}

/// What a device reaches with these kernels.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Peaks {
    /// Rows and columns of the product.
    pub product: u32,
    /// Of that product, in 10^9 a second.
    pub gflops: f64,
    /// Of a kernel that goes through numbers side by side, in 10^9 bytes a second: a sum of two tensors of 8 MiB, or where
    /// these are read from a plan's texture, and that is quicker, slopes of two of 2 MiB.
    pub gigabytes: f64,
}

impl BenchReport {
    /// The same beside what a plan was expected to take.
    pub fn beside(self, expected: &PlanReport) -> Self {
        let predicted_ms = expected.seconds_per_step.map(|seconds| seconds * 1e3);
        Self { predicted_ms, probed: expected.probed.clone(), ..self }
    }

    /// Milliseconds of all dispatches of an update, by the device's clock.
    pub fn device_ms(&self) -> f64 {
        self.ops.iter().map(|op| op.nanoseconds).sum::<f64>() / 1e6
    }
}

impl Run {
    /// Measures updates of this run in `session`, for about so many `seconds`.
    ///
    /// # Errors
    /// Data that cannot be read; device errors.
    pub fn bench(&self, device: &Device, mut session: Session, seconds: f64) -> Result<BenchReport, Error> {
        let peaks = peaks(device)?;
        let mut batches = self.batches()?;
        let mut next = || batches.next().expect("batches have no end");
        let start = Instant::now();
        session.step(&next())?;
        session.finish()?;
        let first_step_ms = ms(start);
        let mut timed = Timed::default();
        timed.run(&mut session, &mut next, seconds)?;
        let profiles = (0..PROFILES).map(|_| session.profile(&next())).collect::<Result<Option<Vec<_>>, _>>()?;
        let (plan, accumulate) = (session.plan(), session.planned().training.accumulate as usize);
        let [first, more, update] = ["first", "next", "update"].map(|name| plan.dispatches(name));
        let wall_ms = median(&mut timed.walls);
        Ok(BenchReport {
            version: env!("CARGO_PKG_VERSION"),
            adapter: plan.target.name.clone(),
            driver: plan.target.driver.clone(),
            steps: timed.steps,
            steps_at_once: timed.at_once,
            dispatches_per_step: first + (accumulate - 1) * more + update,
            first_step_ms,
            wall_ms,
            least_wall_ms: timed.walls[0],
            cpu_ms: timed.cpu_ms,
            recording_ms: timed.recording_ms,
            loading_ms: timed.loading_ms,
            tokens_per_second: timed.tokens as f64 / timed.steps as f64 / wall_ms * 1e3,
            peaks,
            predicted_ms: None,
            probed: None,
            ops: profiles.map_or_else(Vec::new, |profiles| fastest(&profiles)),
        })
    }
}

/// Updates timed, some at once.
#[derive(Default)]
struct Timed {
    /// Milliseconds of an update, for each group.
    walls: Vec<f64>,
    at_once: usize,
    steps: usize,
    recording_ms: f64,
    loading_ms: f64,
    cpu_ms: Option<f64>,
    tokens: u64,
}

impl Timed {
    fn run(
        &mut self,
        session: &mut Session,
        next: &mut impl FnMut() -> <Batches as Iterator>::Item,
        seconds: f64,
    ) -> Result<(), Error> {
        // One by itself says how many belong together.
        let mut one = Self { at_once: 1, ..Self::default() };
        let start = Instant::now();
        one.group(session, next)?;
        let each = start.elapsed().as_micros().max(1);
        let group = Duration::try_from_secs_f64(seconds / FEWEST as f64).unwrap_or(AT_ONCE).min(AT_ONCE);
        let at_once = usize::try_from(group.as_micros() / each).unwrap_or(1).max(1);
        *self = Self { at_once, ..Self::default() };
        let (all, cpu) = (Instant::now(), cpu_seconds());
        while self.walls.len() < FEWEST || all.elapsed().as_secs_f64() < seconds {
            self.group(session, next)?;
        }
        self.recording_ms /= self.walls.len() as f64;
        self.loading_ms /= self.steps as f64;
        self.cpu_ms = cpu.zip(cpu_seconds()).map(|(before, after)| (after - before) * 1e3 / self.steps as f64);
        Ok(())
    }

    fn group(
        &mut self,
        session: &mut Session,
        next: &mut impl FnMut() -> <Batches as Iterator>::Item,
    ) -> Result<(), Error> {
        let group = Instant::now();
        let mut reports = Vec::new();
        for begun in 0..self.at_once {
            let loading = Instant::now();
            let batch = next();
            self.loading_ms += ms(loading);
            let recording = Instant::now();
            reports.extend(session.step(&batch)?);
            // The others may have to wait for the device.
            self.recording_ms += if begun == 0 { ms(recording) } else { 0.0 };
        }
        reports.extend(session.finish()?);
        self.walls.push(ms(group) / self.at_once as f64);
        self.steps += self.at_once;
        self.tokens += reports.iter().map(|r| r.tokens).sum::<u64>();
        Ok(())
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The middle one; leaves them in ascending order.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Op by op the least of several profiles of the same plan, the longest first.
fn fastest(profiles: &[Vec<OpTime>]) -> Vec<OpTime> {
    let same = |a: &OpTime, b: &OpTime| (a.program, &a.layer, a.op) == (b.program, &b.layer, b.op);
    let least = |op: &OpTime| {
        let times = profiles.iter().flatten().filter(|other| same(op, other)).map(|other| other.nanoseconds);
        OpTime { nanoseconds: times.fold(f64::INFINITY, f64::min), ..op.clone() }
    };
    let mut all: Vec<OpTime> = profiles.first().into_iter().flatten().map(least).collect();
    all.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
    all
}

/// What a product and a pass over numbers reach on `device`.
fn peaks(device: &Device) -> Result<Option<Peaks>, Error> {
    let product = if device.target().device_kind == DeviceKind::Cpu { PRODUCT } else { LARGE_PRODUCT };
    let square = TensorType::f32(&[product, product]);
    let list = TensorType::f32(&[SUM]);
    let multiplied = probe(device, probed(device, Matmul::new(Layout::Nt), &square)?)?;
    let sum = probe(device, probed(device, Binary::Add, &list)?)?;
    let fewer = TensorType::f32(&[SLOPES]);
    let slopes = probed(device, ActivationGradient { function: Function::Relu }, &fewer)?;
    // From buffers, numbers so few might come from a cache.
    let slopes = if slopes.texture.arena.is_some() { probe(device, slopes)? } else { None };
    let flops = 2.0 * f64::from(product).powi(3);
    let rate = |nanoseconds, of: &TensorType| 3.0 * of.bytes() as f64 / nanoseconds;
    let peaks = |(multiplied, sum)| Peaks {
        product,
        gflops: flops / multiplied,
        gigabytes: slopes.map_or(0.0, |slopes| rate(slopes, &fewer)).max(rate(sum, &list)),
    };
    Ok(multiplied.zip(sum).map(peaks))
}

/// A plan of `op` on two tensors of type `ty`.
fn probed(device: &Device, op: impl Into<Op>, ty: &TensorType) -> Result<Plan, Error> {
    let fault = |e: ShapeError| Error::Input(format!("a probe of the device: {e}"));
    let mut graph = Graph::default();
    graph.begin("probe");
    let [a, b] = ["a", "b"].map(|name| graph.held(name, Role::Input, ty.clone(), 1));
    let made = graph.apply_one(op, &[a, b]).map_err(fault)?;
    let kept = graph.slot("made", Role::Result, graph[made].ty.bytes(), 1);
    graph.store(made, kept, 0);
    Ok(Plan::new(graph, device.target(), Staging::for_traffic(0, 0, 0, 4096)))
}

/// The least nanoseconds that all of `plan` takes.
fn probe(device: &Device, plan: Plan) -> Result<Option<f64>, Error> {
    let mut engine = DeviceEngine::new(device, plan)?;
    let mut least: Option<f64> = None;
    for _ in 0..=PROBES {
        let Some(times) = engine.profile(0, 0)? else { return Ok(None) };
        let time: f64 = times.iter().sum();
        // The first, which compiles the kernel, is never the least.
        least = Some(least.map_or(time, |least| least.min(time)));
    }
    Ok(least)
}
