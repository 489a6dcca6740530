//! What a model learns: what it is given, what it should answer, and how wrong answers are counted.

use super::LayerError;
use super::builder::Builder;
use super::fields::{Count, Field};
use crate::data::{INPUTS, TARGETS};
use crate::ids::ValueId;
use crate::tensor::DType;

/// What a model learns.
///
/// | constructor | inputs | targets | loss |
/// |---|---|---|---|
/// | [`Task::next_token`] | ids (T, B) | ids (T, B) | cross-entropy |
/// | [`Task::regression`] | numbers (B, I) | numbers (B, O) | mean squared error |
/// | [`Task::classification`] | numbers (B, I) | ids (B) | cross-entropy |
/// | [`Task::bits`] | numbers (B, I) | numbers 0 or 1 (B, O) | cross-entropy of each bit |
///
/// [`Task::each_step`] and [`Task::whole_sequence`] give inputs a time dimension, and
/// [`Task::tokens`] makes them ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What a row, or a timestep of it, is.
    pub inputs: Inputs,
    /// What is learnt of it.
    pub targets: Targets,
    /// Whether there is time, and a target for each step of it.
    pub time: Time,
    /// How wrong answers are counted.
    pub loss: Loss,
}

/// What a row, or a timestep of it, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// An id.
    Tokens {
        /// How many ids there are.
        vocabulary: u32,
    },
    /// Numbers.
    Features {
        /// How many.
        features: u32,
    },
}

/// What is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One of so many classes.
    Classes(u32),
    /// So many numbers; one that is NaN is nothing to learn.
    Numbers(u32),
    /// So many yes or no; NaN is nothing to learn.
    Bits(u32),
}

/// Whether there is time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Rows have no order.
    None,
    /// Each timestep has a target.
    EachStep,
    /// A row is a sequence, and has one target.
    WholeSequence,
}

/// How wrong answers are counted. Means are over valid targets, as PyTorch's are.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// What suits the targets: cross-entropy of classes and bits, squared error of numbers.
    #[default]
    Default,
    /// `torch.nn.CrossEntropyLoss`
    CrossEntropy {
        /// The share of each target that is spread over all classes.
        label_smoothing: f32,
        /// A weight for each class; empty for 1 each.
        class_weights: Vec<f32>,
    },
    /// `torch.nn.MSELoss`
    Mse,
    /// `torch.nn.L1Loss`
    L1,
    /// `torch.nn.HuberLoss`
    Huber {
        /// Where the square becomes a line.
        delta: f32,
    },
    /// `torch.nn.BCEWithLogitsLoss`
    BceWithLogits,
}

impl Task {
    /// From ids (T, B), each next one.
    pub fn next_token(vocabulary: u32) -> Self {
        let (inputs, targets) = (Inputs::Tokens { vocabulary }, Targets::Classes(vocabulary));
        Self { inputs, targets, time: Time::EachStep, loss: Loss::Default }
    }

    /// From numbers (B, I), numbers (B, O).
    pub fn regression(features: u32, targets: u32) -> Self {
        Self::of_features(features, Targets::Numbers(targets))
    }

    /// From numbers (B, I), a class each.
    pub fn classification(features: u32, classes: u32) -> Self {
        Self::of_features(features, Targets::Classes(classes))
    }

    /// From numbers (B, I), so many yes or no each.
    pub fn bits(features: u32, bits: u32) -> Self {
        Self::of_features(features, Targets::Bits(bits))
    }

    fn of_features(features: u32, targets: Targets) -> Self {
        Self { inputs: Inputs::Features { features }, targets, time: Time::None, loss: Loss::Default }
    }

    /// The same of sequences (T, B, ..), with a target for each step.
    pub fn each_step(self) -> Self {
        Self { time: Time::EachStep, ..self }
    }

    /// The same of sequences (T, B, ..), with one target for each row.
    pub fn whole_sequence(self) -> Self {
        Self { time: Time::WholeSequence, ..self }
    }

    /// The same of ids below `vocabulary`.
    pub fn tokens(self, vocabulary: u32) -> Self {
        Self { inputs: Inputs::Tokens { vocabulary }, ..self }
    }

    /// The same with another loss.
    pub fn loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }

    /// Features the model's output must have.
    pub fn outputs(&self) -> u32 {
        match self.targets {
            Targets::Classes(n) | Targets::Numbers(n) | Targets::Bits(n) => n,
        }
    }

    /// Ids of the inputs; 0 where those are numbers.
    pub fn vocabulary(&self) -> u32 {
        match self.inputs {
            Inputs::Tokens { vocabulary } => vocabulary,
            Inputs::Features { .. } => 0,
        }
    }

    /// Whether batches have a time dimension.
    pub fn is_sequence(&self) -> bool {
        self.time != Time::None
    }

    /// Whether text could be written with it: it learns, of ids, what id comes next.
    pub fn writes(&self) -> bool {
        self.time == Time::EachStep && self.vocabulary() > 0 && self.targets == Targets::Classes(self.vocabulary())
    }

    /// The loss, where it was left open the one that suits the targets.
    pub fn actual_loss(&self) -> Loss {
        match (&self.loss, self.targets) {
            (Loss::Default, Targets::Classes(_)) => {
                Loss::CrossEntropy { label_smoothing: 0.0, class_weights: Vec::new() }
            }
            (Loss::Default, Targets::Numbers(_)) => Loss::Mse,
            (Loss::Default, Targets::Bits(_)) => Loss::BceWithLogits,
            (loss, _) => loss.clone(),
        }
    }

    /// What its batches hold.
    pub fn fields(&self) -> Vec<Field> {
        let inputs = match self.inputs {
            Inputs::Tokens { vocabulary } => Field::ids(INPUTS, vocabulary),
            Inputs::Features { features } => Field::numbers(INPUTS, &[features]),
        };
        let targets = match self.targets {
            Targets::Classes(classes) => Field::ids(TARGETS, classes).optional(),
            Targets::Numbers(n) | Targets::Bits(n) => Field::numbers(TARGETS, &[n]).optional(),
        };
        vec![inputs.over_time(self.is_sequence()), targets.over_time(self.time == Time::EachStep)]
    }

    /// What the sum of losses is divided by.
    pub fn count(&self) -> Count {
        match self.actual_loss() {
            Loss::CrossEntropy { class_weights, .. } if !class_weights.is_empty() => {
                Count::Weighted(TARGETS.to_string(), class_weights)
            }
            _ => Count::Valid(TARGETS.to_string()),
        }
    }

    /// Whether its numbers make sense together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.outputs() == 0 {
            return Err("the task has no outputs to learn".into());
        }
        if matches!(self.inputs, Inputs::Tokens { vocabulary: 0 } | Inputs::Features { features: 0 }) {
            return Err("the task has no inputs to learn from".into());
        }
        let loss = self.actual_loss();
        let fits = matches!(
            (&loss, self.targets),
            (Loss::CrossEntropy { .. }, Targets::Classes(_))
                | (Loss::BceWithLogits, Targets::Bits(_))
                | (Loss::Mse | Loss::L1 | Loss::Huber { .. }, Targets::Numbers(_))
        );
        if !fits {
            let (name, suited) = match self.targets {
                Targets::Classes(_) => ("classes", "cross-entropy"),
                Targets::Numbers(_) => ("numbers", "mean squared, absolute or Huber's error"),
                Targets::Bits(_) => ("bits", "cross-entropy with logits"),
            };
            return Err(format!("the targets are {name}, whose loss is {suited}, not {}", loss.name()));
        }
        match loss {
            Loss::CrossEntropy { label_smoothing, class_weights } => {
                if !(0.0..=1.0).contains(&label_smoothing) {
                    return Err(format!("`label_smoothing` is {label_smoothing} and must be from 0 to 1"));
                }
                let (found, wanted) = (class_weights.len(), self.outputs());
                if !class_weights.is_empty() && found as u64 != u64::from(wanted) {
                    return Err(format!("`class_weights` has {found} weights for {wanted} classes"));
                }
                match class_weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
                    Some(w) => Err(format!("`class_weights` has {w}; each must be a number of at least 0")),
                    None => Ok(()),
                }
            }
            Loss::Huber { delta } if !(delta.is_finite() && delta > 0.0) => {
                Err(format!("`delta` is {delta} and must be above 0"))
            }
            _ => Ok(()),
        }
    }

    /// Writes the loss of `output` against `targets`.
    pub(super) fn write_loss(
        &self,
        builder: &mut Builder,
        output: ValueId,
        targets: ValueId,
    ) -> Result<ValueId, LayerError> {
        match self.actual_loss() {
            Loss::CrossEntropy { label_smoothing, class_weights } => {
                let weights = (!class_weights.is_empty()).then(|| builder.constant("class weights", &class_weights));
                builder.cross_entropy_with(output, targets, label_smoothing, weights)
            }
            Loss::Mse | Loss::Default => builder.mse(output, targets),
            Loss::L1 => builder.l1(output, targets),
            Loss::Huber { delta } => builder.huber(output, targets, delta),
            Loss::BceWithLogits => builder.bce_with_logits(output, targets),
        }
    }
}

impl Loss {
    /// What messages call it.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::Default => "the default",
            Loss::CrossEntropy { .. } => "cross-entropy",
            Loss::Mse => "mean squared error",
            Loss::L1 => "mean absolute error",
            Loss::Huber { .. } => "Huber's error",
            Loss::BceWithLogits => "cross-entropy with logits",
        }
    }
}

impl Inputs {
    /// Storage of its elements.
    pub fn dtype(self) -> DType {
        match self {
            Inputs::Tokens { .. } => DType::U32,
            Inputs::Features { .. } => DType::F32,
        }
    }
}
