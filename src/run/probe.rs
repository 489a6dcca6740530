//! Measures what a device reaches, so that the time of a plan can be told before it runs; see [`Rates`].
//!
//! A program is run so often in one submission that it takes some milliseconds, and the quickest of a few such
//! submissions counts, for what else the machine does can only make it slower. The clock is the one on the wall, as
//! that is what a step takes in the end; of a software adapter also that of the processors, shared out among as many
//! workgroups as there are at once: on a machine with other work, it says what an idle one would take.
//!
//! | program | what it tells |
//! |---|---|
//! | none | a submission, and the way back of a number |
//! | idle | dispatches with next to nothing to do, two kernels in turn: on the device and on the host |
//! | nn, nt, tn | large products, one for each layout: all workgroups at work |
//! | short | a product of few terms: what a tile takes beside them |
//! | tile | one workgroup alone: how many there are at once |
//! | columns, sum, update | bytes: sums of columns, a sum, an optimizer's update in place |
//! | few units, more units | of a graphics processor: what it takes to go through timesteps within a dispatch |
//! | nt twice more | of a software adapter: what the tallest tiles take beside others, and factors in a texture |
//! | tiny | what it takes to end a pass, copy next to nothing to the texture, and begin another |
//! | copies | what it takes to copy the factors of nt |
//! | update once more | of a software adapter: with what it reads in a texture |

mod cache;
mod others;
mod processors;
mod programs;

use std::time::Instant;

use crate::device::{Device, DeviceEngine};
use crate::engine::{Engine, EngineError};
use crate::error::Error;
use crate::ids::SlotId;
use crate::plan::{Plan, Rates};
use crate::schedule::Step;
use crate::target::{DeviceKind, Turns};

use others::Known;
use processors::others_seconds;
use programs::{LARGE, PRODUCTS, STREAMS, UPDATE, WINDOWS, plan};

pub use cache::{Cache, Probed};

/// Seconds that a submission is to take: far longer than it takes to hand it over.
const LONG_ENOUGH: f64 = 4e-3;
/// Runs of a program in one submission, at most.
const MOST_RUNS: u32 = 1024;
/// Submissions of which the quickest counts.
const ROUNDS: u32 = 5;
/// Seconds from which on one further submission is enough.
const SLOW: f64 = 0.1;
/// How much longer than its share of the processors a submission takes where other work has them too.
const CROWDED: f64 = 1.25;
/// What part of the time of other tiles the tallest take at most, for them to be worth their compilation.
const WORTH_COMPILING: f64 = 0.95;
/// Seconds of a weight: fewer than any workgroup takes.
const LEAST_WEIGHT: f64 = 4e-13;
/// More terms than any tile takes to begin and to end.
const MOST_TILE_TERMS: f64 = 256.0;

/// What `device` reaches. Takes some tenths of a second once the kernels are compiled, and for that time some 13 MiB
/// of a software adapter, 25 of a graphics processor within another, 150 of one on a card.
///
/// # Errors
/// Device errors; times that no device can have.
pub fn measure(device: &Device) -> Result<Rates, Error> {
    let started = Instant::now();
    let (plan, waited_for) = plan(device.target())?;
    let (rates, known) = Probe::new(device, plan, waited_for)?.rates()?;
    // Others serve as well, if more slowly.
    let tall_tiles = others::tall_tiles(device, known.product).unwrap_or_else(|reason| {
        tracing::warn!(%reason, "the tallest tiles cannot be probed");
        None
    });
    let textures = others::textures(device, known).unwrap_or_else(|reason| {
        tracing::warn!(%reason, "textures cannot be probed");
        None
    });
    let rates = Rates { tall_tiles, textures, ..rates };
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(adapter = device.target().name, seconds, ?rates, "probed the device");
    rates
        .checked()
        .ok_or_else(|| Error::Input(format!("a probe of the device came to numbers of no device: {rates:?}")))
}

/// The probe's programs on a device.
struct Probe {
    engine: DeviceEngine,
    /// Something small to wait for.
    waited_for: SlotId,
}

/// Records what is timed of a program.
type Record = dyn Fn(&mut DeviceEngine, usize) -> Result<(), EngineError>;

/// Seconds of one submission.
#[derive(Clone, Copy)]
struct Spent {
    /// Until the host had handed it over.
    recorded: f64,
    /// Until it was done.
    done: f64,
    /// Of a software adapter, on all processors together, where the system tells; else endless.
    computed: f64,
}

impl Spent {
    const LONGEST: Self = Self { recorded: f64::INFINITY, done: f64::INFINITY, computed: f64::INFINITY };

    fn least(self, other: Self) -> Self {
        Self {
            recorded: self.recorded.min(other.recorded),
            done: self.done.min(other.done),
            computed: self.computed.min(other.computed),
        }
    }
}

/// Seconds of one dispatch.
#[derive(Clone, Copy)]
struct Each {
    /// Until the host has recorded it, at best.
    recorded: f64,
    /// On the wall, at best.
    least: f64,
    /// On the wall, on average.
    mean: f64,
    /// On the wall, if no other process had been at work.
    alone: f64,
}

impl Probe {
    fn new(device: &Device, plan: Plan, waited_for: SlotId) -> Result<Self, Error> {
        Ok(Self { engine: DeviceEngine::new(device, plan)?, waited_for })
    }

    /// A submission of nothing.
    fn nothing(&mut self) -> Result<Spent, Error> {
        let mut nothing = Spent::LONGEST;
        for _ in 0..2 * ROUNDS {
            nothing = nothing.least(self.submit(None, 0, &|_, _| Ok(()))?);
        }
        Ok(nothing)
    }

    /// What the device reaches, and the seconds of what is made in other ways as well.
    fn rates(&mut self) -> Result<(Rates, Known), Error> {
        let nothing = self.nothing()?;
        let mut times: Vec<(&str, Each)> = Vec::new();
        let windows = WINDOWS.map(|(name, _)| name).into_iter().filter(|name| self.has(name)).collect::<Vec<_>>();
        let names = ["idle", "short", "tile"].into_iter().chain(PRODUCTS.map(|(name, _)| name)).chain(STREAMS);
        for name in names.chain(windows) {
            times.push((name, self.each(name, nothing)?));
        }
        let of = |name: &str| times.iter().find(|(n, _)| *n == name).expect("every program was timed").1;
        let idle = of("idle");
        let sum = |pick: fn(Each) -> f64| PRODUCTS.iter().map(|(name, _)| pick(of(name))).sum::<f64>();
        let plan = self.engine.plan();
        let crowded = sum(|each| each.mean) > CROWDED * sum(|each| each.alone);
        // Processors that are never idle need not be woken, so that a dispatch seems to take no time.
        let least = if crowded { Rates::assumed().dispatch_seconds } else { 0.0 };
        let known = Rates {
            dispatch_seconds: idle.least.max(least),
            recording_seconds: idle.recorded,
            submission_seconds: nothing.done,
            ..Rates::assumed()
        };
        let rates = solve(plan, known, &|name| (of(name).alone - idle.least).max(0.0));
        let computes_here = plan.target.device_kind == DeviceKind::Cpu;
        let rates = if computes_here { rates.with_workgroups(rates.workgroups.min(processors())) } else { rates };
        let known = Known { product: of(LARGE.0).alone, update: of(UPDATE).alone, idle: rates.dispatch_seconds };
        Ok((rates, known))
    }

    /// Whether there is such a program.
    fn has(&self, name: &str) -> bool {
        !self.engine.plan().schedule.steps_of(name).is_empty()
    }

    /// Seconds of one dispatch of a program.
    fn each(&mut self, name: &str, nothing: Spent) -> Result<Each, Error> {
        let run = |engine: &mut DeviceEngine, program: usize| engine.run(program, 0);
        self.each_of(name, nothing, &run)
    }

    /// Seconds of one dispatch of a program that is recorded by `record`, or of what that records in its place.
    fn each_of(&mut self, name: &str, nothing: Spent, record: &Record) -> Result<Each, Error> {
        let program = self.engine.plan().program(name);
        let mut runs = 1;
        // The first finishes the kernel, and touches memory for the first time.
        self.submit(program, runs, record)?;
        let mut least = self.submit(program, runs, record)?;
        while least.done < LONG_ENOUGH && runs < MOST_RUNS {
            runs = (runs * 4).min(MOST_RUNS);
            least = self.submit(program, runs, record)?;
        }
        let rounds = if least.done > SLOW { 1 } else { ROUNDS };
        let mut all = 0.0;
        for _ in 0..rounds {
            let spent = self.submit(program, runs, record)?;
            least = least.least(spent);
            all += spent.done / f64::from(rounds);
        }
        let steps = self.engine.plan().schedule.steps_of(name);
        let dispatches = f64::from(runs) * steps.len() as f64;
        let each = |all: f64, nothing: f64| (all - nothing.min(all)) / dispatches;
        let at_once = steps.iter().map(Step::workgroups).fold(processors(), f64::min);
        let wall = each(least.done, nothing.done);
        let share = if least.computed.is_finite() { each(least.computed, nothing.computed) / at_once } else { wall };
        tracing::debug!(name, runs, wall, share, mean = each(all, nothing.done), "probed");
        Ok(Each {
            recorded: each(least.recorded, nothing.recorded),
            least: wall,
            mean: each(all, nothing.done),
            alone: wall.min(share),
        })
    }

    /// Runs a program so many times, and waits for a number from the device.
    fn submit(&mut self, program: Option<usize>, runs: u32, record: &Record) -> Result<Spent, Error> {
        let computes_here = self.engine.plan().target.device_kind == DeviceKind::Cpu;
        let before = others_seconds().filter(|_| computes_here);
        let started = Instant::now();
        for program in program.iter().flat_map(|program| (0..runs).map(move |_| *program)) {
            record(&mut self.engine, program)?;
        }
        self.engine.read(self.waited_for, 0)?;
        self.engine.submit()?;
        let recorded = started.elapsed().as_secs_f64();
        self.engine.results(true)?;
        let done = started.elapsed().as_secs_f64();
        let computed = before.and_then(|before| Some(others_seconds()? - before)).filter(|seconds| *seconds > 0.0);
        Ok(Spent { recorded, done, computed: computed.unwrap_or(f64::INFINITY) })
    }
}

/// Processors that this process may use.
fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

/// What is left to be known from the seconds that one dispatch of a program is `busy`.
fn solve(plan: &Plan, known: Rates, busy: &dyn Fn(&str) -> f64) -> Rates {
    let work = |name: &str| work(plan.schedule.steps_of(name));
    let (mut long, mut long_work, mut terms) = (0.0, 0.0, 0.0);
    for (name, _) in PRODUCTS {
        long += busy(name);
        long_work += work(name).0;
        terms = work(name).1;
    }
    let ((short_work, few), (tile_work, many)) = (work("short"), work("tile"));
    // (terms + t) / (few + t) is how much longer a tile of more terms takes.
    let longer = (long / long_work) / (busy("short") / short_work);
    let tile_terms = (terms - longer * few) / (longer - 1.0);
    let tile_terms = if longer > 1.0 { tile_terms.clamp(0.0, MOST_TILE_TERMS) } else { MOST_TILE_TERMS };
    // A unit of one workgroup, and of all of them together.
    let together = long / (long_work * (terms + tile_terms));
    let workgroups = (busy("tile") / (tile_work * (many + tile_terms)) / together).max(1.0);
    let moved = |step: &Step| step.moved_bytes() as f64 * (workgroups / step.workgroups()).max(1.0);
    let moved: f64 = STREAMS.iter().flat_map(|name| plan.schedule.steps_of(name)).map(moved).sum();
    let streamed: f64 = STREAMS.iter().map(|name| busy(name)).sum();
    let bytes_per_second = moved / streamed;
    let rates = Rates { unit_seconds: together * workgroups, tile_terms, workgroups, bytes_per_second, ..known };
    Rates { turns: turns(plan, rates, busy), ..rates }
}

/// What it takes to go through timesteps within a dispatch, from the seconds that the dispatches of a program are each
/// busy on average; `None` where the plan has no such program.
fn turns(plan: &Plan, rates: Rates, busy: &dyn Fn(&str) -> f64) -> Option<Turns> {
    let all = WINDOWS.map(|(name, _)| {
        let steps = plan.schedule.steps_of(name);
        let (windows, others): (Vec<&Step>, Vec<&Step>) =
            steps.iter().partition(|step| step.dispatch.tile.is_some_and(|tile| tile.turns > 0));
        let others: f64 = others.iter().map(|step| rates.seconds_of(step) - rates.dispatch_seconds).sum();
        let tiles = windows
            .iter()
            .filter_map(|step| Some(((step.workgroups() / rates.workgroups).max(1.0), step.dispatch.tile?)));
        let (turns, weights) = tiles.fold((0.0, 0.0), |(turns, weights), (times, tile)| {
            (turns + times * f64::from(tile.turns), weights + times * tile.weights as f64)
        });
        (turns, weights, if windows.is_empty() { 0.0 } else { busy(name) * steps.len() as f64 - others })
    });
    let [(few, few_weights, short), (many, many_weights, long)] = all;
    if few == 0.0 || many == 0.0 {
        return None;
    }
    // What is left of the one without the other's turns is weights.
    let a_weight = (long - short * many / few) / (many_weights - few_weights * many / few);
    let a_weight = a_weight.clamp(LEAST_WEIGHT, f64::MAX);
    let seconds = ((short - few_weights * a_weight) / few).max(0.0);
    Some(Turns { seconds, weights_per_second: 1.0 / a_weight })
}

/// The cost of one term of all tiles of a program's products, and how many terms they have.
fn work(steps: &[Step]) -> (f64, f64) {
    let tiles = steps.iter().filter_map(|step| Some((step, step.dispatch.tile?)));
    tiles.fold((0.0, 0.0), |(sum, _), (step, tile)| (sum + step.workgroups() * f64::from(tile.cost), tile.terms.into()))
}

#[cfg(test)]
mod tests {
    use super::programs::Other;
    use super::*;
    use crate::target::Target;

    #[test]
    fn a_device_that_keeps_to_the_model_is_found_out() {
        for name in Target::shipped() {
            let target = Target::profile(name).unwrap();
            let (plan, _) = plan(&target).unwrap();
            let graphics = Rates {
                unit_seconds: 3e-11,
                tile_terms: 7.5,
                workgroups: 40.0,
                bytes_per_second: 2e12,
                dispatch_seconds: 3e-6,
                turns: Some(Turns { seconds: 1.5e-6, weights_per_second: 20e9 }),
                ..Rates::assumed()
            };
            // By those of a software adapter, what a graphics processor's kernels multiply would be moved more slowly.
            let assumed = (target.device_kind == DeviceKind::Cpu).then(Rates::assumed);
            for rates in assumed.into_iter().chain([graphics]) {
                let busy = |name: &str| {
                    let dispatches = plan.dispatches(name).max(1) as f64;
                    plan.program_seconds(name, &rates) / dispatches - rates.dispatch_seconds
                };
                let unknown = Rates {
                    unit_seconds: 1.0,
                    tile_terms: 0.0,
                    workgroups: 1.0,
                    bytes_per_second: 1.0,
                    turns: None,
                    ..rates
                };
                let found = solve(&plan, unknown, &busy);
                let pairs = [
                    (found.unit_seconds, rates.unit_seconds),
                    (found.tile_terms, rates.tile_terms),
                    (found.workgroups, rates.workgroups),
                    (found.bytes_per_second, rates.bytes_per_second),
                ];
                let turns = found.turns.zip(rates.turns);
                assert_eq!(turns.is_some(), target.device_kind != DeviceKind::Cpu, "{name}");
                let turns = turns.map(|(found, is)| {
                    [(found.seconds, is.seconds), (found.weights_per_second, is.weights_per_second)]
                });
                for (found, is) in pairs.into_iter().chain(turns.into_iter().flatten()) {
                    assert!((found / is - 1.0).abs() < 0.01, "{name}: {found} is {is}");
                }
            }
        }
    }

    #[test]
    fn times_that_make_no_sense_come_to_no_rates_or_to_sound_ones() {
        let (plan, _) = plan(&Target::profile("lavapipe").unwrap()).unwrap();
        let solved = |busy: &dyn Fn(&str) -> f64| solve(&plan, Rates::assumed(), busy).checked();
        assert_eq!(solved(&|_| 0.0), None);
        assert_eq!(solved(&|_| f64::NAN), None);
        // Short sums that took no time, or as long as long ones: no more terms than any tile takes.
        let odd = |short: f64| solved(&|name| if name == "short" { short } else { 5e-3 }).unwrap();
        assert!(odd(1e-12).tile_terms >= 0.0 && odd(1.0).tile_terms <= MOST_TILE_TERMS);
    }

    #[test]
    fn other_ways_to_multiply_are_probed_where_there_are_some() {
        for name in Target::shipped() {
            let target = Target::profile(name).unwrap();
            for (other, constants) in [(Other::Tall, "TM=64,Q=2"), (Other::Textured, "HA=4,HB=4")] {
                let Some((plan, _)) = other.plan(&target).unwrap() else {
                    assert_ne!(name, "lavapipe");
                    continue;
                };
                let step = &plan.schedule.steps_of(LARGE.0)[0];
                let label = step.dispatch.shader.label();
                assert!(label.contains(constants), "{name}: {label}");
                // They load less.
                let longer = other.work(&target);
                assert!(longer > 0.3 && longer < 0.9, "{name}: {longer}");
                assert_eq!(plan.texture.rows > 0, other == Other::Textured);
            }
        }
    }

    #[test]
    fn every_program_is_there_and_small() {
        for name in Target::shipped() {
            let (plan, _) = plan(&Target::profile(name).unwrap()).unwrap();
            for name in PRODUCTS.map(|(name, _)| name).into_iter().chain(STREAMS).chain(["short", "tile"]) {
                assert_eq!(plan.dispatches(name), 1, "{name}");
            }
            assert_eq!(plan.dispatches("idle"), 2);
            let tile = &plan.schedule.steps_of("tile")[0];
            assert_eq!(tile.workgroups(), 1.0, "one alone: {:?}", tile.dispatch.groups);
            assert!(plan.violations(None).is_empty());
        }
        let (plan, _) = plan(&Target::profile("lavapipe").unwrap()).unwrap();
        assert!(plan.planned_bytes() < 14 << 20, "{}", plan.planned_bytes());
    }
}
