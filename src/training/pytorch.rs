//! What PyTorch's autograd would keep for the way back, of the same layers: a model of it.
//!
//! It says which tensors the operators of `torch.nn` save: counted once by storage, without parameters and without the
//! batch itself, in f32, for one micro-step. It is held to the byte against what `benches/peers/saved_tensors.py`
//! saw pass through `torch.autograd.graph.saved_tensors_hooks` of PyTorch 2.15.0 on a CPU, with recurrent layers by
//! PyTorch's own kernels (`tests/saved_tensors.rs`). On a CPU PyTorch hands LSTMs to oneDNN by default, which keeps
//! more; what cuDNN keeps is not published. It says nothing of what PyTorch's allocator and its gradients take.
//!
//! | layer | saved for each row of a timestep |
//! |---|---|
//! | LSTM, GRU | 7 H; its input |
//! | Elman | H; its input; the initial state once |
//! | linear | its input |
//! | tanh, relu, sigmoid | the output |
//! | gelu and other curves | the input |
//! | layer norm | the input; mean and deviation |
//! | dropout | a mask, as large as its input in f32 |
//! | cross-entropy | the log-softmax |
//! | other losses | the prediction |
//!
//! A tensor that was saved already is not saved again.

use serde::Serialize;

use crate::nn::{Cell, Inputs, Layer, LayerKind, Loss, Network, Recurrent, Task, Time};

use super::Training;

/// What PyTorch would keep of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptByPytorch {
    /// The layer's name; `loss` for the loss.
    pub layer: String,
    /// Bytes.
    pub bytes: u64,
}

/// A tensor between two layers.
#[derive(Clone, Copy)]
struct Tensor {
    /// Features.
    width: u64,
    /// Rows of its own, in all timesteps.
    rows: u64,
    /// Rows of the storage it is a part of.
    storage_rows: u64,
    /// Whether somebody has saved it, or it is the batch.
    saved: bool,
}

/// Bytes of a float.
const FLOAT: u64 = 4;

impl Tensor {
    fn new(width: u64, rows: u64) -> Self {
        Self { width, rows, storage_rows: rows, saved: false }
    }

    /// Bytes that it takes to save it.
    fn save(&mut self) -> u64 {
        let bytes = if self.saved { 0 } else { self.width * self.storage_rows * FLOAT };
        self.saved = true;
        bytes
    }
}

impl Training {
    /// What PyTorch's autograd would keep from the forward to the backward pass of a micro-step, by layer and then by
    /// the loss: a model, see above. `None` where nothing is learnt, and of networks that are not made of layers that
    /// `torch.nn` has: those written by hand, rows with lengths, and a GRU with its reset gate before the product.
    pub fn kept_by_pytorch(&self) -> Option<Vec<KeptByPytorch>> {
        let Network::Layers { model, task } = &self.network else { return None };
        if self.lengths || !self.learn {
            return None;
        }
        let batch = u64::from(self.micro_batch());
        let rows = if task.time == Time::None { batch } else { batch * u64::from(self.window) };
        let mut before = match task.inputs {
            Inputs::Tokens { .. } => Tensor { saved: true, ..Tensor::new(0, rows) },
            Inputs::Features { features } => Tensor { saved: true, ..Tensor::new(features.into(), rows) },
        };
        let (mut made, mut kept): (Vec<(&str, Tensor)>, Vec<KeptByPytorch>) = (Vec::new(), Vec::new());
        for layer in &model.layers {
            let mut inputs = match &layer.inputs[..] {
                [] => vec![before],
                names => names
                    .iter()
                    .map(|name| made.iter().find(|(n, _)| n == name).map(|(_, tensor)| *tensor))
                    .collect::<Option<_>>()?,
            };
            let (output, bytes) = forward(layer, &mut inputs, batch, task)?;
            // Whoever reads the same tensor later finds it saved.
            for (name, input) in layer.inputs.iter().zip(&inputs) {
                made.iter_mut().filter(|(n, _)| n == name).for_each(|(_, tensor)| tensor.saved = input.saved);
            }
            if let ([], [input], Some((_, last))) = (&layer.inputs[..], &inputs[..], made.last_mut()) {
                last.saved = input.saved;
            }
            kept.push(KeptByPytorch { layer: layer.name.clone(), bytes });
            made.push((&layer.name, output));
            before = output;
        }
        let bytes = match task.actual_loss() {
            // The sum of the targets' weights is one number more.
            Loss::CrossEntropy { .. } => before.rows * before.width * FLOAT + FLOAT,
            _ => before.save(),
        };
        kept.push(KeptByPytorch { layer: "loss".into(), bytes });
        Some(kept)
    }
}

/// What a layer makes, and what it saves.
fn forward(layer: &Layer, inputs: &mut [Tensor], batch: u64, task: &Task) -> Option<(Tensor, u64)> {
    let several = inputs.len() > 1;
    let joined = several && layer.kind != LayerKind::Add;
    // Several tensors are put side by side in a new one, which saves none of them.
    let mut side_by_side = Tensor::new(inputs.iter().map(|t| t.width).sum(), inputs.first()?.rows);
    let x = if joined { &mut side_by_side } else { inputs.first_mut()? };
    let (rows, width) = (x.rows, x.width);
    Some(match &layer.kind {
        // Ids are the batch's.
        LayerKind::Embedding { size, .. } => (Tensor::new(u64::from(*size), rows), 0),
        LayerKind::Recurrent(spec) => {
            let bytes = recurrent(spec, x, batch)?;
            (Tensor::new(u64::from(spec.outputs()), rows), bytes)
        }
        LayerKind::Linear { out_features, .. } => {
            (Tensor::new(u64::from(out_features.unwrap_or(task.outputs())), rows), x.save())
        }
        LayerKind::LayerNorm { .. } => (Tensor::new(width, rows), x.save() + 2 * rows * FLOAT),
        LayerKind::Dropout { p } if *p > 0.0 => (Tensor::new(width, rows), width * rows * FLOAT),
        LayerKind::Activation { .. } => {
            let mut y = Tensor::new(width, rows);
            let bytes = y.save();
            (y, bytes)
        }
        LayerKind::Curve { .. } => (Tensor::new(width, rows), x.save()),
        LayerKind::Add if several => (Tensor::new(width, rows), 0),
        LayerKind::Dropout { .. } | LayerKind::Add | LayerKind::Concat => (*x, 0),
        // A view: who saves it keeps all timesteps.
        LayerKind::Last => (Tensor { rows: batch, ..*x }, 0),
    })
}

/// What recurrent layers save of themselves, of what they read and of dropout between them.
fn recurrent(spec: &Recurrent, x: &mut Tensor, batch: u64) -> Option<u64> {
    let (directions, hidden) = (if spec.bidirectional { 2 } else { 1 }, u64::from(spec.hidden_size));
    let slots = match spec.cell {
        Cell::Rnn(_) => 1,
        Cell::Lstm | Cell::Gru => 7,
        Cell::GruResetBefore => return None,
    };
    let initial = if matches!(spec.cell, Cell::Rnn(_)) { batch * hidden * FLOAT } else { 0 };
    let own = directions * (slots * hidden * x.rows * FLOAT + initial);
    let between = directions * hidden * x.rows * FLOAT;
    // What passes between two of them is the input of the second, and behind a mask, where there is dropout.
    let passed = if spec.dropout > 0.0 { 2 * between } else { between };
    let layers = u64::from(spec.layers);
    Some(x.save() + layers * own + layers.saturating_sub(1) * passed)
}
