//! The layers of a run file in candle.

use candle_core::{Result, Tensor};
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN, gru, lstm};
use candle_nn::{Embedding, Linear, Module, VarBuilder, embedding, linear};

use crate::run_file::{Layer, RunFile};

enum Cell {
    /// Elman's, which candle has not: `h = tanh(W x + U h)`, in two linear layers.
    Rnn(Linear, Linear),
    Gru(GRU),
    Lstm(LSTM),
}

/// What is carried from window to window: h, and c of an LSTM.
pub(crate) type State = (Tensor, Option<Tensor>);

pub(crate) struct Network {
    embedding: Option<Embedding>,
    cells: Vec<Cell>,
    linears: Vec<Linear>,
}

impl Network {
    pub(crate) fn new(file: &RunFile, vb: VarBuilder) -> Result<Self> {
        let mut network = Self { embedding: None, cells: Vec::new(), linears: Vec::new() };
        let mut features = file.features();
        for (i, layer) in file.layers.iter().enumerate() {
            let vb = vb.pp(i);
            match *layer {
                Layer::Embedding { size } => {
                    let ids = file.vocabulary.expect("a file with an embedding says how many ids there are");
                    network.embedding = Some(embedding(ids, size, vb)?);
                    features = size;
                }
                Layer::Recurrent { ref cell, hidden, layers } => {
                    for i in 0..layers {
                        let vb = vb.pp(i);
                        network.cells.push(match &cell[..] {
                            "rnn" => {
                                Cell::Rnn(linear(features, hidden, vb.pp("x"))?, linear(hidden, hidden, vb.pp("h"))?)
                            }
                            "gru" => Cell::Gru(gru(features, hidden, GRUConfig::default(), vb)?),
                            _ => Cell::Lstm(lstm(features, hidden, LSTMConfig::default(), vb)?),
                        });
                        features = hidden;
                    }
                }
                Layer::Linear { outputs } => {
                    network.linears.push(linear(features, outputs, vb)?);
                    features = outputs;
                }
                Layer::Relu => {}
            }
        }
        Ok(network)
    }

    pub(crate) fn layers(&self) -> usize {
        self.cells.len()
    }

    /// Of rows (B, I), (B, O); of ids (B, T), (B * T, O).
    pub(crate) fn forward(&self, x: &Tensor, state: &mut [Option<State>]) -> Result<Tensor> {
        let mut x = x.clone();
        if let Some(embedding) = &self.embedding {
            x = embedding.forward(&x)?;
        }
        for (cell, state) in self.cells.iter().zip(state) {
            x = cell.window(&x, state)?;
        }
        if x.rank() == 3 {
            x = x.flatten(0, 1)?;
        }
        for (i, linear) in self.linears.iter().enumerate() {
            x = linear.forward(&if i > 0 { x.relu()? } else { x })?;
        }
        Ok(x)
    }
}

impl Cell {
    fn window(&self, x: &Tensor, state: &mut Option<State>) -> Result<Tensor> {
        let batch = x.dim(0)?;
        let before = state.take();
        let (y, (h, c)) = match self {
            Cell::Rnn(from_x, from_h) => {
                let projected = from_x.forward(x)?;
                let mut h = match before {
                    Some((h, _)) => h,
                    None => Tensor::zeros((batch, projected.dim(2)?), x.dtype(), x.device())?,
                };
                let mut all = Vec::new();
                for t in 0..x.dim(1)? {
                    h = (projected.narrow(1, t, 1)?.squeeze(1)? + from_h.forward(&h)?)?.tanh()?;
                    all.push(h.clone());
                }
                (Tensor::stack(&all, 1)?, (h, None))
            }
            Cell::Gru(gru) => {
                let zero = gru.zero_state(batch)?;
                let all = gru.seq_init(x, &before.map_or(zero, |(h, _)| GRUState { h }))?;
                // `states_to_tensor` of a GRU joins features where that of an LSTM stacks timesteps.
                let states: Vec<Tensor> = all.iter().map(|state| state.h.clone()).collect();
                (Tensor::stack(&states, 1)?, (all[all.len() - 1].h.clone(), None))
            }
            Cell::Lstm(lstm) => {
                let zero = lstm.zero_state(batch)?;
                let before = before.and_then(|(h, c)| Some(LSTMState::new(h, c?)));
                let all = lstm.seq_init(x, &before.unwrap_or(zero))?;
                let last = &all[all.len() - 1];
                (lstm.states_to_tensor(&all)?, (last.h.clone(), Some(last.c.clone())))
            }
        };
        *state = Some((h.detach(), c.map(|c| c.detach())));
        Ok(y)
    }
}
