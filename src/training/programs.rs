//! From a training description to programs:
//!
//! ```text
//! first     forward, loss, backward; gradients stored            once a step
//! next      the same; gradients and loss added                   accumulate - 1 times a step
//! update    global norm, clip factor, optimizer                  once a step
//! evaluate  forward and loss on held-out data                    now and then
//! sample    forward for one row of one timestep                  to write text
//! ```

use crate::autodiff::differentiate;
use crate::error::Error;
use crate::graph::{Graph, Role};
use crate::ids::{SlotId, ValueId};
use crate::nn::{Builder, Inputs, LayerError, Parameter, Phase};
use crate::ops::{Binary, CrossEntropy, Derivation, ElementwiseLoss, Emit, GradientNorm, Measure};
use crate::plan::{Plan, Staging};
use crate::target::Target;
use crate::tensor::TensorType;

use super::{Planned, Task, Training};

/// Where in a plan the session finds what it needs.
#[derive(Clone, Debug)]
pub struct Handles {
    /// A micro-step's inputs.
    pub inputs: SlotId,
    /// A micro-step's targets.
    pub targets: SlotId,
    /// For each row, whether its carried state is kept.
    pub keep: Option<SlotId>,
    /// What each row's loss is multiplied by: one over the number of valid targets of the step.
    pub loss_scale: SlotId,
    /// The optimizer's scalars.
    pub scalars: SlotId,
    /// The step's loss.
    pub loss: SlotId,
    /// The gradients' global norm, and the factor they were scaled by.
    pub norm: SlotId,
    /// The sum of losses of an evaluated batch.
    pub evaluated: Option<SlotId>,
    /// What sampling needs.
    pub sample: Option<SampleHandles>,
    /// Parameters in the model's order.
    pub parameters: Vec<Parameter>,
    /// Their slots, by group.
    pub parameter_slots: Vec<SlotId>,
    /// Carried state of training, with a copy for each micro-step.
    pub train_states: Vec<SlotId>,
    /// Carried state of evaluation.
    pub evaluate_states: Vec<SlotId>,
    /// Slots the host works out: from which, into which, how.
    pub derived: Vec<(SlotId, SlotId, Derivation)>,
}

/// The slots of sampling.
#[derive(Clone, Copy, Debug)]
pub struct SampleHandles {
    /// The id read last.
    pub id: SlotId,
    /// Whether the carried state is kept.
    pub keep: Option<SlotId>,
    /// The logits of the next.
    pub logits: SlotId,
}

/// The slots of one phase's data.
#[derive(Clone, Copy)]
struct Feeds {
    inputs: (SlotId, [u32; 2], bool),
    keep: Option<(SlotId, u32)>,
}

pub(super) fn plan(training: &Training, target: &Target) -> Result<Planned, Error> {
    let parameters = survey(training)?;
    let mut builder = Builder::new(parameters, target, training.accumulate);
    let mut writer = Writer { training, builder: &mut builder };
    let handles = writer.write()?;
    let staging = staging(training, target, &builder.graph, &handles);
    Ok(Planned { training: training.clone(), plan: Plan::new(builder.graph, target, staging), handles })
}

/// The parameters of the model, found by writing it once.
fn survey(training: &Training) -> Result<Vec<Parameter>, LayerError> {
    let mut builder = Builder::survey();
    builder.begin("survey", Phase::Train);
    let mut writer = Writer { training, builder: &mut builder };
    let feeds = writer.feeds(1, 1);
    writer.forward(feeds)?;
    Ok(builder.parameters().to_vec())
}

struct Writer<'a> {
    training: &'a Training,
    builder: &'a mut Builder,
}

impl Writer<'_> {
    fn write(&mut self) -> Result<Handles, LayerError> {
        let training = self.training;
        let rows = training.micro_batch();
        let feeds = self.feeds(training.window, rows);
        let graph = &mut self.builder.graph;
        let targets_type = targets_type(training, rows);
        let targets = graph.slot("targets", Role::Input, targets_type.bytes(), 1);
        let loss_scale = graph.slot("loss scale", Role::Input, 4, 1);
        let scalars = graph.slot("optimizer scalars", Role::Input, 32, 1);
        let loss = graph.slot("loss", Role::Result, 4, 1);
        let norm = graph.slot("gradient norm", Role::Result, 8, 1);
        let mut ends = Ends { targets, targets_type, loss_scale, loss, gradients: Vec::new() };
        if training.learn {
            ends.gradients = self.builder.beside_parameters("gradient", Role::Gradient);
            self.micro_step("first", feeds, &ends, false)?;
            if training.accumulate > 1 {
                self.micro_step("next", feeds, &ends, true)?;
            }
            self.update(&ends.gradients, scalars, norm);
        }
        let evaluated = training.evaluate.then(|| self.evaluate(feeds, &ends)).transpose()?;
        let sample = training.sample.then(|| self.sample()).transpose()?;
        Ok(Handles {
            inputs: feeds.inputs.0,
            targets,
            keep: feeds.keep.map(|(slot, _)| slot),
            loss_scale,
            scalars,
            loss,
            norm,
            evaluated,
            sample,
            parameters: self.builder.parameters().to_vec(),
            parameter_slots: self.builder.slots().to_vec(),
            train_states: self.builder.states(Phase::Train).collect(),
            evaluate_states: self.builder.states(Phase::Evaluate).collect(),
            derived: derived(&self.builder.graph),
        })
    }

    /// Slots for inputs of `time` by `rows`.
    fn feeds(&mut self, time: u32, rows: u32) -> Feeds {
        let graph = &mut self.builder.graph;
        let (extents, ids) = match self.training.task {
            Task::NextToken { .. } => ([time, rows], true),
            Task::Regression { features, .. } | Task::Classification { features, .. } => ([rows, features], false),
        };
        let bytes = TensorType::f32(&extents).bytes();
        let inputs = (graph.slot("inputs", Role::Input, bytes, 1), extents, ids);
        let carries = self.training.model.carries_state();
        let keep = carries.then(|| (graph.slot("rows kept", Role::Input, 4 * u64::from(rows), 1), rows));
        Feeds { inputs, keep }
    }

    /// The model's output, (.., outputs).
    fn forward(&mut self, feeds: Feeds) -> Result<ValueId, LayerError> {
        let (slot, extents, ids) = feeds.inputs;
        let ty = if ids { TensorType::u32(&extents) } else { TensorType::f32(&extents) };
        let graph = &mut self.builder.graph;
        let x = graph.content(slot, 0, ty, "inputs");
        let keep = feeds.keep.map(|(slot, rows)| graph.content(slot, 0, TensorType::u32(&[rows]), "rows kept"));
        let (vocabulary, outputs) = match self.training.task {
            Task::NextToken { vocabulary } => (vocabulary, vocabulary),
            task => (0, task.outputs()),
        };
        self.builder.forget_values();
        self.training.model.write(self.builder, Inputs { x, keep }, vocabulary, outputs)
    }

    /// The loss of the model's output, summed over rows and scaled.
    fn loss(&mut self, output: ValueId, ends: &Ends) -> Result<ValueId, LayerError> {
        self.builder.enter("loss");
        let graph = &mut self.builder.graph;
        let targets = graph.content(ends.targets, 0, ends.targets_type.clone(), "targets");
        let scale = graph.content(ends.loss_scale, 0, TensorType::f32(&[1]), "loss scale");
        let inputs = [output, targets, scale];
        let applied = match self.training.task {
            Task::Regression { .. } => {
                graph.apply_one(ElementwiseLoss { measure: Measure::Squared, accumulate: false }, &inputs)
            }
            _ => graph.apply_one(CrossEntropy::default(), &inputs),
        };
        applied.map_err(|e| self.builder.error(e.to_string()))
    }

    fn micro_step(&mut self, name: &'static str, feeds: Feeds, ends: &Ends, add: bool) -> Result<(), LayerError> {
        self.builder.begin(name, Phase::Train);
        let output = self.forward(feeds)?;
        let loss = self.loss(output, ends)?;
        let parameters = self.builder.parameters().to_vec();
        let used: Vec<(usize, ValueId)> = parameters
            .iter()
            .enumerate()
            .flat_map(|(i, p)| self.builder.values_of(p).into_iter().map(move |v| (i, v)))
            .collect();
        let wanted: Vec<ValueId> = used.iter().map(|(_, v)| *v).collect();
        let graph = &mut self.builder.graph;
        let found = differentiate(graph, loss, &wanted);
        // A parameter used twice has a gradient for each use.
        let mut totals: Vec<Option<ValueId>> = vec![None; parameters.len()];
        for (&(i, _), gradient) in used.iter().zip(found) {
            let Some(gradient) = gradient else { continue };
            totals[i] = Some(match totals[i] {
                Some(so_far) => graph.emit(Binary::Add.into(), &[so_far, gradient])[0],
                None => gradient,
            });
        }
        for (parameter, total) in parameters.iter().zip(totals) {
            let Some(gradient) = total else { continue };
            let slot = ends.gradients[parameter.group];
            if add {
                graph.accumulate(gradient, slot, parameter.offset);
            } else {
                graph.store(gradient, slot, parameter.offset);
            }
        }
        if add {
            graph.accumulate(loss, ends.loss, 0);
        } else {
            graph.store(loss, ends.loss, 0);
        }
        graph.protect();
        Ok(())
    }

    fn update(&mut self, gradients: &[SlotId], scalars: SlotId, norm: SlotId) {
        self.builder.begin("update", Phase::Train);
        self.builder.enter("optimizer");
        let optimizer = self.training.optimizer;
        let parameters = self.builder.slots().to_vec();
        let states: Vec<Vec<SlotId>> =
            optimizer.state().iter().map(|name| self.builder.beside_parameters(name, Role::OptimizerState)).collect();
        let graph = &mut self.builder.graph;
        let whole = |graph: &mut Graph, slot: SlotId| {
            let elements = crate::ops::clamp(graph[slot].bytes / 4);
            let name = graph[slot].name.clone();
            graph.content(slot, 0, TensorType::f32(&[elements]), name)
        };
        let g: Vec<ValueId> = gradients.iter().map(|&s| whole(graph, s)).collect();
        let fit = "groups are laid out alike, in multiples of four";
        let total = graph.apply_one(GradientNorm { max_norm: self.training.clip_norm }, &g).expect(fit);
        let total = graph.store(total, norm, 0);
        let scalars = graph.content(scalars, 0, TensorType::f32(&[8]), "optimizer scalars");
        for (group, &parameters) in parameters.iter().enumerate() {
            let mut inputs = vec![whole(graph, parameters), g[group]];
            let mut homes = vec![parameters];
            homes.extend(states.iter().map(|s| s[group]));
            let remembered: Vec<ValueId> = homes[1..].iter().map(|&s| whole(graph, s)).collect();
            inputs.extend(optimizer.order(&remembered, scalars, total));
            let made = graph.apply(optimizer.op(None, Vec::new()), &inputs).expect(fit);
            for (value, home) in made.into_iter().zip(homes) {
                graph.store(value, home, 0);
            }
        }
        graph.protect();
    }

    fn evaluate(&mut self, feeds: Feeds, ends: &Ends) -> Result<SlotId, LayerError> {
        self.builder.begin("evaluate", Phase::Evaluate);
        let output = self.forward(feeds)?;
        let loss = self.loss(output, ends)?;
        let graph = &mut self.builder.graph;
        let slot = graph.slot("evaluated loss", Role::Result, 4, 1);
        graph.store(loss, slot, 0);
        graph.protect();
        Ok(slot)
    }

    fn sample(&mut self) -> Result<SampleHandles, LayerError> {
        self.builder.begin("sample", Phase::Sample);
        let feeds = self.feeds(1, 1);
        let output = self.forward(feeds)?;
        let graph = &mut self.builder.graph;
        let logits = graph.slot("logits", Role::Result, graph[output].ty.bytes(), 1);
        graph.store(output, logits, 0);
        graph.protect();
        Ok(SampleHandles { id: feeds.inputs.0, keep: feeds.keep.map(|(slot, _)| slot), logits })
    }
}

/// The slots at both ends of a training step.
struct Ends {
    targets: SlotId,
    targets_type: TensorType,
    loss_scale: SlotId,
    loss: SlotId,
    gradients: Vec<SlotId>,
}

fn targets_type(training: &Training, rows: u32) -> TensorType {
    match training.task {
        Task::NextToken { .. } => TensorType::u32(&[training.window, rows]),
        Task::Regression { targets, .. } => TensorType::f32(&[rows, targets]),
        Task::Classification { .. } => TensorType::u32(&[rows]),
    }
}

fn derived(graph: &Graph) -> Vec<(SlotId, SlotId, Derivation)> {
    graph.slot_ids().filter_map(|s| graph[s].derived.map(|(from, how)| (from, s, how))).collect()
}

/// Buffers large enough that a step is one submission and a report one readback.
fn staging(training: &Training, target: &Target, graph: &Graph, handles: &Handles) -> Staging {
    let bytes = |slot: SlotId| graph[slot].bytes.next_multiple_of(8);
    let mut micro = vec![handles.inputs, handles.targets];
    micro.extend(handles.keep);
    micro.extend(handles.derived.iter().map(|(_, into, _)| *into));
    let micro = micro.into_iter().map(bytes).fold(0, u64::saturating_add);
    let upload = micro
        .saturating_mul(training.accumulate.into())
        .saturating_add(bytes(handles.scalars) + bytes(handles.loss_scale));
    let report = (bytes(handles.loss) + bytes(handles.norm)) * u64::from(training.report_every);
    let logits = handles.sample.map_or(0, |s| bytes(s.logits));
    let parameters = handles.parameter_slots.iter().map(|&s| bytes(s)).fold(0, u64::saturating_add);
    Staging::for_traffic(upload, report.max(logits), parameters, target.limits.max_buffer_size)
}
