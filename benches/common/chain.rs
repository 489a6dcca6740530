//! One product by one kernel, over and over: each dispatch waits for the one before, as it writes the same place.

use plimsoll::device::{Device, DeviceEngine};
use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::ids::SlotId;
use plimsoll::ops::matmul::kernel::{Operands, Product, Variant, dispatch_with};
use plimsoll::ops::{Binding, Fill, Layout, Operand};
use plimsoll::plan::{Plan, Staging};
use plimsoll::random::{Purpose, Stream};
use plimsoll::schedule::{Access, Step};
use plimsoll::tensor::{DType, TensorType};

/// Arithmetic of one run of the chain, about.
const WORK: f64 = 5e8;

pub(crate) struct Chain {
    engine: DeviceEngine,
    small: SlotId,
    /// Dispatches of one run.
    pub(crate) length: u32,
}

impl Chain {
    pub(crate) fn new(device: &Device, kernel: Variant, product: &Product, halves: bool) -> Self {
        let [m, n, k] = [product.m, product.n, product.k];
        let mut graph = Graph::default();
        graph.begin("products");
        // Every step belongs to a node, but no op makes dispatches like these.
        graph.apply_one(Fill { value: 0.0, shape: vec![1] }, &[]).expect("there is nothing to it");
        let node = graph.current_nodes()[0];
        let mut hold = |name, role, shape: [u32; 2], half: bool| {
            let dtype = if half { DType::F16 } else { DType::F32 };
            graph.held(name, role, TensorType { dtype, ..TensorType::f32(&shape) }, 1)
        };
        let a = hold("a", Role::Input, if product.layout == Layout::Tn { [k, m] } else { [m, k] }, halves);
        let b = hold("b", Role::Input, if product.layout == Layout::Nt { [n, k] } else { [k, n] }, halves);
        let c = hold("c", Role::Result, [m, n], false);
        let small = graph.slot("waited for", Role::Result, 4, 1);
        let types = [a, b, c].map(|value| graph[value].ty.clone());
        let [a_bytes, b_bytes, c_bytes] = types.each_ref().map(|ty| 0..ty.bytes());
        let operands = Operands {
            a: Binding::read(Operand::Input(0), a_bytes),
            b: Binding::read(Operand::Input(1), b_bytes),
            extra: None,
            c: Binding::write(Operand::Output(0), c_bytes),
            dtypes: [types[0].dtype, types[1].dtype, types[0].dtype, DType::F32],
        };
        let dispatch = dispatch_with(kernel, product, device.target(), operands);
        let value = |operand| match operand {
            Operand::Input(i) => [a, b][i],
            Operand::Output(_) => c,
        };
        let access = |binding: &Binding| Access {
            reads: binding.reads.map(value),
            writes: binding.writes.map(value),
            bytes: binding.bytes.clone(),
            slack: binding.slack,
            texture_row: binding.texture_row,
            texture_kept: binding.texture_kept,
        };
        let step = Step { node, accesses: dispatch.bindings.iter().map(access).collect(), dispatch };
        let work = 2.0 * f64::from(m) * f64::from(n) * f64::from(k);
        let length = (1..=64).rev().find(|&length| f64::from(length) * work <= WORK).unwrap_or(1);
        let slots = [a, b].map(|value| graph[value].home.expect("it is held").slot);
        let plan = Plan::new(graph, device.target(), Staging::for_traffic(1 << 20, 1 << 10, 0, u64::MAX));
        let plan = plan.running(vec![step; length as usize]);
        let mut engine = DeviceEngine::new(device, plan).expect("the device has room");
        for (slot, ty) in slots.into_iter().zip(&types) {
            let mut stream = Stream::new(1, Purpose::Data, 0);
            // Drawing millions would take longer than multiplying them.
            let drawn: Vec<f32> = (0..4099).map(|_| stream.uniform(-1.0, 1.0)).collect();
            let mut all = drawn.iter().cycle();
            let mut next = || *all.next().expect("it has no end");
            let bytes: Vec<u8> = match ty.dtype {
                DType::F16 => (0..ty.len()).flat_map(|_| half::f16::from_f32(next()).to_le_bytes()).collect(),
                _ => (0..ty.len()).flat_map(|_| next().to_le_bytes()).collect(),
            };
            engine.upload(slot, 0, 0, &bytes).expect("inputs can be uploaded");
        }
        Self { engine, small, length }
    }

    /// Runs it so often, and waits for the last.
    pub(crate) fn run(&mut self, runs: u32) {
        for _ in 0..runs {
            self.engine.run(0, 0).expect("the device runs");
            self.engine.submit().expect("the device runs");
        }
        self.engine.read(self.small, 0).expect("it can be read");
        self.engine.submit().expect("the device runs");
        self.engine.results(true).expect("the device answers");
    }
}
