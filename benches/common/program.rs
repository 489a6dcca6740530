//! A program on the device, by itself: its inputs, its plan, its passes.

use plimsoll::device::DeviceEngine;
use plimsoll::engine::Engine;
use plimsoll::graph::{Derived, Graph, Role};
use plimsoll::ids::{SlotId, ValueId};
use plimsoll::plan::Staging;
use plimsoll::random::{Purpose, Stream};
use plimsoll::target::Target;
use plimsoll::tensor::TensorType;
use plimsoll::{Data, Device, Plan};

/// A program being written, with what its inputs hold.
pub(crate) struct Program {
    pub(crate) graph: Graph,
    inputs: Vec<(SlotId, Data)>,
    stream: Stream,
}

impl Program {
    pub(crate) fn new() -> Self {
        let mut graph = Graph::default();
        graph.begin("bench");
        Self { graph, inputs: Vec::new(), stream: Stream::new(1, Purpose::Data, 0) }
    }

    /// A tensor of numbers between -1 and 1.
    pub(crate) fn numbers(&mut self, name: &str, role: Role, shape: &[u32]) -> (ValueId, SlotId) {
        let ty = TensorType::f32(shape);
        let numbers = (0..ty.len()).map(|_| self.stream.uniform(-1.0, 1.0)).collect();
        self.input(name, role, ty, Data::F32(numbers))
    }

    /// A tensor that holds `data`.
    pub(crate) fn input(&mut self, name: &str, role: Role, ty: TensorType, data: Data) -> (ValueId, SlotId) {
        let slot = self.graph.slot(name, role, ty.bytes(), 1);
        self.inputs.push((slot, data));
        (self.graph.content(slot, 0, ty, name), slot)
    }

    /// Has `value` outlive the program.
    pub(crate) fn keep(&mut self, value: ValueId) {
        let slot = self.graph.slot("result", Role::Result, self.graph[value].ty.bytes(), 1);
        self.graph.store(value, slot, 0);
    }

    /// Plans it and brings it onto the device.
    pub(crate) fn start(self, device: &Device) -> Running {
        self.start_as(device, device.target())
    }

    /// The same, planned as for `target`.
    pub(crate) fn start_as(mut self, device: &Device, target: &Target) -> Running {
        let small = self.graph.slot("waited for", Role::Result, 4, 1);
        self.graph.protect();
        let plan = Plan::new(self.graph, target, Staging::for_traffic(1 << 20, 1 << 10, 0, u64::MAX));
        plan.replay().expect("the plan holds");
        let mut engine = DeviceEngine::new(device, plan).expect("the device has room");
        for (from, data) in &self.inputs {
            engine.upload(*from, 0, 0, data.bytes()).expect("inputs can be uploaded");
            let graph = &engine.plan().graph;
            let all = graph.slot_ids().filter_map(|slot| Some((slot, graph[slot].derived.clone()?)));
            let derived: Vec<_> = all.filter(|(_, derived)| derived.from == *from).collect();
            for (slot, Derived { elements, how, .. }) in derived {
                let Data::U32(ids) = data else { panic!("only from ids is anything worked out") };
                let numbers = how.compute(&ids[elements]);
                engine.upload(slot, 0, 0, bytemuck::cast_slice(&numbers)).expect("inputs can be uploaded");
            }
        }
        Running { engine, small }
    }
}

/// A program on the device, and something small to wait for.
pub(crate) struct Running {
    engine: DeviceEngine,
    small: SlotId,
}

impl Running {
    /// Runs it `passes` times, and waits for the last.
    pub(crate) fn run(&mut self, passes: u64) {
        for _ in 0..passes {
            self.engine.run(0, 0).expect("the device runs");
            self.engine.submit().expect("the device runs");
        }
        self.engine.download(self.small, 0).expect("the device answers");
    }
}
