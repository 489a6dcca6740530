//! From a training description to programs:
//!
//! ```text
//! first     forward, loss, backward; gradients stored            once a step
//! next      the same; gradients and loss added                   accumulate - 1 times a step
//! update    global norm, clip factor, optimizer                  once a step
//! evaluate  forward and loss on held-out data                    now and then
//! predict   forward on a batch                                   when asked
//! sample    forward for one row of one timestep                  to write text
//! ```

use crate::error::Error;
use crate::graph::{Derived, Graph, Role};
use crate::ids::{SlotId, ValueId};
use crate::narrow::{narrow, only_multiplied};
use crate::nn::{Builder, Feeds, INPUTS, LayerError, Network, Parameter, Phase, Used};
use crate::ops::{GradientNorm, ParameterRange};
use crate::plan::{Lowered, Outline, Plan, Sketch, Staging, outlined_in_order, sketched_in_order};
use crate::target::Target;
use crate::tensor::TensorType;

use super::batch::Shape;
use super::micro_step::Sums;
use super::release::Told;
use super::{Handles, Planned, SampleHandles, Storage, Training, groups};

/// The slot of a field of batches.
#[derive(Clone)]
pub(super) struct FieldSlot {
    pub(super) name: String,
    pub(super) slot: SlotId,
    pub(super) ty: TensorType,
    /// Whether it has one for each timestep.
    pub(super) time: bool,
}

/// The slots of a batch.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) fields: Vec<FieldSlot>,
    pub(super) keep: Option<SlotId>,
    pub(super) lengths: Option<SlotId>,
    pub(super) dropout: Option<SlotId>,
    pub(super) loss_scale: SlotId,
    pub(super) scaler: Option<SlotId>,
    pub(super) rows: u32,
}

/// A run's programs, and what they need beside themselves.
pub(super) struct Programs {
    graph: Graph,
    staging: Staging,
    handles: Handles,
}

/// What of a plan's thrift is left out, which tells what it brings.
#[derive(Clone, Copy, Default)]
pub(super) struct Without {
    pub(super) chunks: bool,
    pub(super) pieces: bool,
    pub(super) repeats: bool,
    pub(super) order: bool,
}

pub(super) fn plan(training: &Training, target: &Target) -> Result<Planned, Error> {
    plan_without(training, target, Without::default())
}

pub(super) fn plan_without(training: &Training, target: &Target, without: Without) -> Result<Planned, Error> {
    let Programs { graph, staging, handles } = programs(training, target, without)?;
    let (graph, outline) = if without.order { (graph, None) } else { outlined_in_order(graph, target, staging) };
    let mut plan = match outline {
        Some(Outline { schedule, .. }) => Plan::scheduled(graph, schedule, target, staging),
        None => Plan::new(graph, target, staging),
    };
    if let Some(allowed) = training.allowed(target) {
        plan = plan.with_staging_within(allowed);
    }
    Ok(Planned { training: training.clone(), plan, handles, bargain: None, offers: None })
}

/// What its plan takes, with no dispatch kept.
pub(super) fn sketch(training: &Training, lowered: &Lowered) -> Result<Sketch, Error> {
    let Programs { graph, staging, .. } = programs(training, lowered.target(), Without::default())?;
    Ok(sketched_in_order(graph, staging, lowered))
}

/// Its programs, as they are written.
fn programs(training: &Training, target: &Target, without: Without) -> Result<Programs, Error> {
    let mut surveyed = survey(training, target)?;
    let mut parameters = surveyed.parameters().to_vec();
    if let Some(pattern) = groups::idle(&parameters, &training.groups) {
        let all: Vec<_> = parameters.iter().map(|p| &p.name[..]).collect();
        let all = all.join(", ");
        return Err(Error::Input(format!("no parameter is called `{pattern}`, as a group says; there are {all}")));
    }
    groups::sort(&mut parameters, &training.groups);
    let mut builder = Builder::new(parameters, target, &surveyed, training.accumulate);
    let mut writer = Writer { training, target, without, builder: &mut builder, used: surveyed.used() };
    let handles = writer.write()?;
    surveyed.graph = Graph::default();
    make_again(&mut builder.graph, target, without);
    if training.parameter_storage == Storage::F16 {
        builder.graph.cast_parameters(|program| program.name != "sample");
    }
    if training.copies_are_kept() {
        builder.graph.keep_copies("first", "next");
    }
    if training.storage == Storage::F16 {
        // No slots but those of copies are for what is made on the way, and none of fields but what is fed to products.
        let may_be = [Role::CarriedState, Role::Activation];
        let fields = if training.inputs_in_halves { &handles.fields[..] } else { &[] };
        let fed = only_multiplied(&builder.graph, fields);
        narrow(&mut builder.graph, |graph, slot| may_be.contains(&graph[slot].role) || fed.contains(&slot));
    }
    let staging = staging(training, target, &builder.graph, &handles);
    Ok(Programs { graph: builder.graph, staging, handles })
}

/// Has what need not lie in memory as a whole, or all along, made when it is read.
fn make_again(graph: &mut Graph, target: &Target, without: Without) {
    if !without.chunks {
        graph.work_out_logits_in_chunks(target);
    }
    if !without.pieces {
        graph.work_out_in_pieces(target);
    }
    if !without.repeats {
        graph.repeat_what_is_cheap();
    }
}

/// The parameters of the network, and what it makes use of, found by writing it once.
fn survey(training: &Training, target: &Target) -> Result<Builder, LayerError> {
    let mut builder = Builder::survey(training.carry_state, training.seed);
    builder.begin("survey", Phase::Train);
    let used = Used { keep: true, dropout: true };
    let without = Without::default();
    let mut writer = Writer { training, target, without, builder: &mut builder, used };
    let slots = writer.slots();
    let fed = writer.feed(&slots, true);
    writer.answer(&fed)?;
    Ok(builder)
}

pub(super) struct Writer<'a> {
    pub(super) training: &'a Training,
    pub(super) target: &'a Target,
    pub(super) without: Without,
    pub(super) builder: &'a mut Builder,
    used: Used,
}

impl Writer<'_> {
    fn write(&mut self) -> Result<Handles, LayerError> {
        let training = self.training;
        let slots = self.slots();
        let graph = &mut self.builder.graph;
        let scalars = graph.slot("optimizer scalars", Role::Input, 32, 1);
        let loss = graph.slot("loss", Role::Result, 4, 1);
        let norm = graph.slot("gradient norm", Role::Result, 8, 1);
        let (mut optimizer_slots, mut gradient_slots) = (Vec::new(), Vec::new());
        if training.learn {
            let told = Told { loss, norm, scalars };
            let states;
            if training.release_gradients {
                states = self.state_slots();
                let learnt = self.micro_step("first", &slots, Sums { loss, gradients: None, add: false })?;
                // What is made later than it stands has to be known of before weights are overwritten.
                make_again(&mut self.builder.graph, self.target, self.without);
                self.update_early(&slots, told, &states, learnt.loss, &learnt.gradients);
                self.builder.graph.protect();
                self.count_step(&slots, told);
            } else {
                gradient_slots = self.builder.beside_parameters("gradient", Role::Gradient);
                let sums = |add| Sums { loss, gradients: Some(&gradient_slots), add };
                self.micro_step("first", &slots, sums(false))?;
                self.builder.graph.protect();
                if training.accumulate > 1 {
                    self.micro_step("next", &slots, sums(true))?;
                    self.builder.graph.protect();
                }
                states = self.state_slots();
                self.update(&gradient_slots, &states, &slots, told);
            }
            let initial = training.optimizer.initial_state();
            optimizer_slots = states.into_iter().flatten().map(|slot| (slot, initial)).collect();
        }
        let evaluated = training.evaluate.then(|| self.evaluate(&slots)).transpose()?;
        let (evaluated, hits) = evaluated.map_or((None, None), |(loss, hits)| (Some(loss), hits));
        let predicted = training.predict.then(|| self.predict(&slots)).transpose()?;
        let sample = training.sample.then(|| self.sample(&slots)).transpose()?;
        let builder = &self.builder;
        Ok(Handles {
            fields: slots.fields.iter().map(|field| field.slot).collect(),
            keep: slots.keep,
            lengths: slots.lengths,
            dropout: slots.dropout,
            loss_scale: slots.loss_scale,
            scalars,
            loss,
            norm,
            scaler: slots.scaler,
            gradient_slots,
            evaluated,
            hits,
            predicted,
            sample,
            parameters: builder.parameters().to_vec(),
            aliases: builder.aliases().to_vec(),
            parameter_slots: builder.slots().to_vec(),
            optimizer_slots,
            constants: builder.constants().map(|(slot, numbers)| (slot, numbers.to_vec())).collect(),
            train_states: builder.states(Phase::Train).cloned().collect(),
            evaluate_states: builder.states(Phase::Evaluate).map(|s| s.slot).collect(),
            derived: derived(&builder.graph),
        })
    }

    /// Slots for a micro-step's rows.
    fn slots(&mut self) -> Slots {
        let (training, rows) = (self.training, self.training.micro_batch());
        let shape = Shape::of(training);
        let graph = &mut self.builder.graph;
        let fields = shape.fields().iter().map(|field| {
            let ty = field.tensor(training.window, rows);
            let slot = graph.slot(&field.name, Role::Input, ty.bytes(), 1);
            FieldSlot { name: field.name.clone(), slot, ty, time: field.time }
        });
        let fields = fields.collect();
        let by_row = 4 * u64::from(rows);
        Slots {
            fields,
            keep: self.used.keep.then(|| graph.slot("rows kept", Role::Input, by_row, 1)),
            lengths: training.lengths.then(|| graph.slot("lengths", Role::Input, by_row, 1)),
            dropout: self.used.dropout.then(|| graph.slot("dropout counter", Role::Input, 16, 1)),
            loss_scale: graph.slot("loss scale", Role::Input, 4, 1),
            scaler: training.learn.then(|| graph.slot("loss scaler", Role::OptimizerState, 16, 1)),
            rows,
        }
    }

    /// Writes the update, with a slot for each group of parameters of each thing that the optimizer remembers.
    fn update(
        &mut self,
        gradients: &[SlotId],
        states: &[Vec<SlotId>],
        slots: &Slots,
        Told { loss, norm, scalars: told }: Told,
    ) {
        self.builder.begin("update", Phase::Train);
        self.builder.enter("optimizer");
        let optimizer = self.training.optimizer;
        let parameters = self.builder.slots().to_vec();
        let ranges: Vec<_> = (0..parameters.len()).map(|group| self.ranges(group)).collect();
        let graph = &mut self.builder.graph;
        let whole = |graph: &mut Graph, slot: SlotId| {
            let elements = crate::ops::clamp(graph[slot].bytes / 4);
            let name = graph[slot].name.clone();
            graph.content(slot, 0, TensorType::f32(&[elements]), name)
        };
        let g: Vec<ValueId> = gradients.iter().map(|&s| whole(graph, s)).collect();
        let fit = "groups are laid out alike, in multiples of four";
        let guard = self.training.guard();
        let loss = graph.content(loss, 0, TensorType::f32(&[1]), "loss");
        let slot = slots.scaler.expect("what learns counts its steps");
        let scaler = graph.content(slot, 0, TensorType::f32(&[4]), "loss scaler");
        let measured = [&g[..], &[loss, scaler]].concat();
        let of_all = GradientNorm { max_norm: self.training.clip_norm, guard: Some(guard), after: false };
        let total = graph.apply_one(of_all, &measured).expect(fit);
        let total = graph.store(total, norm, 0);
        let scalars = graph.content(told, 0, TensorType::f32(&[8]), "optimizer scalars");
        let made = graph.apply(self.training.loss_scaler(), &[total, scalars, scaler]).expect(fit);
        let scalars = graph.store(made[0], told, 0);
        graph.store(made[1], slot, 0);
        for ((group, &parameters), ranges) in parameters.iter().enumerate().zip(ranges) {
            let mut inputs = vec![whole(graph, parameters), g[group]];
            let mut homes = vec![parameters];
            homes.extend(states.iter().map(|s| s[group]));
            let remembered: Vec<ValueId> = homes[1..].iter().map(|&s| whole(graph, s)).collect();
            inputs.extend(optimizer.order(&remembered, scalars, total));
            let made = graph.apply(optimizer.op(self.training.clip_value, ranges), &inputs).expect(fit);
            for (value, home) in made.into_iter().zip(homes) {
                graph.store(value, home, 0);
            }
        }
        graph.protect();
    }

    /// The ranges of a slot of parameters that the optimizer treats alike; none if all of it is.
    fn ranges(&self, slot: usize) -> Vec<ParameterRange> {
        if self.training.groups.is_empty() {
            return Vec::new();
        }
        let mut of_slot: Vec<&Parameter> = self.builder.parameters().iter().filter(|p| p.group == slot).collect();
        of_slot.sort_by_key(|p| p.offset);
        let mut ranges: Vec<(usize, ParameterRange)> = Vec::new();
        for (i, parameter) in of_slot.iter().enumerate() {
            let slot_end = self.builder.graph[self.builder.slots()[slot]].bytes;
            let end = of_slot.get(i + 1).map_or(slot_end, |next| next.offset) / 4;
            match ranges.last_mut() {
                Some((update, range)) if *update == parameter.update => range.elements.end = end,
                _ => ranges.push((parameter.update, self.range(parameter, end))),
            }
        }
        ranges.into_iter().map(|(_, range)| range).collect()
    }

    pub(super) fn range(&self, parameter: &Parameter, end: u64) -> ParameterRange {
        let optimizer = self.training.optimizer;
        let group = parameter.update.checked_sub(1).map(|i| &self.training.groups[i]);
        let rate = group.and_then(|g| g.learning_rate).map_or(1.0, |rate| rate / optimizer.learning_rate());
        let decay = group.and_then(|g| g.weight_decay).unwrap_or_else(|| optimizer.weight_decay());
        ParameterRange { elements: parameter.offset / 4..end, weight_decay: decay, rate_factor: rate }
    }

    fn sample(&mut self, slots: &Slots) -> Result<SampleHandles, LayerError> {
        let Network::Layers { model, task } = &self.training.network else {
            let reason = "only a list of layers can write text".into();
            return Err(LayerError { layer: "network".into(), reason });
        };
        self.builder.begin("sample", Phase::Sample);
        let graph = &mut self.builder.graph;
        let id = graph.slot("last id", Role::Input, 4, 1);
        let keep = slots.keep.map(|_| graph.slot("state kept", Role::Input, 4, 1));
        let x = graph.content(id, 0, TensorType::u32(&[1, 1]), INPUTS);
        let kept = keep.map(|slot| graph.content(slot, 0, TensorType::u32(&[1]), "state kept"));
        self.builder.feed(Feeds { keep: kept, ..Feeds::default() });
        let output = model.write(self.builder, x, task)?;
        Ok(SampleHandles { id, keep, logits: self.keep_result("logits", output) })
    }
}

fn derived(graph: &Graph) -> Vec<(SlotId, Derived)> {
    graph.slot_ids().filter_map(|s| graph[s].derived.clone().map(|how| (s, how))).collect()
}

/// Buffers large enough that a step is one submission and a report one readback.
/// The host's buffers, as large as one submission needs them.
pub(super) fn staging(training: &Training, target: &Target, graph: &Graph, handles: &Handles) -> Staging {
    let bytes = |slot: SlotId| graph[slot].bytes.next_multiple_of(8);
    let mut micro = handles.fields.clone();
    micro.extend(handles.keep.into_iter().chain(handles.lengths).chain(handles.dropout));
    micro.extend(handles.derived.iter().map(|(into, _)| *into));
    let micro = micro.into_iter().map(bytes).fold(0, u64::saturating_add);
    let upload = micro
        .saturating_mul(training.accumulate.into())
        .saturating_add(bytes(handles.scalars) + bytes(handles.loss_scale));
    let report = handles.of_step().map(bytes).sum::<u64>() * u64::from(training.report_every);
    let logits = handles.sample.map_or(0, |s| bytes(s.logits)).max(handles.predicted.map_or(0, bytes));
    let parameters = handles.parameter_slots.iter().map(|&s| bytes(s)).fold(0, u64::saturating_add);
    Staging::for_traffic(upload, report.max(logits), parameters, target.limits.max_buffer_size)
}
