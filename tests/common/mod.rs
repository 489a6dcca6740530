//! What several tests share: specimens turned into graphs, and numbers compared.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]
#![allow(clippy::cast_possible_truncation, reason = "the device computes in f32")]

use std::collections::HashMap;

use plimsoll::graph::{Graph, Role};
use plimsoll::host::{decode, encode};
use plimsoll::ids::{NodeId, SlotId, ValueId};
use plimsoll::ops::{Data, Lowering, Specimen};
use plimsoll::random::{Purpose, Stream};
use plimsoll::target::Target;
use plimsoll::tensor::{DType, TensorType};

/// The numbers a specimen's inputs hold.
pub fn inputs_of(specimen: &Specimen) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(7, Purpose::Data, 0);
    let mut fill = |(ty, data): (&TensorType, &Data)| match data {
        Data::Values(values) => values.clone(),
        // Through f32, so that the device starts from the very same numbers.
        Data::Uniform(low, high) => {
            (0..ty.len()).map(|_| f64::from((low + (high - low) * stream.next_f64()) as f32)).collect()
        }
    };
    specimen.inputs.iter().zip(&specimen.data).map(&mut fill).collect()
}

/// A program that is one application of the specimen's op.
pub struct OneOp {
    pub graph: Graph,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
}

/// The specimen's op on inputs that lie in slots, in a program of its own.
pub fn one_op(specimen: &Specimen) -> OneOp {
    let mut graph = Graph::default();
    graph.begin("specimen");
    graph.set_label("specimen");
    let inputs: Vec<ValueId> = (0..specimen.inputs.len())
        .map(|i| graph.held(&format!("input {i}"), Role::Input, specimen.inputs[i].clone(), 1))
        .collect();
    let outputs = graph.apply(specimen.op.clone(), &inputs).unwrap_or_else(|e| panic!("{specimen:?}: {e}"));
    OneOp { graph, inputs, outputs }
}

impl OneOp {
    /// Has every output stay in memory; returns where.
    pub fn keep_outputs(&mut self) -> Vec<SlotId> {
        let outputs = self.outputs.clone();
        let mut slots = Vec::new();
        for (i, output) in outputs.into_iter().enumerate() {
            let ty = self.graph[output].ty.clone();
            let slot = self.graph.slot(format!("output {i}"), Role::Result, ty.bytes(), 1);
            self.graph.store(output, slot, 0);
            slots.push(slot);
        }
        self.graph.protect();
        slots
    }
}

pub fn bytes_of(numbers: &[f64], ty: &TensorType) -> Vec<u8> {
    encode(numbers, ty)
}

/// The greatest difference, as a share of the largest number wanted, or of 1 if that is smaller.
pub fn difference(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1f64, |m, x| m.max(x.abs()));
    found.iter().zip(wanted).fold(0f64, |m, (x, y)| {
        if x == y { m } else { m.max(((x - y) / scale).abs().max(if x.is_nan() { f64::MAX } else { 0.0 })) }
    })
}

pub fn is_float(ty: &TensorType) -> bool {
    ty.dtype != DType::U32
}

/// What each value of a program holds.
pub type Numbers = HashMap<ValueId, Vec<f64>>;

/// Computes the whole program in `f64`, from the values given.
pub fn run(graph: &Graph, nodes: &[NodeId], given: &Numbers) -> Numbers {
    run_through(graph, nodes, given, |numbers, _| numbers)
}

/// The same with every result rounded as memory rounds it, which is what a plan makes of it.
pub fn run_stored(graph: &Graph, nodes: &[NodeId], given: &Numbers) -> Numbers {
    run_through(graph, nodes, given, |numbers, ty| decode(&encode(&numbers, ty), ty))
}

fn run_through(
    graph: &Graph,
    nodes: &[NodeId],
    given: &Numbers,
    kept: impl Fn(Vec<f64>, &TensorType) -> Vec<f64>,
) -> Numbers {
    let target = Target::profile("webgpu-default").unwrap();
    let mut values = given.clone();
    for &id in nodes {
        let node = &graph[id];
        let inputs: Vec<&[f64]> = node.site.inputs.iter().map(|v| &values[v][..]).collect();
        let at = Lowering {
            inputs: &graph.types(&node.site.inputs),
            outputs: &graph.types(&node.site.outputs),
            wanted: &vec![true; node.site.outputs.len()],
            target: &target,
        };
        let outputs = node.op.rule().reference(&inputs, &at);
        let outputs = node.site.outputs.iter().zip(outputs);
        values.extend(outputs.map(|(&v, numbers)| (v, kept(numbers, &graph[v].ty))));
    }
    values
}
