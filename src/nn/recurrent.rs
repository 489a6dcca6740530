//! Recurrent layers: stacked, in both directions, with dropout between them.
//!
//! ```text
//! x (T, B, I) -> weight_ih_l0 -> loop with weight_hh_l0 ---------+-> concat -> dropout -> _l1 ...
//!             -> weight_ih_l0_reverse -> loop from the end ------+
//! ```

use super::LayerError;
use super::builder::Builder;
use super::init::Init;
use crate::ids::ValueId;
use crate::ops::{Elman, Function, Gru, GruResetBefore, Lstm, Matmul};
use crate::tensor::TensorType;

/// What happens in a timestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Elman's: `h = f(W x + U h)`, with tanh or relu. As `torch.nn.RNN`.
    Rnn(Function),
    /// The gated recurrent unit (Cho et al. 2014) with the reset gate after the product, as
    /// `torch.nn.GRU`: `n = tanh(W x + r * (U h))`.
    Gru,
    /// The same with the reset gate before the product: `n = tanh(W x + U (r * h))`.
    GruResetBefore,
    /// Long short-term memory (Hochreiter & Schmidhuber 1997), as `torch.nn.LSTM`.
    Lstm,
}

impl Cell {
    /// What `run.toml` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Rnn(_) => "rnn",
            Cell::Gru | Cell::GruResetBefore => "gru",
            Cell::Lstm => "lstm",
        }
    }

    /// Rows of the weights for each unit.
    pub fn gates(self) -> u32 {
        match self {
            Cell::Rnn(_) => 1,
            Cell::Gru | Cell::GruResetBefore => 3,
            Cell::Lstm => 4,
        }
    }

    /// Tensors (B, H) of its state.
    pub fn states(self) -> u32 {
        if self == Cell::Lstm { 2 } else { 1 }
    }
}

/// Stacked layers that anyone could want; each is planned timestep by timestep.
const MOST_LAYERS: u32 = 1024;

/// A recurrent layer, or a stack of them; the names are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recurrent {
    /// What happens in a timestep.
    pub cell: Cell,
    /// Units of the state.
    pub hidden_size: u32,
    /// How many are stacked.
    pub layers: u32,
    /// Whether a second one reads from the end, its outputs beside the first's.
    pub bidirectional: bool,
    /// The share of outputs dropped between stacked layers.
    pub dropout: f32,
    /// Whether there are `bias_ih` and `bias_hh`.
    pub bias: bool,
    /// What an LSTM's forget gates are biased by at the start; as PyTorch's if left out.
    pub forget_bias: Option<f32>,
}

impl Recurrent {
    /// One layer in one direction, with biases.
    pub fn new(cell: Cell, hidden_size: u32) -> Self {
        Self { cell, hidden_size, layers: 1, bidirectional: false, dropout: 0.0, bias: true, forget_bias: None }
    }

    /// The same with so many layers.
    pub fn layers(self, layers: u32) -> Self {
        Self { layers, ..self }
    }

    /// Features of its output.
    pub fn outputs(self) -> u32 {
        self.hidden_size.saturating_mul(if self.bidirectional { 2 } else { 1 })
    }

    fn check(self, builder: &Builder) -> Result<(), LayerError> {
        let fail = |reason: String| Err(builder.error(reason));
        if self.hidden_size == 0 || self.layers == 0 {
            return fail("`hidden_size` and `layers` must be at least 1".into());
        }
        if self.layers > MOST_LAYERS {
            return fail(format!("`layers` is {} and may be at most {MOST_LAYERS}", self.layers));
        }
        if self.bidirectional && builder.carries() {
            return fail(
                "it is bidirectional and state is carried from window to window: the backward direction \
                 begins at the end of a sequence, and a stream that is read window by window has none; \
                 train on whole sequences (`carry_state = false`) or leave `bidirectional` out"
                    .into(),
            );
        }
        if self.forget_bias.is_some() && !(self.cell == Cell::Lstm && self.bias) {
            return fail("`forget_bias` is for an LSTM with biases".into());
        }
        Ok(())
    }
}

impl Builder {
    /// A recurrent layer over a window: (T, B, I) to (T, B, H), or (T, B, 2H) in both directions.
    ///
    /// States start from `initial`, one of (S, B, H) for each layer and direction (S is 2 for an
    /// LSTM, the hidden state before the cell's, else 1); from the window before, if the run
    /// carries state; else from zero. The last states are returned in the same order.
    ///
    /// Where rows have lengths, timesteps past a row's end leave its state as it is.
    ///
    /// # Errors
    /// Inputs that are no sequence; both directions in a run that carries state.
    pub fn recurrent(
        &mut self,
        x: ValueId,
        spec: Recurrent,
        initial: Option<&[ValueId]>,
    ) -> Result<(ValueId, Vec<ValueId>), LayerError> {
        spec.check(self)?;
        let directions: &[bool] = if spec.bidirectional { &[false, true] } else { &[false] };
        let wanted = spec.layers as usize * directions.len();
        if let Some(given) = initial.filter(|i| i.len() != wanted) {
            let found = given.len();
            return Err(
                self.error(format!("{found} initial states are given, and it has {wanted} layers and directions"))
            );
        }
        let (mut x, mut last) = (x, Vec::new());
        for layer in 0..spec.layers {
            let mut sides = Vec::new();
            for &reverse in directions {
                let given = initial.map(|i| i[last.len()]);
                let (y, state) = self.one_direction(x, spec, layer, reverse, given)?;
                sides.push(y);
                last.push(state);
            }
            x = self.concat(&sides)?;
            if layer + 1 < spec.layers {
                x = self.dropout_of(x, spec.dropout, &format!("_l{layer}"))?;
            }
        }
        Ok((x, last))
    }

    fn one_direction(
        &mut self,
        x: ValueId,
        spec: Recurrent,
        layer: u32,
        reverse: bool,
        initial: Option<ValueId>,
    ) -> Result<(ValueId, ValueId), LayerError> {
        let &[_, batch, inputs] = &self.graph[x].ty.shape[..] else {
            return Err(self.error(format!("a recurrent layer takes a sequence (T, B, I), not {}", self.graph[x].ty)));
        };
        let (hidden, cell) = (spec.hidden_size, spec.cell);
        let Some(rows) = hidden.checked_mul(cell.gates()) else {
            return Err(self.error(format!("{hidden} units of {} gates are more than 2^32", cell.gates())));
        };
        let suffix = format!("l{layer}{}", if reverse { "_reverse" } else { "" });
        let init = Init::fan_in(hidden);
        let mut project = vec![x, self.parameter(&format!("weight_ih_{suffix}"), &[rows, inputs], init)?];
        let w = self.parameter(&format!("weight_hh_{suffix}"), &[rows, hidden], init)?;
        let mut recur = vec![w];
        if spec.bias {
            // The two are added: one has all of a forget gate's bias.
            let starts = match (spec.forget_bias, init) {
                (Some(value), Init::Uniform { bound }) => [value, 0.0].map(|value| Init::ForgetBias { value, bound }),
                _ => [init; 2],
            };
            project.push(self.parameter(&format!("bias_ih_{suffix}"), &[rows], starts[0])?);
            recur.push(self.parameter(&format!("bias_hh_{suffix}"), &[rows], starts[1])?);
        }
        let projected = self.apply_one(Matmul::linear(spec.bias, Function::Identity), &project)?;
        let ty = TensorType::f32(&[cell.states(), batch, hidden]);
        let (before, slot) = match initial {
            Some(given) if self.graph[given].ty != ty => {
                let found = self.graph[given].ty.clone();
                return Err(self.error(format!("the initial state is {found}, and has to be {ty} (S, B, H)")));
            }
            Some(given) => (given, None),
            None => self.state_before(&format!("state_{suffix}"), &ty)?,
        };
        recur.splice(0..0, [projected, before]);
        let lengths = self.lengths();
        recur.extend(lengths);
        let (bias, lengths) = (spec.bias, lengths.is_some());
        let made = match cell {
            Cell::Rnn(function) => self.apply(Elman { function, bias, lengths, reverse }, &recur)?,
            Cell::Gru => self.apply(Gru { bias, lengths, reverse }, &recur)?,
            Cell::GruResetBefore => self.apply(GruResetBefore { bias, lengths, reverse }, &recur)?,
            Cell::Lstm => self.apply(Lstm { bias, lengths, reverse }, &recur)?,
        };
        let last = *made.last().expect("every cell has a last state");
        Ok((made[0], if initial.is_some() { last } else { self.state_after(last, slot) }))
    }
}
