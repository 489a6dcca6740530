//! The layers of a run file in burn, with burn's own modules.

use burn::module::Module;
use burn::nn::{
    Embedding, EmbeddingConfig, Gru, GruConfig, Linear, LinearConfig, Lstm, LstmConfig, LstmState, Rnn, RnnConfig,
    RnnState,
};
use burn::prelude::*;
use burn::tensor::{Device, activation::relu};

use crate::run_file::{Layer, RunFile};

#[derive(Module, Debug)]
pub(crate) enum Cell {
    Rnn(Rnn),
    Gru(Gru),
    Lstm(Lstm),
}

/// What is carried from window to window: h, and c of an LSTM.
pub(crate) type State = (Tensor<2>, Option<Tensor<2>>);

#[derive(Module, Debug)]
pub(crate) struct Network {
    embedding: Option<Embedding>,
    cells: Vec<Cell>,
    linears: Vec<Linear>,
}

impl Network {
    pub(crate) fn new(file: &RunFile, device: &Device) -> Self {
        let mut network = Self { embedding: None, cells: Vec::new(), linears: Vec::new() };
        let mut features = file.features();
        for layer in &file.layers {
            match *layer {
                Layer::Embedding { size } => {
                    let ids = file.vocabulary.expect("a file with an embedding says how many ids there are");
                    network.embedding = Some(EmbeddingConfig::new(ids, size).init(device));
                    features = size;
                }
                Layer::Recurrent { ref cell, hidden, layers } => {
                    for _ in 0..layers {
                        network.cells.push(match &cell[..] {
                            "rnn" => Cell::Rnn(RnnConfig::new(features, hidden, true).init(device)),
                            "gru" => Cell::Gru(GruConfig::new(features, hidden, true).init(device)),
                            _ => Cell::Lstm(LstmConfig::new(features, hidden, true).init(device)),
                        });
                        features = hidden;
                    }
                }
                Layer::Linear { outputs } => {
                    network.linears.push(LinearConfig::new(features, outputs).init(device));
                    features = outputs;
                }
                Layer::Relu => {}
            }
        }
        network
    }

    pub(crate) fn layers(&self) -> usize {
        self.cells.len()
    }

    /// Of rows (B, I), (B, O).
    pub(crate) fn rows(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (i, linear) in self.linears.iter().enumerate() {
            x = linear.forward(if i > 0 { relu(x) } else { x });
        }
        x
    }

    /// Of ids (B, T), (B * T, O).
    pub(crate) fn sequences(&self, ids: Tensor<2, Int>, state: &mut [Option<State>]) -> Tensor<2> {
        let embedding = self.embedding.as_ref().expect("what reads ids has an embedding");
        let mut x = embedding.forward(ids);
        for (cell, state) in self.cells.iter().zip(state) {
            x = window(cell, x, state);
        }
        let [batch, steps, features] = x.dims();
        self.rows(x.reshape([batch * steps, features]))
    }
}

fn window(cell: &Cell, x: Tensor<3>, state: &mut Option<State>) -> Tensor<3> {
    let before = state.take();
    let (y, after): (Tensor<3>, State) = match cell {
        Cell::Rnn(rnn) => {
            let (y, last) = rnn.forward(x, before.map(|(h, _)| RnnState::new(h)));
            (y, (last.hidden, None))
        }
        Cell::Gru(gru) => {
            let y = gru.forward(x, before.map(|(h, _)| h));
            let [batch, steps, hidden] = y.dims();
            let last = y.clone().slice([0..batch, steps - 1..steps, 0..hidden]).reshape([batch, hidden]);
            (y, (last, None))
        }
        Cell::Lstm(lstm) => {
            let before = before.map(|(h, c)| LstmState::new(c.expect("an LSTM has a cell's state"), h));
            let (y, last) = lstm.forward(x, before);
            (y, (last.hidden, Some(last.cell)))
        }
    };
    *state = Some((after.0.detach(), after.1.map(Tensor::detach)));
    y
}
