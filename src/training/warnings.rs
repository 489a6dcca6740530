//! What is easily overlooked in a plan: the traps of PyTorch's memory FAQ, where this very run is in one.
//!
//! Each is true of the plan it is told of, by numbers taken from it, and is told only where it is a large share of it.

use serde::Serialize;

use crate::bytes::Bytes;
use crate::graph::Role;
use crate::nn::{LayerKind, Network};
use crate::ops::{LinearCrossEntropy, Op};

use super::{Planned, Storage};

/// Something that takes a large share of a plan, and how that share grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about: `large_weight`, `logits`, `window`, `halves`, `masters`, `accumulated_gradients`,
    /// `texture`.
    pub about: &'static str,
    /// How many bytes it is about.
    pub bytes: u64,
    /// The whole of it, in sentences.
    pub text: String,
}

/// From these shares of the plan on, in percent.
const LARGE_WEIGHT: u64 = 50;
const LOGITS: u64 = 33;
const WINDOW: u64 = 66;
const IN_FULL: u64 = 50;
const GRADIENTS: u64 = 25;
const TEXTURE: u64 = 10;

impl Planned {
    /// What takes a large share of the plan for a reason that is easily overlooked, the most particular first.
    pub fn warnings(&self) -> Vec<Warning> {
        let [weight, logits, windows] = [self.large_weight(), self.logits(), self.whole_windows()];
        let all = [weight, logits, windows, self.in_full(), self.inputs_in_full(), self.masters(), self.accumulated()];
        all.into_iter().chain([self.texture()]).flatten().collect()
    }

    /// What is there for speed alone.
    fn texture(&self) -> Option<Warning> {
        let bytes = self.role(Role::Texture);
        let share = self.share(bytes, TEXTURE)?;
        let text = format!(
            "What products and optimizers read is copied to a texture of {share}, as this device was found quicker so. With \
             less `memory` the run does without it, slower and to the same numbers."
        );
        Some(Warning { about: "texture", bytes, text })
    }

    fn percent(&self, bytes: u64) -> u64 {
        let share = u128::from(bytes) * 100 / u128::from(self.plan.planned_bytes().max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// `bytes` and its share of the plan, in words, where that is at least so many percent.
    fn share(&self, bytes: u64, least: u64) -> Option<String> {
        let percent = self.percent(bytes);
        (percent >= least).then(|| format!("{}, {percent} % of the plan", Bytes(bytes)))
    }

    fn role(&self, role: Role) -> u64 {
        self.plan.roles().into_iter().find(|(r, _)| *r == role).map_or(0, |(_, bytes)| bytes)
    }

    /// A matrix of weights that takes m n numbers, and as many for each thing that is kept beside it.
    fn large_weight(&self) -> Option<Warning> {
        let parameters = self.handles.parameters.iter().filter(|p| p.ty.shape.len() == 2);
        let largest = parameters.max_by_key(|p| p.ty.bytes())?;
        let learn = self.training.learn;
        let states = if learn { self.training.optimizer.state().len() as u64 } else { 0 };
        // One that is released as soon as it is used is none of what lies there all along.
        let gradient = learn && !self.training.release_gradients;
        let bytes = largest.ty.bytes().saturating_mul(1 + u64::from(gradient) + states);
        let share = self.share(bytes, LARGE_WEIGHT)?;
        let [rows, columns] = [largest.ty.shape[0], largest.ty.shape[1]];
        let remembered = match states {
            0 => None,
            1 => Some("the number that the optimizer remembers of each".to_string()),
            n => Some(format!("the {n} numbers that the optimizer remembers of each")),
        };
        let beside: Vec<String> = gradient.then(|| "its gradient".to_string()).into_iter().chain(remembered).collect();
        let beside = match &beside[..] {
            [] => "It takes".to_string(),
            beside => format!("With {}, it takes", beside.join(" and ")),
        };
        let text = format!(
            "`{}` is {rows} x {columns} numbers. {beside} {share}: it grows with the product of both sizes.",
            largest.name
        );
        Some(Warning { about: "large_weight", bytes, text })
    }

    /// What is as wide as there are classes, for every row of a micro-step.
    fn logits(&self) -> Option<Warning> {
        let Network::Layers { model, task } = &self.training.network else { return None };
        let classes = task.outputs();
        let last = model.layers.iter().rposition(|layer| matches!(layer.kind, LayerKind::Linear { .. }))?;
        let of_last = |label: &str| label == "loss" || model.layers.iter().skip(last).any(|layer| layer.name == label);
        let wide = |value: &crate::graph::Value| value.ty.shape.last() == Some(&classes) && of_last(&value.label);
        let (count, bytes) = self.plan.alive_at_peak_if(wide);
        let share = self.share(bytes, LOGITS)?;
        let rows = u64::from(self.training.micro_batch()) * u64::from(self.training.window);
        let tensors = if count == 1 { "one tensor".to_string() } else { format!("{count} tensors") };
        let graph = &self.plan.graph;
        let first = graph.programs().first();
        let chunk = first.into_iter().flat_map(|program| &program.nodes).find_map(|node| match &graph[*node].op {
            Op::LinearCrossEntropy(head) => Some((head.chunk, graph[graph[*node].site.inputs[0]].ty.as_matrix().1)),
            _ => None,
        });
        let chunks = chunk.map_or_else(String::new, |(chunk, _)| format!(", in chunks of {chunk}"));
        // Half the rows may have chunks as large.
        let helps = chunk.is_none_or(|(chunk, inputs)| {
            let half = LinearCrossEntropy::rows_at_once(rows / 2, inputs, classes.into(), &self.plan.target);
            half.map_or(rows / 2, u64::from) < u64::from(chunk)
        });
        let less = match self.training.micro_batch() {
            2.. if helps => " More micro-steps (`accumulate`) have fewer rows at a time, for the same updates.",
            _ => "",
        };
        let text = format!(
            "The logits are {classes} wide for each of {rows} predictions of a micro-step{chunks}: {tensors} at the \
             peak, {share}.{less}"
        );
        Some(Warning { about: "logits", bytes, text })
    }

    /// What has a row for each timestep of the window.
    fn whole_windows(&self) -> Option<Warning> {
        let window = self.training.window;
        if window < 2 {
            return None;
        }
        let (_, bytes) = self.plan.alive_at_peak_if(|value| value.ty.shape.first() == Some(&window));
        let share = self.share(bytes, WINDOW)?;
        let each = Bytes(bytes / u64::from(window));
        let carried = match self.training.carry_state {
            true => " State is carried from window to window, so that a shorter one still reads all of the text.",
            false => "",
        };
        let text = format!(
            "What is kept of a whole window takes {share}: {each} for each of its {window} timesteps. It grows with \
             `window`.{carried}"
        );
        Some(Warning { about: "window", bytes, text })
    }

    /// What halves leave as it is.
    fn in_full(&self) -> Option<Warning> {
        if self.training.storage != Storage::F16 {
            return None;
        }
        let roles = [Role::Parameter, Role::Gradient, Role::OptimizerState];
        let bytes = roles.into_iter().map(|role| self.role(role)).fold(0, u64::saturating_add);
        let share = self.share(bytes, IN_FULL)?;
        let text = format!(
            "`storage = \"f16\"` does not make parameters, gradients and optimizer state smaller: they stay in f32, \
             and are {share}."
        );
        Some(Warning { about: "halves", bytes, text })
    }

    /// Numbers that are too large to be fed in halves.
    fn inputs_in_full(&self) -> Option<Warning> {
        if self.training.storage != Storage::F16 || self.training.inputs_in_halves {
            return None;
        }
        let text =
            "Numbers that are fed stay in f32: the data have one past 65504, which is the most that halves hold. \
                    Scaled, they would take half as much, and be learnt from more easily."
                .into();
        Some(Warning { about: "inputs", bytes: self.role(Role::Input), text })
    }

    /// Copies in halves beside what they are copies of, however small a share they are: they save nothing.
    fn masters(&self) -> Option<Warning> {
        if self.training.parameter_storage != Storage::F16 {
            return None;
        }
        let graph = &self.plan.graph;
        let program = graph.programs().first()?;
        let copies = program.nodes.iter().filter(|node| matches!(graph[**node].op, Op::Cast(_)));
        let copies = copies.flat_map(|node| &graph[*node].site.outputs).map(|copy| graph[*copy].ty.bytes());
        let (count, bytes) = copies.fold((0, 0u64), |(n, sum), bytes| (n + 1, sum.saturating_add(bytes)));
        let each = if count == 1 { "1 parameter" } else { &format!("each of {count} parameters")[..] };
        let text = format!(
            "`parameter_storage = \"f16\"` saves no memory: of {each} that products read, a step makes a copy in \
             halves, {} in all, beside the one in f32 that the optimizer updates. It is for devices that multiply \
             halves faster.",
            Bytes(bytes)
        );
        Some(Warning { about: "masters", bytes, text })
    }

    /// Gradients that lie there from one micro-step to the next.
    fn accumulated(&self) -> Option<Warning> {
        if self.training.accumulate < 2 || !self.training.learn {
            return None;
        }
        let bytes = self.role(Role::Gradient);
        let share = self.share(bytes, GRADIENTS)?;
        let text = format!(
            "Accumulating over {} micro-steps keeps the gradients of all parameters from one to the next: {share}. \
             More micro-steps do not make that smaller.",
            self.training.accumulate
        );
        Some(Warning { about: "accumulated_gradients", bytes, text })
    }
}
