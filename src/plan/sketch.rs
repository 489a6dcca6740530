//! What a plan will take, and how long, with no dispatch kept: for a search that looks at hundreds of plans.
//!
//! Most nodes of one way to make an update are those of another, or of another segment. What an op lowers itself to
//! depends on its types, on what is wanted of it and on the device; so each is lowered once, and what is told of its
//! dispatches is kept for all that are like it.
//!
//! ```text
//! node   n7 lstm f32[24, 16, 64] ..   ->   seconds of each dispatch, and when it touches which operand
//! node   n9 lstm f32[24, 16, 64] ..   ->   the same, from another step on
//! ```

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::layout::{alignment, kept_bytes};
use super::lifetime::program_tenants;
use super::outline::least_bytes;
use super::place::{Interval, lower_bound};
use super::{Rates, Staging, Texture, Uniforms};
use crate::graph::{Base, Graph};
use crate::ids::{NodeId, ValueId};
use crate::ops::{Op, Operand};
use crate::schedule::{Needed, Schedule, needed, steps_of, touched, view};
use crate::target::Target;
use crate::tensor::TensorType;

/// Nodes that are alike but for what their op says that are kept at most.
const MOST_ALIKE: usize = 32;

/// A plan in numbers.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    programs: Vec<Program>,
    kept_bytes: u64,
    /// Bytes of its texture.
    pub(crate) texture_bytes: u64,
    tenants_bytes: u64,
    staging: Staging,
    /// What it was timed by.
    rates: Rates,
}

#[derive(Clone, Debug)]
struct Program {
    name: &'static str,
    dispatches: usize,
    seconds: f64,
}

/// What nodes are lowered to on a target, and how long that takes by some rates.
pub(crate) struct Lowered<'a> {
    target: &'a Target,
    rates: &'a Rates,
    known: Mutex<HashMap<u64, Vec<Arc<Known>>>>,
}

/// A node, and what its dispatches come to.
struct Known {
    op: Op,
    inputs: Vec<TensorType>,
    outputs: Vec<TensorType>,
    wanted: Vec<bool>,
    sharing: Vec<(usize, u64)>,
    /// Seconds of each dispatch.
    seconds: Vec<f64>,
    /// The operands that any of them touches, from which on and until which.
    touched: Vec<(Operand, Range<u32>)>,
    texture: Texture,
    /// Parameters that dispatches do not carry, and bytes from one dispatch's to another's.
    parameters: Vec<Vec<u8>>,
    stride: u64,
}

/// A node in a graph, where so much is wanted of it, and what it reads has these bases.
struct Found<'a> {
    graph: &'a Graph,
    id: NodeId,
    wanted: Vec<bool>,
    bases: Vec<Base>,
}

impl Sketch {
    /// Sketches the plan of `graph` that an [`Outline`](super::Outline) is of.
    pub(crate) fn new(graph: &Graph, staging: Staging, lowered: &Lowered) -> Self {
        let target = lowered.target;
        let mut bases: Vec<Base> = graph.value_ids().map(|value| Base { value, offset: 0 }).collect();
        let mut spans: Vec<Option<Range<u32>>> = vec![None; bases.len()];
        let (mut programs, mut all, mut nodes) = (Vec::new(), Vec::<Arc<Known>>::new(), Vec::new());
        let mut now = 0;
        for program in graph.programs() {
            let Needed { nodes: needed, wanted } = needed(graph, &program.nodes);
            let (first, begin) = (all.len(), now);
            let mut run = Vec::new();
            for id in needed {
                if let Some((view, base)) = view(graph, target, id, |value| bases[value.index()]) {
                    bases[view.index()] = base;
                    continue;
                }
                let site = &graph[id].site;
                let found = Found {
                    graph,
                    id,
                    wanted: site.outputs.iter().map(|output| wanted[output.index()]).collect(),
                    bases: site.inputs.iter().map(|input| bases[input.index()]).collect(),
                };
                let known = lowered.known(&found);
                for (operand, steps) in &known.touched {
                    let (start, end) = (now + steps.start, now + steps.end);
                    let span = &mut spans[found.value(*operand).index()];
                    *span = Some(span.as_ref().map_or(start, |span| span.start)..end);
                }
                if !known.seconds.is_empty() {
                    run.push(id);
                }
                now += crate::ops::clamp(known.seconds.len() as u64);
                all.push(known);
            }
            let seconds = all[first..].iter().flat_map(|known| known.seconds.iter().copied()).sum();
            programs.push(Program { name: program.name, dispatches: (now - begin) as usize, seconds });
            nodes.push(run);
        }
        let base = |value: ValueId| bases[value.index()].value;
        let span = |value: ValueId| spans[value.index()].clone();
        let tenants = nodes.iter().flat_map(|nodes| program_tenants(graph, nodes, base, span, true));
        let intervals: Vec<Interval> = tenants.map(|tenant| tenant.interval).collect();
        let tenants_bytes = lower_bound(&intervals, alignment(target)).0;
        let rows = all.iter().map(|known| known.texture.rows).max().unwrap_or(0);
        let texture_bytes = Texture { arena: None, rows }.bytes();
        let beside = parameter_bytes(&all).saturating_add(texture_bytes);
        let kept_bytes = kept_bytes(graph, target).saturating_add(beside);
        Self { programs, kept_bytes, texture_bytes, tenants_bytes, staging, rates: *lowered.rates }
    }

    /// See [`Outline::least_bytes`](super::Outline::least_bytes).
    pub(crate) fn least_bytes(&self) -> u64 {
        least_bytes(self.kept_bytes, self.tenants_bytes, self.staging)
    }

    /// Dispatches of all programs.
    pub(crate) fn dispatches(&self) -> usize {
        self.programs.iter().map(|program| program.dispatches).sum()
    }

    /// Those of the program called `name`; 0 of one that is not there.
    pub(crate) fn dispatches_of(&self, name: &str) -> usize {
        self.program(name).0
    }

    /// Seconds of an update by the rates it was sketched by; see [`Schedule::seconds`].
    pub(crate) fn seconds(&self, accumulate: u32) -> f64 {
        self.rates.seconds_of_update(accumulate, |name| self.program(name))
    }

    fn program(&self, name: &str) -> (usize, f64) {
        let program = self.programs.iter().find(|program| program.name == name);
        program.map_or((0, 0.0), |program| (program.dispatches, program.seconds))
    }
}

/// Bytes of the parameters that dispatches do not carry, each of which lies once among those of `all`.
fn parameter_bytes(all: &[Arc<Known>]) -> u64 {
    let mut seen = HashSet::new();
    let stored = all.iter().filter(|known| !known.parameters.is_empty() && seen.insert(Arc::as_ptr(known)));
    let stored: Vec<&Arc<Known>> = stored.collect();
    let distinct: HashSet<&[u8]> = stored.iter().flat_map(|known| known.parameters.iter().map(Vec::as_slice)).collect();
    let stride = stored.iter().map(|known| known.stride).max().unwrap_or(0);
    stride.saturating_mul(distinct.len() as u64)
}

impl<'a> Lowered<'a> {
    /// Nothing as yet, of what is lowered for `target` and timed by `rates`.
    pub(crate) fn new(target: &'a Target, rates: &'a Rates) -> Self {
        Self { target, rates, known: Mutex::default() }
    }

    /// The target that nodes are lowered for.
    pub(crate) fn target(&self) -> &Target {
        self.target
    }

    /// What this node's dispatches come to.
    fn known(&self, found: &Found) -> Arc<Known> {
        let key = found.key();
        let all = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all().get(&key).and_then(|alike| alike.iter().find(|known| found.is(known)).cloned());
        known.unwrap_or_else(|| {
            let new = Arc::new(self.lower(found));
            let mut all = all();
            let alike = all.entry(key).or_default();
            if alike.len() < MOST_ALIKE {
                alike.push(Arc::clone(&new));
            }
            new
        })
    }

    fn lower(&self, found: &Found) -> Known {
        let Found { graph, id, wanted, bases } = found;
        let site = &graph[*id].site;
        let of = |values: &[ValueId], value| values.iter().position(|other| *other == value);
        let base = |value| of(&site.inputs, value).map_or(Base { value, offset: 0 }, |input| bases[input]);
        let is_wanted = |value| of(&site.outputs, value).is_some_and(|output| wanted[output]);
        let steps = steps_of(graph, self.target, *id, is_wanted, base);
        let seconds = steps.iter().map(|step| self.rates.seconds_of(step)).collect();
        let spans = touched(&steps);
        let operands = (0..site.inputs.len()).map(Operand::Input);
        let operands = operands.chain((0..site.outputs.len()).map(Operand::Output));
        let touched = operands.filter_map(|operand| Some((operand, spans.get(&found.value(operand))?.clone())));
        let touched = touched.collect();
        let schedule = Schedule { steps, ..Schedule::default() };
        let uniforms = Uniforms::new(&schedule, self.target);
        Known {
            op: graph[*id].op.clone(),
            inputs: graph.types(&site.inputs),
            outputs: graph.types(&site.outputs),
            wanted: wanted.clone(),
            sharing: found.sharing().collect(),
            seconds,
            touched,
            texture: Texture::new(&schedule),
            parameters: uniforms.parameters(&schedule).map(<[u8]>::to_vec).collect(),
            stride: uniforms.stride,
        }
    }
}

impl Found<'_> {
    /// The value that has the bytes of this operand.
    fn value(&self, operand: Operand) -> ValueId {
        match operand {
            Operand::Input(input) => self.bases[input].value,
            Operand::Output(output) => self.graph[self.id].site.outputs[output],
        }
    }

    fn types<'b>(&'b self, values: &'b [ValueId]) -> impl Iterator<Item = &'b TensorType> {
        values.iter().map(|value| &self.graph[*value].ty)
    }

    /// For each input, the first that has bytes of the same value, and how much further on it begins: what is bound
    /// twice is moved once.
    fn sharing(&self) -> impl Iterator<Item = (usize, u64)> {
        self.bases.iter().enumerate().map(|(input, base)| {
            let first = self.bases.iter().position(|other| other.value == base.value).unwrap_or(input);
            (first, base.offset.wrapping_sub(self.bases[first].offset))
        })
    }

    /// A number that is the same of nodes that are alike, but for what their op says.
    fn key(&self) -> u64 {
        let node = &self.graph[self.id];
        let mut hasher = DefaultHasher::new();
        discriminant(&node.op).hash(&mut hasher);
        self.types(&node.site.inputs).chain(self.types(&node.site.outputs)).for_each(|ty| ty.hash(&mut hasher));
        self.wanted.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether `known` is what this node is lowered to.
    fn is(&self, known: &Known) -> bool {
        let node = &self.graph[self.id];
        let alike = self.wanted == known.wanted
            && self.types(&node.site.inputs).eq(&known.inputs)
            && self.types(&node.site.outputs).eq(&known.outputs)
            && self.sharing().eq(known.sharing.iter().copied())
            && node.op == known.op;
        // A zero and its negative are equal, and other parameters.
        alike && (known.parameters.is_empty() || format!("{:?}", node.op) == format!("{:?}", known.op))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Role;
    use crate::nn::{Model, Task};
    use crate::ops::{Binary, ParameterRange, Sgd, Update, View};
    use crate::plan::Outline;
    use crate::target::TextureRates;
    use crate::training::{Planned, Segments, Storage, Training};

    #[test]
    fn a_sketch_knows_what_an_outline_does_whatever_was_lowered_before() {
        let gru = Model::new().embedding(16).gru(24).output();
        let wide = Model::new().embedding(16).lstm(24).linear(32).relu().dropout(0.2).output();
        let elman = Model::new().embedding(8).rnn(12).layer_norm().output();
        let textures = TextureRates { tiles: Some(0.3), streams: Some(0.3), seconds: 1e-6, bytes_per_second: 28e9 };
        let rates = Rates { textures: Some(textures), ..Rates::assumed() };
        let (mut sketched, mut with_texture) = (0, 0);
        for profile in ["webgpu-default", "lavapipe", "nvidia-h200"] {
            for max_immediate_size in [128, 16, 0] {
                let mut target = Target { rates: Some(rates), ..Target::profile(profile).unwrap() };
                target.limits.max_immediate_size = max_immediate_size;
                let lowered = Lowered::new(&target, &rates);
                for model in [&gru, &wide, &elman] {
                    let plain = Training::new(model.clone(), Task::next_token(30), 8).window(40).accumulate(2);
                    let ways = [
                        plain.clone(),
                        Training { segments: Some(Segments::of(13)), ..plain.clone() },
                        Training { recompute: Some(3), ..plain.clone() },
                        Training { accumulate: 1, release_gradients: true, ..plain.clone() },
                        plain.clone().storage(Storage::F16),
                    ];
                    for training in ways {
                        // A short network is not cut into blocks.
                        let Ok(Planned { plan, .. }) = training.plan(&target) else { continue };
                        sketched += 1;
                        let outline = Outline::new(&plan.graph, &target, plan.staging);
                        let sketch = Sketch::new(&plan.graph, plan.staging, &lowered);
                        assert_eq!(sketch.least_bytes(), outline.least_bytes());
                        assert_eq!(sketch.kept_bytes, outline.kept_bytes);
                        assert_eq!(sketch.texture_bytes, outline.texture_bytes);
                        with_texture += u32::from(sketch.texture_bytes > 0);
                        assert_eq!(sketch.dispatches(), outline.schedule.steps.len());
                        let dispatches = |name| outline.schedule.steps_of(name).len();
                        assert_eq!(sketch.dispatches_of("first"), dispatches("first"));
                        let [a, b] = [sketch.seconds(3), outline.schedule.seconds(3, &rates)];
                        assert_eq!(a.to_bits(), b.to_bits(), "{a} and {b}");
                    }
                }
            }
        }
        assert!(sketched >= 9 * 13 && with_texture > 0, "{sketched}, {with_texture} of them with a texture");
    }

    #[test]
    fn a_node_that_reads_the_same_bytes_twice_is_not_like_one_that_reads_others() {
        let (target, rates) = (Target::profile("lavapipe").unwrap(), Rates::assumed());
        let lowered = Lowered::new(&target, &rates);
        let len = 1 << 20;
        // Of two values, of two parts of one, and of one part twice, which is moved once.
        let seconds = [[0, 2], [0, 1], [0, 0]].map(|operands| {
            let mut graph = Graph::default();
            graph.begin("first");
            let [x, other] = [2 * len, len].map(|len| graph.held("x", Role::Input, TensorType::f32(&[len]), 1));
            let part = |graph: &mut Graph, offset: u32| {
                graph.apply_one(View { shape: vec![len], offset: offset.into() }, &[x]).unwrap()
            };
            let all = [part(&mut graph, 0), part(&mut graph, len), other];
            let made = graph.apply_one(Binary::Add, &operands.map(|operand: usize| all[operand])).unwrap();
            let kept = graph.slot("made", Role::Result, graph[made].ty.bytes(), 1);
            graph.store(made, kept, 0);
            let staging = Staging::for_traffic(0, 0, 0, 4096);
            let sketched = Sketch::new(&graph, staging, &lowered).seconds(1);
            let outlined = Outline::new(&graph, &target, staging).schedule.seconds(1, &rates);
            assert_eq!(sketched.to_bits(), outlined.to_bits(), "{operands:?}: {sketched} and {outlined}");
            sketched
        });
        assert!(seconds[0] == seconds[1] && seconds[1] > seconds[2], "{seconds:?}");
    }

    #[test]
    fn ops_of_one_kind_and_of_the_same_types_are_told_apart() {
        let (target, rates) = (Target::profile("lavapipe").unwrap(), Rates::assumed());
        let lowered = Lowered::new(&target, &rates);
        let (len, staging) = (1024, Staging::for_traffic(0, 0, 0, 4096));
        // Of as many dispatches as it has ranges.
        let seconds = [1, 2].map(|ranges| {
            let start = |i: u32| u64::from(i * len / ranges);
            let of = |i| ParameterRange { elements: start(i)..start(i + 1), rate_factor: 1.0, weight_decay: 0.0 };
            let update = Update { weight_decay: 0.0, clip_value: None, ranges: (0..ranges).map(of).collect() };
            let mut graph = Graph::default();
            graph.begin("first");
            let types = [len, len, 8, 2].map(|len| TensorType::f32(&[len]));
            let inputs = types.map(|ty| graph.held("x", Role::Input, ty, 1));
            let made = graph.apply_one(Sgd { update, momentum: None }, &inputs).unwrap();
            let kept = graph.slot("made", Role::Result, graph[made].ty.bytes(), 1);
            graph.store(made, kept, 0);
            let outlined = Outline::new(&graph, &target, staging).schedule.seconds(1, &rates);
            let sketched = Sketch::new(&graph, staging, &lowered).seconds(1);
            assert_eq!(sketched.to_bits(), outlined.to_bits(), "{ranges}: {sketched} and {outlined}");
            sketched
        });
        assert!(seconds[0] < seconds[1], "{seconds:?}");
    }
}
