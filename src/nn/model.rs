//! A model as a list of layers.

use super::builder::{Builder, Inputs, LayerError};
use crate::ids::ValueId;
use crate::ops::Function;
use crate::tensor::DType;

/// What a layer does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerKind {
    /// A vector for each token: ids to (.., size).
    Embedding {
        /// Length of a vector.
        size: u32,
    },
    /// Elman's recurrent layer: (T, B, I) to (T, B, H).
    Rnn {
        /// H.
        hidden_size: u32,
        /// Its nonlinearity, tanh or relu.
        nonlinearity: Function,
        /// Whether it has biases.
        bias: bool,
    },
    /// `x Wᵀ + b`: (.., I) to (.., O).
    Linear {
        /// O; what the task needs if left out.
        out_features: Option<u32>,
        /// Whether it has a bias.
        bias: bool,
    },
    /// A function of each element.
    Activation {
        /// The function.
        function: Function,
    },
}

/// A layer and its name, the prefix of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name; unique within a model.
    pub name: String,
    /// What it does.
    pub kind: LayerKind,
}

/// Layers, each fed by the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The layers.
    pub layers: Vec<Layer>,
}

impl Model {
    /// A model without layers, to which the methods below add.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an embedding of vectors of this size.
    pub fn embedding(self, size: u32) -> Self {
        self.with("embedding", LayerKind::Embedding { size })
    }

    /// Adds an Elman layer with tanh and biases.
    pub fn rnn(self, hidden_size: u32) -> Self {
        self.with("rnn", LayerKind::Rnn { hidden_size, nonlinearity: Function::Tanh, bias: true })
    }

    /// Adds a linear layer with a bias.
    pub fn linear(self, out_features: u32) -> Self {
        self.with("linear", LayerKind::Linear { out_features: Some(out_features), bias: true })
    }

    /// Adds a linear layer to whatever the task needs.
    pub fn output(self) -> Self {
        self.with("linear", LayerKind::Linear { out_features: None, bias: true })
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

    /// Adds a layer named `base`, numbered from 2 on when the name repeats.
    pub fn with(mut self, base: &str, kind: LayerKind) -> Self {
        let taken = |name: &str| self.layers.iter().any(|l| l.name == name);
        let numbered = (2..).map(|i| format!("{base}_{i}"));
        let name = std::iter::once(base.to_string()).chain(numbered).find(|n| !taken(n));
        let name = name.expect("numbers do not run out before layers do");
        self.layers.push(Layer { name, kind });
        self
    }

    /// Whether state passes from one window to the next.
    pub fn carries_state(&self) -> bool {
        self.layers.iter().any(|l| matches!(l.kind, LayerKind::Rnn { .. }))
    }

    /// Writes the layers; returns the last one's output (.., `classes`).
    ///
    /// `vocabulary` is the number of token ids, where the input is tokens.
    pub fn write(
        &self,
        builder: &mut Builder,
        inputs: Inputs,
        vocabulary: u32,
        classes: u32,
    ) -> Result<ValueId, LayerError> {
        let mut x = inputs.x;
        let mut rest = self.layers.iter().enumerate().peekable();
        while let Some((position, layer)) = rest.next() {
            builder.enter(&layer.name);
            let ids = builder.graph[x].ty.dtype == DType::U32;
            if ids != matches!(layer.kind, LayerKind::Embedding { .. }) {
                let (has, needs) =
                    if ids { ("token ids", "an embedding") } else { ("numbers", "another layer than an embedding") };
                return Err(
                    builder.error(format!("its input is {has} {}, which need {needs} here", builder.graph[x].ty))
                );
            }
            x = match layer.kind {
                LayerKind::Embedding { size } => builder.embedding(x, vocabulary, size)?,
                LayerKind::Rnn { hidden_size, nonlinearity, bias } => {
                    builder.rnn(x, hidden_size, nonlinearity, bias, inputs.keep)?
                }
                LayerKind::Linear { out_features, bias } => {
                    let last =
                        self.layers[position + 1..].iter().all(|l| matches!(l.kind, LayerKind::Activation { .. }));
                    let out_features = out_features.or(last.then_some(classes));
                    let out_features = out_features
                        .ok_or_else(|| builder.error("only the last linear layer may leave out `out_features`"))?;
                    let fused = rest.next_if(|(_, next)| matches!(next.kind, LayerKind::Activation { .. }));
                    let function = match fused {
                        Some((_, Layer { kind: LayerKind::Activation { function }, .. })) => *function,
                        _ => Function::Identity,
                    };
                    builder.linear(x, out_features, bias, function)?
                }
                LayerKind::Activation { function } => builder.activation(x, function)?,
            };
        }
        match builder.columns(x) {
            found if found == classes => Ok(x),
            found => Err(builder.error(format!("its output has {found} features and the task needs {classes}"))),
        }
    }
}
