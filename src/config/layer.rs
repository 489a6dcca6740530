//! The layers of a run's model: `[[layer]]`.

use super::words::words;

/// One layer of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConfig {
    /// The prefix of its tensors; no two layers share one.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// The layers it reads, all of them before it; several are concatenated along features, but for
    /// [`LayerKind::Add`], which adds them. Empty: the layer before, or the data.
    pub input: Vec<String>,
    /// How its weights start; [`Init::Default`] for layers that have none.
    pub init: Init,
}

/// What a layer computes; settings mean what they mean in `torch.nn`.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// A row of a table for each id.
    Embedding {
        /// Columns of the table.
        size: u32,
        /// The id whose row is zero and stays so.
        padding_idx: Option<u32>,
    },
    /// An Elman network: `h' = f(W x + b + V h + c)`.
    Rnn {
        /// Units of the state.
        hidden_size: u32,
        /// Networks on top of one another.
        layers: u32,
        /// Whether a second network reads the sequence from its end.
        bidirectional: bool,
        /// The share of elements dropped between the networks; at least 0 and below 1.
        dropout: f32,
        /// What is applied to each new state.
        nonlinearity: Nonlinearity,
        /// Whether it has `bias_ih_l0` and `bias_hh_l0`.
        bias: bool,
    },
    /// Gated recurrent units (Cho et al. 2014).
    Gru {
        /// Units of the state.
        hidden_size: u32,
        /// Networks on top of one another.
        layers: u32,
        /// Whether a second network reads the sequence from its end.
        bidirectional: bool,
        /// The share of elements dropped between the networks; at least 0 and below 1.
        dropout: f32,
        /// Whether it has `bias_ih_l0` and `bias_hh_l0`.
        bias: bool,
        /// Whether the reset gate is applied after the product with the state, as PyTorch does, or
        /// before it, as first published.
        reset_after: bool,
    },
    /// Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates).
    Lstm {
        /// Units of the state.
        hidden_size: u32,
        /// Networks on top of one another.
        layers: u32,
        /// Whether a second network reads the sequence from its end.
        bidirectional: bool,
        /// The share of elements dropped between the networks; at least 0 and below 1.
        dropout: f32,
        /// Whether it has `bias_ih_l0` and `bias_hh_l0`.
        bias: bool,
        /// What the forget gate's bias starts from; `None` is PyTorch's uniform distribution.
        forget_bias: Option<f32>,
    },
    /// A matrix product.
    Linear {
        /// Rows of the matrix; `None` is what the targets ask for.
        out_features: Option<u32>,
        /// Whether it has `bias`.
        bias: bool,
        /// The embedding whose table is the matrix.
        tied: Option<String>,
    },
    /// Each row to mean 0 and variance 1 (Ba et al. 2016).
    LayerNorm {
        /// What keeps the division finite.
        eps: f32,
        /// Whether it has `weight`.
        elementwise_affine: bool,
        /// Whether it has `bias`; without `elementwise_affine` it never has.
        bias: bool,
    },
    /// Some elements to zero while training, the others enlarged (Srivastava et al. 2014).
    Dropout {
        /// The share of elements dropped; at least 0 and below 1.
        p: f32,
    },
    /// The hyperbolic tangent of each element.
    Tanh,
    /// The greater of 0 and each element.
    Relu,
    /// The logistic function of each element.
    Sigmoid,
    /// Each element times its logistic function.
    Silu,
    /// Each element times the normal distribution function.
    Gelu {
        /// How that function is computed.
        approximate: Approximate,
    },
    /// `ln(1 + exp(beta x)) / beta`
    Softplus {
        /// How sharp the bend is.
        beta: f32,
        /// From `beta x` above this on, `x` itself.
        threshold: f32,
    },
    /// Each element, times `negative_slope` where it is below 0.
    LeakyRelu {
        /// The slope below 0.
        negative_slope: f32,
    },
    /// The sum of its inputs.
    Add,
    /// Its inputs side by side.
    Concat,
    /// The last step of each sequence, at its own end.
    Last,
}

words! {
    /// What an Elman network applies to each new state.
    Nonlinearity {
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// The greater of 0 and the element.
        Relu = "relu",
    }
}

words! {
    /// How GELU computes the normal distribution function.
    Approximate {
        /// By the error function.
        None = "none",
        /// By a hyperbolic tangent.
        Tanh = "tanh",
    }
}

words! {
    /// How weights start; the distributions of `torch.nn.init`. Biases start as in PyTorch's layers.
    Init {
        /// As the layer's weights do in PyTorch.
        Default = "default",
        /// Uniform, by the mean of fan-in and fan-out (Glorot & Bengio 2010).
        XavierUniform = "xavier_uniform",
        /// Normal, by the mean of fan-in and fan-out.
        XavierNormal = "xavier_normal",
        /// Uniform, by fan-in (He et al. 2015).
        KaimingUniform = "kaiming_uniform",
        /// Normal, by fan-in.
        KaimingNormal = "kaiming_normal",
        /// Orthogonal rows or columns (Saxe et al. 2013).
        Orthogonal = "orthogonal",
    }
}

impl LayerConfig {
    /// A layer of this name that reads the one before and starts as PyTorch's does.
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Self { name: name.into(), kind, input: Vec::new(), init: Init::Default }
    }
}

impl LayerKind {
    /// Its `type` in `run.toml`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Embedding { .. } => "embedding",
            Self::Rnn { .. } => "rnn",
            Self::Gru { .. } => "gru",
            Self::Lstm { .. } => "lstm",
            Self::Linear { .. } => "linear",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Dropout { .. } => "dropout",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::Gelu { .. } => "gelu",
            Self::Softplus { .. } => "softplus",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Add => "add",
            Self::Concat => "concat",
            Self::Last => "last",
        }
    }

    /// Whether it has weights of its own, which [`Init`] can speak of.
    pub(super) fn has_weights(&self) -> bool {
        match self {
            Self::Embedding { .. } | Self::Rnn { .. } | Self::Gru { .. } | Self::Lstm { .. } => true,
            Self::Linear { tied, .. } => tied.is_none(),
            _ => false,
        }
    }

    /// Whether it can only read sequences.
    pub(super) fn needs_time(&self) -> bool {
        matches!(self, Self::Rnn { .. } | Self::Gru { .. } | Self::Lstm { .. } | Self::Last)
    }

    /// Whether it also reads sequences from their end.
    pub fn is_bidirectional(&self) -> bool {
        match self {
            Self::Rnn { bidirectional, .. } | Self::Gru { bidirectional, .. } | Self::Lstm { bidirectional, .. } => {
                *bidirectional
            }
            _ => false,
        }
    }
}
