//! What each op means: one file an op, and in it every answer the engine needs of that op.
//!
//! To add an op: write its file, then add its line to `ops!` below. Its specimens are a required
//! answer, so the shader, gradient and device tests, which loop over them, cannot miss it.

use crate::ids::ValueId;
use crate::target::Target;
use crate::tensor::TensorType;

/// The questions an op's file answers.
pub trait Rule {
    /// What messages call it.
    fn name(&self) -> &'static str;

    /// The types of the outputs, or why these inputs do not fit.
    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, ShapeError>;

    /// The loss's gradient for each input, as nodes emitted into `out`.
    ///
    /// `None` stands for an input through which no gradient flows. Inputs that `slope.wanted`
    /// leaves out need no answer.
    fn gradient(&self, at: &Site, slope: &Slope, out: &mut dyn Emit) -> Vec<Option<ValueId>>;

    /// The dispatches that compute the outputs, in running order.
    fn lower(&self, at: &Lowering) -> Vec<Dispatch>;

    /// The outputs in plain `f64` loops: the oracle the shaders are tested against.
    fn reference(&self, inputs: &[&[f64]], at: &Lowering) -> Vec<Vec<f64>>;

    /// Small uses of the op, which every test of ops loops over.
    fn specimens() -> Vec<Specimen>
    where
        Self: Sized;

    /// Which outputs may, or must, take the bytes of an input.
    fn in_place(&self) -> Vec<InPlace> {
        Vec::new()
    }

    /// How many bytes into input 0 the only output begins, where it is nothing but bytes of that input.
    ///
    /// Such a node runs nothing: who reads the output reads the input. [`Rule::lower`] is asked all
    /// the same where the output needs bytes of its own, because it is stored or begins where no
    /// binding may.
    fn view(&self, _inputs: &[TensorType]) -> Option<u64> {
        None
    }

    /// Additions and multiplications of its products, of which nearly all arithmetic consists; 0 of an op that
    /// has none.
    fn flops(&self, _inputs: &[TensorType]) -> u64 {
        0
    }

    /// Operands whose kernels can have them in halves: groups of which all are, or none.
    ///
    /// An operand in no group is always stored as its type says. What sums over a batch is in none, so that
    /// gradients of parameters are summed and kept in full.
    fn halves(&self, _inputs: usize) -> Vec<Vec<Operand>> {
        Vec::new()
    }

    /// Outputs that a dispatch may write in the very bytes in which it finds what an earlier dispatch of the op has
    /// made of them, bound twice.
    fn rewrites(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Whether input 0 is (T, B, H), each dispatch reads one timestep of it at most, and every output lies on
    /// an input, so that input 0 can be worked out as it is read; see [`PiecewiseGradient`].
    fn is_stepwise(&self) -> bool {
        false
    }

    /// The same dispatches as of [`Rule::lower`], of which each reads no more of input 0 than a piece of so many
    /// timesteps; what is stepwise has an answer of its own.
    fn lower_in_pieces(&self, at: &Lowering, _steps: u32) -> Vec<Dispatch> {
        self.lower(at)
    }

    /// What the op needs this input for, in a few words: why a tensor that it reads on the way back is kept for it.
    fn need(&self, _input: usize) -> &'static str {
        "what it is worked out from"
    }

    /// Whether it is worth less time than its output is memory, where its inputs lie in memory all along: what
    /// is read again long after it was made is then made again.
    fn is_cheap(&self) -> bool {
        false
    }

    /// What the numbers of this output cannot exceed, told from those of inputs; `None` where that is not known. It is of
    /// the output in full: where it is kept in halves, a number past their range is infinite all the same.
    fn bound(&self, _inputs: &[TensorType], _output: usize) -> Option<Bound> {
        None
    }

    /// The same op with one more input, last, to which its first output is added in place.
    fn accumulating(&self) -> Option<Op> {
        None
    }
}

/// Where an op stands in a graph: what it read and what it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Values the op read, in the op's own order.
    pub inputs: Vec<ValueId>,
    /// Values the op made, in the op's own order.
    pub outputs: Vec<ValueId>,
}

/// What is known of the loss's gradient where an op stands, and what is asked.
#[derive(Clone, Debug)]
pub struct Slope {
    /// For each output, the loss's gradient, where any flows back through it.
    pub outputs: Vec<Option<ValueId>>,
    /// For each input, whether its gradient is needed.
    pub wanted: Vec<bool>,
}

/// Somewhere an op can put further ops. The graph is one; ops know no other name for it.
pub trait Emit {
    /// Adds `op` applied to `inputs` and returns what it makes.
    fn emit(&mut self, op: Op, inputs: &[ValueId]) -> Vec<ValueId>;
    /// The type of `value`.
    fn type_of(&self, value: ValueId) -> &TensorType;
    /// The op that makes `value`, unless it is given.
    fn made_by(&self, value: ValueId) -> Option<&Op>;
    /// Has the op that made `made` be `op`, which reads `input` as well, at position `at` of its inputs.
    fn refit(&mut self, made: ValueId, op: Op, at: usize, input: ValueId);
    /// An input that the host works out from the input `from` before each step.
    fn derive(&mut self, from: ValueId, how: Derivation) -> ValueId;
}

impl dyn Emit + '_ {
    /// Adds `op`, of which only the first output is of interest, applied to `inputs`.
    pub fn emit_one(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        self.emit(op.into(), inputs)[0]
    }

    /// Whether `value` lay in memory when the program began.
    pub fn is_given(&self, value: ValueId) -> bool {
        self.made_by(value).is_none()
    }

    /// Whether `value` is the gradient of the loss with respect to itself, which is 1.
    pub fn is_one(&self, value: ValueId) -> bool {
        matches!(self.made_by(value), Some(Op::Fill(fill)) if fill.value == 1.0)
    }
}

/// The id of a target there is nothing to learn from: no vocabulary reaches it.
pub const IGNORE: u32 = u32::MAX;

/// What an op is told when it writes its dispatches.
#[derive(Clone, Copy, Debug)]
pub struct Lowering<'a> {
    /// Types of the inputs.
    pub inputs: &'a [TensorType],
    /// Types of the outputs.
    pub outputs: &'a [TensorType],
    /// For each output, whether anything reads it.
    pub wanted: &'a [bool],
    /// The device to write for.
    pub target: &'a Target,
}

/// An input or an output of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The input at this position.
    Input(usize),
    /// The output at this position.
    Output(usize),
}

impl Lowering<'_> {
    /// Reads the whole of input `i`.
    pub fn read(&self, i: usize) -> Binding {
        Binding::read(Operand::Input(i), 0..self.inputs[i].bytes())
    }

    /// Writes the whole of output `i`.
    pub fn write(&self, i: usize) -> Binding {
        Binding::write(Operand::Output(i), 0..self.outputs[i].bytes())
    }

    /// Writes the whole of output `o` over input `i`.
    pub fn update(&self, i: usize, o: usize) -> Binding {
        Binding::update(Operand::Input(i), Operand::Output(o), 0..self.outputs[o].bytes())
    }
}

/// A count as the `u32` that shaders take; one too large to be one is refused by the plan's check
/// long before it could be used.
pub(crate) fn clamp(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

macro_rules! ops {
    ($($file:ident::$op:ident),+ $(,)?) => {
        $(#[allow(unused_imports, reason = "two ops may share a file")] pub use $file::$op;)+

        /// Every op of the engine.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $(#[doc = concat!("See [`type@", stringify!($op), "`].")] $op($op)),+ }

        impl Op {
            /// The rule of this op; the only place that looks at which op it is.
            pub fn rule(&self) -> &dyn Rule {
                match self { $(Op::$op(op) => op),+ }
            }

            /// The specimens of every op.
            pub fn specimens() -> Vec<Specimen> {
                let mut all = Vec::new();
                $(all.extend(<$op as Rule>::specimens());)+
                all
            }
        }

        $(impl From<$op> for Op { fn from(op: $op) -> Op { Op::$op(op) } })+
    };
}

mod activation;
mod adagrad;
mod adam;
mod binary;
mod bound;
mod cast;
mod column_sum;
mod common;
mod concat;
mod copy;
mod cross_entropy;
mod derivation;
mod dispatch;
mod dropout;
mod elementwise_loss;
mod embedding;
mod fill;
mod gradient_bound;
mod gradient_norm;
mod hits;
mod in_place;
mod layer_norm;
mod linear_cross_entropy;
pub mod loss_scaler;
mod mask_rows;
pub mod matmul;
mod optimizer;
mod pointwise;
mod recurrent;
mod rmsprop;
mod row_ends;
mod scale;
mod sgd;
mod slice;
mod specimen;
mod squares;
mod streams;
mod sum;
mod transpose;
mod view;

pub use activation::Function;
pub use bound::Bound;
pub use common::ShapeError;
pub use derivation::Derivation;
pub(crate) use dispatch::keep_in_texture;
pub use dispatch::{Binding, Dispatch};
pub use elementwise_loss::Measure;
pub use gradient_bound::Term;
pub use gradient_norm::Guard;
pub use in_place::InPlace;
pub use matmul::{Layout, Tile};
pub use optimizer::{ParameterRange, Update};
pub use pointwise::Curve;
#[doc(hidden)]
pub use recurrent::timestep_by_each_kernel;
pub use sgd::Momentum;
pub use specimen::{Data, Specimen};

ops! {
    activation::Activation,
    activation::ActivationGradient,
    adagrad::Adagrad,
    adam::Adam,
    binary::Binary,
    cast::Cast,
    column_sum::ColumnSum,
    concat::Concat,
    copy::Copy,
    cross_entropy::CrossEntropy,
    dropout::Dropout,
    elementwise_loss::ElementwiseLoss,
    embedding::Embedding,
    embedding::EmbeddingGradient,
    fill::Fill,
    gradient_bound::GradientBound,
    gradient_norm::GradientNorm,
    hits::Hits,
    layer_norm::LayerNorm,
    layer_norm::LayerNormGradient,
    layer_norm::LayerNormWeightGradient,
    linear_cross_entropy::LinearCrossEntropy,
    loss_scaler::LossScaler,
    mask_rows::MaskRows,
    matmul::Matmul,
    pointwise::Pointwise,
    pointwise::PointwiseGradient,
    recurrent::Elman,
    recurrent::ElmanGradient,
    recurrent::Gru,
    recurrent::GruBiasGradient,
    recurrent::GruGradient,
    recurrent::GruResetBefore,
    recurrent::GruResetBeforeGradient,
    recurrent::GruResetBeforeWeightGradient,
    recurrent::GruWeightGradient,
    recurrent::Lstm,
    recurrent::LstmGradient,
    recurrent::PiecewiseGradient,
    recurrent::RecurrentWeightGradient,
    rmsprop::RmsProp,
    row_ends::RowEnds,
    row_ends::RowEndsGradient,
    scale::Scale,
    sgd::Sgd,
    slice::Pad,
    slice::Slice,
    sum::Spread,
    sum::Sum,
    transpose::Transpose,
    view::View,
}
