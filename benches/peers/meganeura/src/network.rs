//! The layers of a run file as a graph of meganeura's.
//!
//! It has no recurrent layers, so a window is written out timestep by timestep, each with its own ids,
//! with a matrix for each gate; states go in as inputs and come out as outputs.

use meganeura::{Graph, NodeId};

use crate::run_file::{Layer, RunFile};

/// A parameter and the bound of what it starts from.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) len: usize,
    pub(crate) bound: f32,
}

/// A state that is carried: its input's name, and its last value.
pub(crate) struct Carried {
    pub(crate) name: String,
    pub(crate) last: NodeId,
    pub(crate) len: usize,
}

pub(crate) struct Network {
    pub(crate) graph: Graph,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) states: Vec<Carried>,
    rows: usize,
}

/// `x W + b`, where `W` is (I, O).
#[derive(Clone, Copy)]
struct Affine {
    weight: NodeId,
    bias: NodeId,
}

impl Network {
    /// Of `rows` examples a micro-step.
    pub(crate) fn new(file: &RunFile, rows: usize) -> Self {
        let mut network = Self { graph: Graph::new(), parameters: Vec::new(), states: Vec::new(), rows };
        let loss = match file.vocabulary {
            Some(vocabulary) => network.of_sequences(file, vocabulary),
            None => network.of_rows(file),
        };
        let outputs = std::iter::once(loss).chain(network.states.iter().map(|state| state.last));
        network.graph.set_outputs(outputs.collect());
        network
    }

    fn parameter(&mut self, name: String, shape: &[usize], fan_in: usize) -> NodeId {
        let node = self.graph.parameter(&name, shape);
        let bound = 1.0 / (fan_in as f32).sqrt();
        self.parameters.push(Parameter { name, len: shape.iter().product(), bound });
        node
    }

    fn affine(&mut self, name: &str, inputs: usize, outputs: usize) -> Affine {
        let weight = self.parameter(format!("{name}.weight"), &[inputs, outputs], inputs);
        Affine { weight, bias: self.parameter(format!("{name}.bias"), &[outputs], inputs) }
    }

    fn apply(&mut self, affine: Affine, x: NodeId) -> NodeId {
        let product = self.graph.matmul(x, affine.weight);
        self.graph.bias_add(product, affine.bias)
    }

    fn of_rows(&mut self, file: &RunFile) -> NodeId {
        let mut features = file.features();
        let mut x = self.graph.input("x", &[self.rows, features]);
        for (i, layer) in file.layers.iter().enumerate() {
            match *layer {
                Layer::Linear { outputs } => {
                    let affine = self.affine(&format!("linear{i}"), features, outputs);
                    x = self.apply(affine, x);
                    features = outputs;
                }
                Layer::Relu => x = self.graph.relu(x),
                ref other => panic!("{other:?} reads sequences"),
            }
        }
        let targets = self.graph.input("y", &[self.rows, features]);
        if file.of_classes { self.graph.cross_entropy_loss(x, targets) } else { self.graph.mse_loss(x, targets) }
    }

    fn of_sequences(&mut self, file: &RunFile, vocabulary: usize) -> NodeId {
        let (rows, mut features) = (self.rows, 0);
        let mut steps = Vec::new();
        for (i, layer) in file.layers.iter().enumerate() {
            match *layer {
                Layer::Embedding { size } => {
                    let table = self.parameter(format!("embedding{i}"), &[vocabulary, size], 1);
                    for t in 0..file.features() {
                        let ids = self.graph.input_u32(&format!("x{t}"), &[rows]);
                        steps.push(self.graph.embedding(ids, table));
                    }
                    features = size;
                }
                Layer::Recurrent { ref cell, hidden, layers } => {
                    for l in 0..layers {
                        steps = self.recurrent(&format!("cell{i}.{l}"), cell, steps, features, hidden);
                        features = hidden;
                    }
                }
                Layer::Linear { outputs } => {
                    let affine = self.affine(&format!("linear{i}"), features, outputs);
                    steps = steps.into_iter().map(|x| self.apply(affine, x)).collect();
                    features = outputs;
                }
                Layer::Relu => panic!("no workload has it over sequences"),
            }
        }
        // The value of its fused loss is only whole at the end of a graph; `y` is one-hot times V / T.
        let losses: Vec<NodeId> = (steps.into_iter().enumerate())
            .map(|(t, logits)| {
                let y = self.graph.input(&format!("y{t}"), &[rows, vocabulary]);
                let log = self.graph.log_softmax(logits);
                let picked = self.graph.mul(log, y);
                self.graph.mean_all(picked)
            })
            .collect();
        let sum = losses.into_iter().reduce(|sum, loss| self.graph.add(sum, loss)).expect("a window has steps");
        self.graph.neg(sum)
    }

    fn recurrent(&mut self, name: &str, cell: &str, x: Vec<NodeId>, inputs: usize, hidden: usize) -> Vec<NodeId> {
        let gates = match cell {
            "rnn" => 1,
            "gru" => 3,
            _ => 4,
        };
        let gate: Vec<[Affine; 2]> = (0..gates)
            .map(|g| [("x", inputs), ("h", hidden)].map(|(of, n)| self.affine(&format!("{name}.{of}{g}"), n, hidden)))
            .collect();
        let shape = [self.rows, hidden];
        let mut h = self.graph.input(&format!("{name}.h"), &shape);
        let mut c = (cell == "lstm").then(|| self.graph.input(&format!("{name}.c"), &shape));
        let mut all = Vec::new();
        for x in x {
            let sides: Vec<[NodeId; 2]> =
                gate.iter().map(|[of_x, of_h]| [self.apply(*of_x, x), self.apply(*of_h, h)]).collect();
            (h, c) = self.step(cell, &sides, h, c);
            all.push(h);
        }
        let len = self.rows * hidden;
        self.states.push(Carried { name: format!("{name}.h"), last: h, len });
        self.states.extend(c.map(|last| Carried { name: format!("{name}.c"), last, len }));
        all
    }

    fn step(&mut self, cell: &str, sides: &[[NodeId; 2]], h: NodeId, c: Option<NodeId>) -> (NodeId, Option<NodeId>) {
        let graph = &mut self.graph;
        let sums: Vec<NodeId> = sides.iter().map(|[x, h]| graph.add(*x, *h)).collect();
        match (cell, c) {
            ("rnn", _) => (graph.tanh(sums[0]), None),
            ("gru", _) => {
                let (r, z) = (graph.sigmoid(sums[0]), graph.sigmoid(sums[1]));
                let gated = graph.mul(r, sides[2][1]);
                let n = graph.add(sides[2][0], gated);
                let n = graph.tanh(n);
                // n + z (h - n)
                let minus = graph.neg(n);
                let difference = graph.add(h, minus);
                let part = graph.mul(z, difference);
                (graph.add(n, part), None)
            }
            (_, c) => {
                let [i, f, o] = [0, 1, 3].map(|gate| graph.sigmoid(sums[gate]));
                let g = graph.tanh(sums[2]);
                let kept = graph.mul(f, c.expect("an LSTM has a cell's state"));
                let new = graph.mul(i, g);
                let c = graph.add(kept, new);
                let shown = graph.tanh(c);
                (graph.mul(o, shown), Some(c))
            }
        }
    }
}
