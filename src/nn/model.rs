//! A model as a list of layers.

use super::LayerError;
use super::builder::Builder;
use super::init::Init;
use super::recurrent::{Cell, Recurrent};
use super::task::Task;
use crate::ids::ValueId;
use crate::ops::{Curve, Function};
use crate::tensor::DType;

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// A vector for each token: ids to (.., size).
    Embedding {
        /// Length of a vector.
        size: u32,
        /// The id whose vector is zero and learns nothing.
        padding_idx: Option<u32>,
    },
    /// A recurrent layer: (T, B, I) to (T, B, H), or (T, B, 2H) in both directions.
    Recurrent(Recurrent),
    /// `x Wᵀ + b`: (.., I) to (.., O).
    Linear {
        /// O; what the task needs if left out.
        out_features: Option<u32>,
        /// Whether it has a bias.
        bias: bool,
        /// The layer whose weight it shares.
        tied: Option<String>,
    },
    /// Each row shifted and scaled to mean 0 and variance 1.
    LayerNorm {
        /// What is added to the variance.
        eps: f32,
        /// Whether it has a weight.
        affine: bool,
        /// Whether it has a bias.
        bias: bool,
    },
    /// A share of elements zeroed in training.
    Dropout {
        /// The share.
        p: f32,
    },
    /// A function of each element whose slope is told from its result.
    Activation {
        /// The function.
        function: Function,
    },
    /// A function of each element whose slope is told from its argument.
    Curve {
        /// The function.
        function: Curve,
    },
    /// The sum of its inputs.
    Add,
    /// Its inputs side by side.
    Concat,
    /// The last timestep, at each row's own end: (T, B, F) to (B, F).
    Last,
}

/// A layer, its name, and what it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name, the prefix of its parameters; unique within a model.
    pub name: String,
    /// What it does.
    pub kind: LayerKind,
    /// The layers it reads, several side by side unless it adds them; none for the one before.
    pub inputs: Vec<String>,
    /// How its weights start, if not as PyTorch's.
    pub init: Option<Init>,
}

impl Layer {
    /// A layer that reads the one before.
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Self { name: name.into(), kind, inputs: Vec::new(), init: None }
    }
}

/// Layers, each fed by the one before or by those it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// The layers.
    pub layers: Vec<Layer>,
}

impl Model {
    /// A model without layers, to which the methods below add.
    pub fn new() -> Self {
        Self::default()
    }

    /// Timesteps of all recurrent layers in a window of `window`: each is planned by itself.
    pub(crate) fn timesteps(&self, window: u32) -> u64 {
        let stacked = |kind: &LayerKind| match kind {
            LayerKind::Recurrent(all) => u64::from(all.layers) * if all.bidirectional { 2 } else { 1 },
            _ => 0,
        };
        let layers = self.layers.iter().map(|layer| stacked(&layer.kind)).fold(0, u64::saturating_add);
        layers.saturating_mul(window.into())
    }

    /// Adds an embedding of vectors of this size.
    pub fn embedding(self, size: u32) -> Self {
        self.with("embedding", LayerKind::Embedding { size, padding_idx: None })
    }

    /// Adds an Elman layer with tanh and biases.
    pub fn rnn(self, hidden_size: u32) -> Self {
        self.recurrent(Recurrent::new(Cell::Rnn(Function::Tanh), hidden_size))
    }

    /// Adds an LSTM layer with biases.
    pub fn lstm(self, hidden_size: u32) -> Self {
        self.recurrent(Recurrent::new(Cell::Lstm, hidden_size))
    }

    /// Adds a GRU layer with biases.
    pub fn gru(self, hidden_size: u32) -> Self {
        self.recurrent(Recurrent::new(Cell::Gru, hidden_size))
    }

    /// Adds a recurrent layer.
    pub fn recurrent(self, spec: Recurrent) -> Self {
        self.with(spec.cell.name(), LayerKind::Recurrent(spec))
    }

    /// Adds a linear layer with a bias.
    pub fn linear(self, out_features: u32) -> Self {
        self.with("linear", LayerKind::Linear { out_features: Some(out_features), bias: true, tied: None })
    }

    /// Adds a linear layer to whatever the task needs.
    pub fn output(self) -> Self {
        self.with("linear", LayerKind::Linear { out_features: None, bias: true, tied: None })
    }

    /// Adds a linear layer to whatever the task needs, with the weight of the layer `of`.
    pub fn tied_output(self, of: &str) -> Self {
        self.with("linear", LayerKind::Linear { out_features: None, bias: true, tied: Some(of.into()) })
    }

    /// Adds a layer norm with weight and bias.
    pub fn layer_norm(self) -> Self {
        self.with("layer_norm", LayerKind::LayerNorm { eps: 1e-5, affine: true, bias: true })
    }

    /// Adds dropout of a share `p`.
    pub fn dropout(self, p: f32) -> Self {
        self.with("dropout", LayerKind::Dropout { p })
    }

    /// Adds the last timestep.
    pub fn last(self) -> Self {
        self.with("last", LayerKind::Last)
    }

    /// Adds tanh.
    pub fn tanh(self) -> Self {
        self.with("tanh", LayerKind::Activation { function: Function::Tanh })
    }

    /// Adds the rectifier.
    pub fn relu(self) -> Self {
        self.with("relu", LayerKind::Activation { function: Function::Relu })
    }

    /// Adds the logistic function.
    pub fn sigmoid(self) -> Self {
        self.with("sigmoid", LayerKind::Activation { function: Function::Sigmoid })
    }

    /// Adds a function whose slope is told from its argument, such as GELU.
    pub fn curve(self, function: Curve) -> Self {
        self.with("curve", LayerKind::Curve { function })
    }

    /// Adds a layer named `base`, numbered from 2 on when the name repeats.
    pub fn with(mut self, base: &str, kind: LayerKind) -> Self {
        let taken = |name: &str| self.layers.iter().any(|l| l.name == name);
        let numbered = (2..).map(|i| format!("{base}_{i}"));
        let name = std::iter::once(base.to_string()).chain(numbered).find(|n| !taken(n));
        let name = name.expect("numbers do not run out before layers do");
        self.layers.push(Layer::new(name, kind));
        self
    }

    /// The same with the layer added last reading these layers instead of the one before it.
    pub fn reading(mut self, inputs: &[&str]) -> Self {
        if let Some(last) = self.layers.last_mut() {
            last.inputs = inputs.iter().map(|name| (*name).to_string()).collect();
        }
        self
    }

    /// Writes the layers; returns the last one's output, (.., outputs of the task). In a segment that the window
    /// does not end with, layers from one of type `last` on are left out, and what that would have read is returned.
    pub(crate) fn write(&self, builder: &mut Builder, inputs: ValueId, task: &Task) -> Result<ValueId, LayerError> {
        let mut made: Vec<(&str, ValueId)> = Vec::new();
        let mut before = inputs;
        let mut rest = self.layers.iter().enumerate().peekable();
        while let Some((position, layer)) = rest.next() {
            builder.enter(&layer.name);
            if let Some(init) = layer.init {
                builder.starting_with(init);
            }
            if made.iter().any(|(name, _)| *name == layer.name) {
                return Err(builder.error("another layer has this name"));
            }
            let inputs = read(builder, layer, &made, before)?;
            if layer.kind == LayerKind::Last && !builder.segment().is_last {
                return Ok(before);
            }
            // A function right behind a linear layer is worked out with it.
            let fused = rest.next_if(|(_, next)| self.is_fused(layer, next));
            let function = match fused {
                Some((_, Layer { kind: LayerKind::Activation { function }, .. })) => *function,
                _ => Function::Identity,
            };
            before = match &layer.kind {
                LayerKind::Add => builder.add(&inputs)?,
                kind => {
                    let x = builder.concat(&inputs)?;
                    self.write_one(builder, position, kind, x, function, task)?
                }
            };
            made.push((&layer.name, before));
            made.extend(fused.map(|(_, next)| (&next.name[..], before)));
        }
        match builder.columns(before) {
            found if found == task.outputs() => Ok(before),
            found => {
                let classes = task.outputs();
                Err(builder.error(format!("its output has {found} features and the task needs {classes}")))
            }
        }
    }

    /// Whether `next` is a function of what `linear` makes, which no other layer reads.
    fn is_fused(&self, linear: &Layer, next: &Layer) -> bool {
        matches!(linear.kind, LayerKind::Linear { .. })
            && matches!(next.kind, LayerKind::Activation { .. })
            && (next.inputs.is_empty() || next.inputs == [linear.name.clone()])
            && !self.layers.iter().any(|l| l.name != next.name && l.inputs.contains(&linear.name))
    }

    fn write_one(
        &self,
        builder: &mut Builder,
        position: usize,
        kind: &LayerKind,
        x: ValueId,
        function: Function,
        task: &Task,
    ) -> Result<ValueId, LayerError> {
        Ok(match kind {
            LayerKind::Embedding { size, padding_idx } => {
                builder.embedding(x, task.vocabulary(), *size, *padding_idx)?
            }
            LayerKind::Recurrent(spec) => builder.recurrent(x, *spec, None)?.0,
            LayerKind::Linear { out_features, bias, tied } => {
                let keeps_width = |l: &Layer| {
                    matches!(
                        l.kind,
                        LayerKind::Activation { .. }
                            | LayerKind::Curve { .. }
                            | LayerKind::Dropout { .. }
                            | LayerKind::LayerNorm { .. }
                            | LayerKind::Last
                    )
                };
                let last = self.layers[position + 1..].iter().all(keeps_width);
                let out_features = out_features.or(last.then_some(task.outputs()));
                let out_features = out_features
                    .ok_or_else(|| builder.error("only the last linear layer may leave out `out_features`"))?;
                match tied {
                    Some(of) => builder.tied_linear(x, &format!("{of}.weight"), out_features, *bias, function)?,
                    None => builder.linear(x, out_features, *bias, function)?,
                }
            }
            LayerKind::LayerNorm { eps, affine, bias } => builder.layer_norm(x, *eps, *affine, *bias)?,
            LayerKind::Dropout { p } => builder.dropout(x, *p)?,
            LayerKind::Activation { function } => builder.activation(x, *function)?,
            LayerKind::Curve { function } => builder.curve(x, *function)?,
            LayerKind::Last => builder.last(x)?,
            LayerKind::Add | LayerKind::Concat => x,
        })
    }
}

/// The values `layer` reads, all of them of the kind it takes.
fn read(
    builder: &Builder,
    layer: &Layer,
    made: &[(&str, ValueId)],
    before: ValueId,
) -> Result<Vec<ValueId>, LayerError> {
    let find = |name: &String| {
        let found = made.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
        found.ok_or_else(|| {
            let all: Vec<_> = made.iter().map(|(n, _)| format!("`{n}`")).collect();
            builder.error(format!("it reads `{name}`, and before it there are only {}", all.join(", ")))
        })
    };
    let inputs = match &layer.inputs[..] {
        [] => vec![before],
        names => names.iter().map(find).collect::<Result<_, _>>()?,
    };
    for &x in &inputs {
        let ids = builder.graph[x].ty.dtype == DType::U32;
        if ids != matches!(layer.kind, LayerKind::Embedding { .. }) {
            let (has, needs) =
                if ids { ("token ids", "an embedding") } else { ("numbers", "another layer than an embedding") };
            let ty = &builder.graph[x].ty;
            return Err(builder.error(format!("its input is {has} {ty}, which need {needs} here")));
        }
    }
    Ok(inputs)
}
