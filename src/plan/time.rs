//! How long a plan's dispatches take, told from the schedule and from a few numbers about the device.
//!
//! ```text
//! a product     max(cost * (terms + tile_terms) * unit_seconds * max(tiles / workgroups, 1), bytes)
//! a window      the same, and for each row turns * turn_seconds + weights / turn_weights_per_second
//! another       bytes * max(workgroups / groups, 1), and a share of that where it reads from the texture
//! bytes         moved / bytes_per_second
//! a dispatch    one of these + dispatch_seconds, and what it takes to copy to the texture what it reads there anew
//! an update     max(first + (accumulate - 1) * next + update, what the host takes) + submission_seconds
//! ```
//!
//! Nothing here knows a kernel by its name: a product tells what a tile of it is worth ([`Tile`]), and every
//! dispatch what it binds.
//!
//! [`Tile`]: crate::ops::Tile

use super::Plan;
use crate::ops::Dispatch;
use crate::schedule::{Access, Schedule, Step};
use crate::target::Rates;

impl Rates {
    /// Seconds that the device takes until a dispatch has begun.
    pub(crate) fn begun_seconds(&self, dispatch: &Dispatch) -> f64 {
        let copied = self.textures.zip(dispatch.copied_bytes());
        self.dispatch_seconds + copied.map_or(0.0, |(textures, bytes)| textures.seconds_of(bytes))
    }

    /// Seconds of an update of `accumulate` micro-steps, told of each program how many dispatches it has and what the
    /// device takes for them.
    pub(super) fn seconds_of_update(&self, accumulate: u32, program: impl Fn(&str) -> (usize, f64)) -> f64 {
        let runs = [("first", 1), ("next", accumulate.saturating_sub(1)), ("update", 1)];
        let programs = runs.map(|(name, times)| (f64::from(times), program(name)));
        let device: f64 = programs.iter().map(|(times, (_, seconds))| times * seconds).sum();
        let host: f64 =
            programs.iter().map(|(times, (dispatches, _))| times * (*dispatches as f64 * self.recording_seconds)).sum();
        device.max(host) + self.submission_seconds
    }

    /// Seconds that the device takes for one dispatch.
    pub fn seconds_of(&self, step: &Step) -> f64 {
        let groups = step.workgroups();
        let bytes = step.moved_bytes() as f64 / self.bytes_per_second;
        let busy = match step.dispatch.tile {
            Some(tile) => bytes.max(tile.seconds(groups, self)),
            // Few workgroups have their share of the bandwidth and no more.
            None => bytes * self.share_of(step) * (self.workgroups / groups).max(1.0),
        };
        self.begun_seconds(&step.dispatch) + busy
    }

    /// What a kernel that goes through numbers takes beside the same of buffers.
    fn share_of(&self, step: &Step) -> f64 {
        let textures = self.textures.filter(|_| step.textured().next().is_some());
        textures.and_then(|textures| textures.streams).unwrap_or(1.0)
    }
}

impl Step {
    /// Bytes that it reads, and bytes that it writes.
    pub(crate) fn moved_bytes(&self) -> u64 {
        // What is bound again, because something has to be or as it is read in one place and written in another, moves
        // nothing.
        let again = |at: usize, access: &Access| {
            self.accesses.iter().take(at).any(|earlier| earlier.is_of_what(access) || earlier.is_read_by(access))
        };
        let moved = |access: &Access| (access.bytes.end - access.bytes.start) * access.values().count() as u64;
        let all = self.accesses.iter().enumerate().filter(|(at, access)| !again(*at, access));
        all.map(|(_, access)| moved(access)).sum()
    }

    /// Workgroups that it starts.
    pub(crate) fn workgroups(&self) -> f64 {
        self.dispatch.groups.iter().map(|&n| f64::from(n)).product::<f64>().max(1.0)
    }
}

impl Plan {
    /// What [`Schedule::program_seconds`] says of its schedule.
    pub fn program_seconds(&self, name: &str, rates: &Rates) -> f64 {
        self.schedule.program_seconds(name, rates)
    }

    /// What [`Schedule::seconds`] says of its schedule.
    pub fn seconds(&self, accumulate: u32, rates: &Rates) -> f64 {
        self.schedule.seconds(accumulate, rates)
    }
}

impl Schedule {
    /// Seconds that the device takes for one run of the program called `name`; 0 of one that is not there.
    pub fn program_seconds(&self, name: &str, rates: &Rates) -> f64 {
        self.steps_of(name).iter().map(|step| rates.seconds_of(step)).sum()
    }

    /// Seconds of one update of `accumulate` micro-steps, while nothing else keeps the device or the host busy.
    ///
    /// The host records a step while the device is at work on the one before, so that the slower of the two counts.
    pub fn seconds(&self, accumulate: u32, rates: &Rates) -> f64 {
        rates.seconds_of_update(accumulate, |name| (self.steps_of(name).len(), self.program_seconds(name, rates)))
    }

    /// The steps of the program called `name`; none of one that is not there.
    pub(crate) fn steps_of(&self, name: &str) -> &[Step] {
        self.programs.iter().find(|p| p.name == name).map_or(&[], |p| &self.steps[p.steps.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Role};
    use crate::nn::{Model, Task};
    use crate::ops::{Binary, Layout, Matmul, Op};
    use crate::plan::Staging;
    use crate::target::{Target, TextureRates, Turns};
    use crate::tensor::TensorType;
    use crate::training::{Planned, Storage, Training};

    /// A device with a few hundred processors, each of them slower than one of the host.
    fn graphics() -> Rates {
        Rates {
            unit_seconds: 1e-10,
            tile_terms: 10.0,
            workgroups: 300.0,
            bytes_per_second: 400e9,
            dispatch_seconds: 3e-6,
            recording_seconds: 2e-6,
            submission_seconds: 40e-6,
            tall_tiles: None,
            textures: None,
            turns: Some(Turns { seconds: 1e-6, weights_per_second: 25e9 }),
        }
    }

    /// A plan of one op that is applied to inputs of these shapes.
    fn one(op: impl Into<Op>, shapes: &[&[u32]]) -> Plan {
        let mut graph = Graph::default();
        graph.begin("first");
        let input = |shape: &&[u32]| graph.held("input", Role::Input, TensorType::f32(shape), 1);
        let inputs: Vec<_> = shapes.iter().map(input).collect();
        let made = graph.apply_one(op, &inputs).unwrap();
        let kept = graph.slot("made", Role::Result, graph[made].ty.bytes(), 1);
        graph.store(made, kept, 0);
        Plan::new(graph, &Target::profile("lavapipe").unwrap(), Staging::for_traffic(0, 0, 0, 4096))
    }

    /// Seconds of a product's only dispatch.
    fn product([m, n, k]: [u32; 3], rates: &Rates) -> f64 {
        one(Matmul::new(Layout::Nt), &[&[m, k], &[n, k]]).program_seconds("first", rates)
    }

    #[test]
    fn factors_that_are_copied_to_the_texture_are_waited_for() {
        let textures = TextureRates { tiles: Some(0.5), streams: None, seconds: 1e-3, bytes_per_second: 1e9 };
        let rates = Rates { textures: Some(textures), ..Rates::assumed() };
        let target = Target { rates: Some(rates), ..Target::profile("lavapipe").unwrap() };
        let plan = one(Matmul::new(Layout::Nt), &[&[512, 512], &[1024, 512]]);
        let plan = Plan::new(plan.graph, &target, plan.staging);
        let dispatch = &plan.schedule.steps[0].dispatch;
        let bytes = 4 * (512 * 512 + 1024 * 512);
        assert_eq!(dispatch.copied_bytes(), Some(bytes));
        let seconds = |textures| plan.program_seconds("first", &Rates { textures, ..rates });
        let more = seconds(Some(textures)) - seconds(None);
        assert!((more - 1e-3 - bytes as f64 / 1e9).abs() < 1e-9, "{more}");
    }

    fn run(hidden: u32, batch: u32, window: u32, accumulate: u32) -> Planned {
        let model = Model::new().embedding(16).lstm(hidden).output();
        let training = Training::new(model, Task::next_token(50), batch).window(window).accumulate(accumulate);
        training.plan(&Target::profile("lavapipe").unwrap()).unwrap()
    }

    #[test]
    fn whatever_is_larger_takes_longer() {
        for rates in [Rates::assumed(), graphics()] {
            let seconds = |hidden, batch, window| run(hidden, batch, window, 1).seconds(&rates);
            for [small, large] in [
                [seconds(64, 8, 8), seconds(128, 8, 8)],
                [seconds(64, 8, 8), seconds(64, 64, 8)],
                [seconds(64, 8, 8), seconds(64, 8, 16)],
            ] {
                assert!(large > small, "{large} > {small}");
            }
            let sizes = [64, 65, 128, 200, 256, 512];
            for dimension in 0..3 {
                let of = |size: u32| {
                    let mut extents = [64; 3];
                    extents[dimension] = size;
                    product(extents, &rates)
                };
                for pair in sizes.iter().map(|&n| of(4 * n)).collect::<Vec<_>>().windows(2) {
                    assert!(pair[1] >= pair[0], "dimension {dimension}: {pair:?}");
                }
            }
        }
    }

    #[test]
    fn a_product_takes_its_arithmetic_or_its_bytes_whichever_is_more() {
        let rates = Rates { dispatch_seconds: 0.0, tile_terms: 0.0, ..Rates::assumed() };
        let large = product([512, 512, 512], &rates);
        assert_eq!(product([512, 512, 512], &Rates { bytes_per_second: 1e30, ..rates }), large);
        // 2 * 512^3 by this kind of adapter: 5 to 7 ms, as measured.
        assert!((4e-3..8e-3).contains(&large), "{large}");
        assert!((product([512, 512, 1024], &rates) / large - 2.0).abs() < 1e-9);
        let slow = Rates { bytes_per_second: 1e3, ..rates };
        let bytes = 3.0 * 512.0 * 512.0 * 4.0;
        assert!((product([512, 512, 512], &slow) - bytes / 1e3).abs() < 1e-6);
    }

    #[test]
    fn short_sums_and_odd_rows_take_longer_than_their_arithmetic() {
        let rates = Rates { dispatch_seconds: 0.0, ..Rates::assumed() };
        let each =
            |extents: [u32; 3]| product(extents, &rates) / extents.iter().map(|&n| f64::from(n)).product::<f64>();
        assert!(each([512, 512, 16]) > 2.0 * each([512, 512, 512]));
        // Rows that begin anywhere are read element by element.
        assert!(each([512, 511, 511]) > 1.3 * each([512, 512, 512]));
        // Most of a tile of few columns is nothing.
        assert!(each([512, 4, 512]) > 4.0 * each([512, 512, 512]));
    }

    #[test]
    fn one_workgroup_is_no_faster_where_there_are_many() {
        let wide = Rates { workgroups: 64.0, bytes_per_second: 1e12, ..Rates::assumed() };
        let narrow = Rates { workgroups: 2.0, ..wide };
        let tile = [8, 32, 256];
        assert_eq!(product(tile, &wide), product(tile, &Rates { workgroups: 1.0, ..wide }));
        assert!(product([512, 1024, 256], &narrow) > 20.0 * product([512, 1024, 256], &wide));
        // The bytes of a sum of a few hundred elements are moved by a workgroup alone.
        let sum = |len: u32, rates: &Rates| one(Binary::Add, &[&[len], &[len]]).program_seconds("first", rates);
        let quick = Rates { dispatch_seconds: 0.0, ..wide };
        assert_eq!(sum(1024, &quick), sum(64 * 1024, &quick));
    }

    #[test]
    fn every_dispatch_costs_something_and_what_it_binds() {
        let rates = Rates::assumed();
        let more = Rates { dispatch_seconds: rates.dispatch_seconds + 1.0, ..rates };
        let planned = run(32, 4, 5, 1);
        let all = planned.plan.dispatches("first") + planned.plan.dispatches("update");
        assert!((planned.seconds(&more) - planned.seconds(&rates) - all as f64).abs() < 1e-6);
        // 3 bytes moved for each that is read on its own, and 2 for one that is changed in place.
        let free = Rates { dispatch_seconds: 0.0, bytes_per_second: 4.0, workgroups: 1.0, ..rates };
        let added = one(Binary::Add, &[&[4096], &[4096]]).program_seconds("first", &free);
        assert!((added - 3.0 * 4096.0).abs() < 1e-6, "{added}");
    }

    #[test]
    fn an_update_is_the_sum_of_its_programs() {
        let rates = Rates { submission_seconds: 0.25, ..Rates::assumed() };
        let planned = run(32, 8, 5, 4);
        let of = |name| planned.plan.program_seconds(name, &rates);
        let whole = of("first") + 3.0 * of("next") + of("update") + 0.25;
        assert!((planned.seconds(&rates) - whole).abs() < 1e-12);
        assert!(of("next") > 0.0 && of("update") > 0.0);
        assert_eq!(of("no such program"), 0.0);
        assert!(run(32, 8, 5, 1).seconds(&rates) < planned.seconds(&rates), "smaller products are slower ones");
    }

    #[test]
    fn a_host_that_records_slowly_is_what_a_step_waits_for() {
        let slow = Rates { recording_seconds: 1.0, ..graphics() };
        let planned = run(32, 8, 5, 2);
        let dispatches = ["first", "next", "update"].map(|name| planned.plan.dispatches(name)).iter().sum::<usize>();
        assert!((planned.seconds(&slow) - slow.submission_seconds - dispatches as f64).abs() < 1e-6);
    }

    #[test]
    fn halves_move_fewer_bytes() {
        let rates = Rates { unit_seconds: 1e-30, workgroups: 1.0, bytes_per_second: 1e6, ..Rates::assumed() };
        let full = run(64, 32, 16, 1);
        let halves = full.training.clone().storage(Storage::F16).plan(&full.plan.target).unwrap();
        assert!(halves.seconds(&rates) < 0.9 * full.seconds(&rates));
    }

    #[test]
    fn rates_that_no_device_has_are_none() {
        let good = Rates::assumed();
        assert_eq!(good.checked(), Some(good));
        for bad in [
            Rates { unit_seconds: 0.0, ..good },
            Rates { unit_seconds: f64::NAN, ..good },
            Rates { workgroups: 0.5, ..good },
            Rates { bytes_per_second: -1.0, ..good },
            Rates { bytes_per_second: f64::INFINITY, ..good },
            Rates { tile_terms: -1.0, ..good },
            Rates { dispatch_seconds: f64::INFINITY, ..good },
            Rates { tall_tiles: Some(0.0), ..good },
            Rates { tall_tiles: Some(f64::INFINITY), ..good },
            Rates { textures: Some(TextureRates { tiles: Some(0.0), ..TextureRates::FREE }), ..good },
            Rates { textures: Some(TextureRates { streams: Some(f64::NAN), ..TextureRates::FREE }), ..good },
            Rates { textures: Some(TextureRates { seconds: f64::NAN, ..TextureRates::FREE }), ..good },
            Rates { textures: Some(TextureRates { bytes_per_second: 0.0, ..TextureRates::FREE }), ..good },
            Rates { turns: Some(Turns { seconds: f64::NAN, weights_per_second: 1.0 }), ..good },
            Rates { turns: Some(Turns { seconds: 0.0, weights_per_second: 0.0 }), ..good },
        ] {
            assert_eq!(bad.checked(), None, "{bad:?}");
        }
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Rates>(&text).unwrap(), good);
    }

    #[test]
    fn telling_the_time_of_a_plan_takes_no_time() {
        let planned = run(64, 8, 200, 1);
        let started = std::time::Instant::now();
        let all: f64 = (0..100).map(|_| planned.seconds(&Rates::assumed())).sum();
        assert!(all > 0.0);
        // 100 plans of 800 dispatches; some ms, and far below this even where other work has the processors.
        assert!(started.elapsed().as_secs_f64() < 2.0, "{:?}", started.elapsed());
    }
}
