//! Nodes whose order tempts: less would be alive at once if they ran in one that computes something else.

use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::host::Host;
use plimsoll::ids::{SlotId, ValueId};
use plimsoll::ops::{Elman, Function, Layout, Matmul, Scale, Sum, View};
use plimsoll::plan::{Plan, Staging};
use plimsoll::target::Target;
use plimsoll::tensor::TensorType;

/// A program that learns, with the worst moment at its end.
struct Tempting {
    graph: Graph,
    /// A column and a row, whose product is large.
    sides: [ValueId; 2],
    given: Vec<(SlotId, Vec<f32>)>,
}

impl Tempting {
    fn new() -> Self {
        let mut graph = Graph::default();
        graph.begin("first");
        graph.turn_back();
        let mut all = Self { graph, sides: [ValueId(0); 2], given: Vec::new() };
        all.sides = [[16, 1], [1, 16]].map(|shape| all.input("side", Role::Input, &shape, 1.0));
        all
    }

    fn input(&mut self, name: &str, role: Role, shape: &[u32], number: f32) -> ValueId {
        let value = self.graph.held(name, role, TensorType::f32(shape), 1);
        let slot = self.graph[value].home.expect("it lies in a slot").slot;
        self.given.push((slot, vec![number; shape.iter().product::<u32>() as usize]));
        value
    }

    fn sum(&mut self, of: ValueId) -> ValueId {
        self.graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[of]).unwrap()
    }

    fn view(&mut self, of: ValueId, shape: &[u32]) -> ValueId {
        self.graph.apply_one(View { shape: shape.to_vec(), offset: 0 }, &[of]).unwrap()
    }

    fn scale(&mut self, factor: f32, of: ValueId) -> ValueId {
        self.graph.apply_one(Scale { factor }, &[of]).unwrap()
    }

    /// Multiplies `small` by 256, the sum of something large, beside which it would not be alive if it were made after
    /// that; the first number of what comes of the program in that order, and whether it is another than written.
    fn outcome(mut self, small: ValueId) -> (f32, bool) {
        let large = self.graph.apply_one(Matmul::new(Layout::Nn), &self.sides.clone()).unwrap();
        let sum = self.sum(large);
        let len = u32::try_from(self.graph[small].ty.len()).unwrap();
        let [column, factor] = [(small, len), (sum, 1)].map(|(of, len)| self.view(of, &[len, 1]));
        let both = self.graph.apply_one(Matmul::new(Layout::Nn), &[column, factor]).unwrap();
        let result = self.graph.slot("result", Role::Result, 4 * u64::from(len), 1);
        self.graph.store(both, result, 0);
        let target = Target::profile("webgpu-default").unwrap();
        let staging = Staging::for_traffic(0, 0, 0, 4096);
        let written = Plan::new(self.graph.clone(), &target, staging);
        let is_another = self.graph.order_for_memory();
        let plan = Plan::new(self.graph, &target, staging);
        assert!(plan.planned_bytes() <= written.planned_bytes());
        plan.replay().unwrap();
        let mut host = Host::new(plan);
        for (slot, numbers) in &self.given {
            host.upload(*slot, 0, 0, bytemuck::cast_slice(numbers)).unwrap();
        }
        host.run(0, 0).unwrap();
        let bytes = host.download(result, 0).unwrap();
        (bytemuck::pod_read_unaligned(&bytes[..4]), is_another)
    }
}

#[test]
fn what_is_in_nobodys_way_is_made_after_the_worst_moment() {
    let mut all = Tempting::new();
    let x = all.input("x", Role::Input, &[1], 5.0);
    let small = all.scale(2.0, x);
    assert_eq!(all.outcome(small), (10.0 * 256.0, true));
}

#[test]
fn a_state_is_read_before_the_next_is_stored_over_it() {
    let mut all = Tempting::new();
    let (state, x) = (all.input("state", Role::CarriedState, &[1], 5.0), all.input("x", Role::Input, &[1], 7.0));
    let small = all.scale(2.0, state);
    let next = all.scale(3.0, x);
    let slot = all.graph[state].home.unwrap().slot;
    all.graph.store(next, slot, 0);
    assert_eq!(all.outcome(small).0, 10.0 * 256.0, "of 5 and not of 21");
}

#[test]
fn what_an_op_works_over_is_read_before() {
    let mut all = Tempting::new();
    let x = all.input("x", Role::Input, &[1, 1, 4], 5.0);
    let row = all.input("row", Role::Input, &[1, 8], 1.0);
    let state = all.input("state", Role::Input, &[1, 1, 4], 1.0);
    let w = all.input("w", Role::Parameter, &[4, 4], 3.0);
    let projected = all.scale(1.0, x);
    // More than what it is made from.
    let column = all.view(projected, &[4, 1]);
    let small = all.graph.apply_one(Matmul::new(Layout::Nn), &[column, row]).unwrap();
    let op = Elman { function: Function::Relu, bias: false, lengths: false, reverse: false };
    let states = all.graph.apply(op, &[projected, state, w]).unwrap();
    let recurrent = all.sum(states[0]);
    let kept = all.graph.slot("kept", Role::Result, 4, 1);
    all.graph.store(recurrent, kept, 0);
    assert_eq!(all.outcome(small).0, 5.0 * 256.0, "of what was projected and not of the state over it, 17");
}
