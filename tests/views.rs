//! Views cost nothing, and nothing that is seen through one is overwritten.

#![allow(clippy::cast_possible_truncation, reason = "inputs are what f32 holds")]

mod common;

use common::{Numbers, difference, run_stored};
use plimsoll::autodiff::differentiate;
use plimsoll::device::{Device, DeviceEngine};
use plimsoll::engine::Engine;
use plimsoll::graph::{Graph, Role};
use plimsoll::host::{Host, decode};
use plimsoll::ids::ValueId;
use plimsoll::ops::matmul::{Layout, Matmul};
use plimsoll::ops::{Activation, Binary, Concat, Function, Scale, Slice, Sum, Transpose, View};
use plimsoll::plan::{Plan, Staging};
use plimsoll::random::{Purpose, Stream};
use plimsoll::target::Target;
use plimsoll::tensor::TensorType;

/// A program under test, what it is given and what it keeps.
#[derive(Default)]
struct Program {
    graph: Graph,
    given: Numbers,
    kept: Vec<ValueId>,
}

impl Program {
    fn new() -> Self {
        let mut program = Self::default();
        program.graph.begin("program");
        program
    }

    /// An input of random numbers.
    fn input(&mut self, shape: &[u32]) -> ValueId {
        let ty = TensorType::f32(shape);
        let mut stream = Stream::new(3, Purpose::Data, self.given.len() as u64);
        let numbers = (0..ty.len()).map(|_| f64::from((stream.next_f64() * 2.0 - 1.0) as f32)).collect();
        let value = self.graph.held(&format!("input {}", self.given.len()), Role::Input, ty, 1);
        self.given.insert(value, numbers);
        value
    }

    fn apply(&mut self, op: impl Into<plimsoll::ops::Op>, inputs: &[ValueId]) -> ValueId {
        self.graph.apply_one(op, inputs).unwrap()
    }

    /// Something that lives within the program only.
    fn made(&mut self, shape: &[u32]) -> ValueId {
        let x = self.input(shape);
        self.apply(Scale { factor: 2.0 }, &[x])
    }

    fn view(&mut self, x: ValueId, shape: &[u32], offset: u64) -> ValueId {
        self.apply(View { shape: shape.to_vec(), offset }, &[x])
    }

    fn tanh(&mut self, x: ValueId) -> ValueId {
        self.apply(Activation { function: Function::Tanh }, &[x])
    }

    /// Has `value` stay in memory, and be compared.
    fn keep(&mut self, value: ValueId) {
        let bytes = self.graph[value].ty.bytes();
        let slot = self.graph.slot("kept", Role::Result, bytes, 1);
        let stored = self.graph.store(value, slot, 0);
        self.kept.push(stored);
    }

    fn plan(&self, align: u32) -> Plan {
        let mut target = Target::profile("webgpu-default").unwrap();
        target.limits.min_storage_buffer_offset_alignment = align;
        self.plan_for(&target)
    }

    fn plan_for(&self, target: &Target) -> Plan {
        let mut graph = self.graph.clone();
        graph.protect();
        Plan::new(graph, target, Staging::for_traffic(1 << 14, 1 << 14, 0, u64::MAX))
    }

    /// Runs a plan of the program, and holds what it keeps against the references.
    fn check(&self, engine: &mut dyn Engine, tolerance: f64) {
        let wanted = run_stored(&self.graph, self.graph.current_nodes(), &self.given);
        let slot_of = |v: ValueId| self.graph[v].home.unwrap().slot;
        for (&value, numbers) in &self.given {
            let bytes = common::bytes_of(numbers, &self.graph[value].ty);
            engine.upload(slot_of(value), 0, 0, &bytes).unwrap();
        }
        engine.run(0, 0).unwrap();
        for (i, &value) in self.kept.iter().enumerate() {
            let found = decode(&engine.download(slot_of(value), 0).unwrap(), &self.graph[value].ty);
            let off = difference(&found, &wanted[&value]);
            assert!(off <= tolerance, "result {i} is off by {off:.1e}: {found:?}, not {:?}", wanted[&value]);
        }
    }
}

/// A value that two views show, one of which an op may overwrite while the other is read later.
fn two_views_and_one_in_place() -> Program {
    let mut p = Program::new();
    let x = p.made(&[4, 64]);
    let first = p.view(x, &[256], 0);
    let second = p.view(x, &[64, 4], 0);
    let y = p.tanh(first);
    let z = p.apply(Binary::Add, &[second, second]);
    p.keep(y);
    p.keep(z);
    let again = p.tanh(z);
    let later = p.apply(Scale { factor: 3.0 }, &[again]);
    p.keep(later);
    p
}

/// The same where the op must overwrite: the view is copied.
fn two_views_and_one_that_must_be_overwritten() -> Program {
    let mut p = Program::new();
    let x = p.made(&[4, 64]);
    let whole = p.view(x, &[16, 16], 0);
    let [a, b] = [p.input(&[16, 5]), p.input(&[5, 16])];
    let add = Matmul { accumulate: true, ..Matmul::new(Layout::Nn) };
    let y = p.apply(add.clone(), &[a, b, whole]);
    let part = p.view(x, &[2, 64], 128);
    let sum = p.apply(add, &[a, b, y]);
    let t = p.tanh(part);
    p.keep(sum);
    p.keep(t);
    p
}

/// An op that must overwrite a part of a value of which the rest is read before.
fn a_part_that_must_be_overwritten() -> Program {
    let mut p = Program::new();
    let x = p.made(&[2, 64]);
    let rest = p.view(x, &[64], 64);
    let t = p.tanh(rest);
    let part = p.view(x, &[8, 8], 0);
    let [a, b] = [p.input(&[8, 3]), p.input(&[3, 8])];
    let y = p.apply(Matmul { accumulate: true, ..Matmul::new(Layout::Nn) }, &[a, b, part]);
    // Not kept itself, so that it could lie where the part does.
    let doubled = p.apply(Binary::Add, &[y, y]);
    p.keep(t);
    p.keep(doubled);
    p
}

/// An op that must overwrite a value that it also reads by another name.
fn a_factor_that_is_a_view_of_what_is_added_to() -> Program {
    let mut p = Program::new();
    let x = p.made(&[16, 16]);
    let flat = p.view(x, &[256], 0);
    let factor = p.view(flat, &[16, 16], 0);
    let w = p.input(&[16, 16]);
    let y = p.apply(Matmul { accumulate: true, ..Matmul::new(Layout::Nn) }, &[factor, w, x]);
    let doubled = p.apply(Binary::Add, &[y, y]);
    p.keep(doubled);
    p
}

/// An op that may overwrite a value, but reads a row of it for all of its rows.
fn a_row_added_to_every_row() -> Program {
    let mut p = Program::new();
    let x = p.made(&[4, 64]);
    let row = p.view(x, &[64], 64);
    let y = p.apply(Binary::Add, &[x, row]);
    let doubled = p.apply(Binary::Add, &[y, y]);
    p.keep(doubled);
    p
}

/// Views of views, aligned and not, of an input, and a view that is a result itself.
fn views_of_views() -> Program {
    let mut p = Program::new();
    let x = p.input(&[8, 64]);
    let lower = p.view(x, &[4, 64], 256);
    let row = p.apply(Slice { axis: 0, start: 1, len: 1 }, &[lower]);
    let square = p.view(row, &[8, 8], 0);
    let odd = p.apply(Slice { axis: 0, start: 3, len: 3 }, &[square]);
    let column = p.apply(Slice { axis: 1, start: 2, len: 5 }, &[odd]);
    let turned = p.apply(Transpose { axes: [0, 1] }, &[column]);
    let pair = p.apply(Concat { axis: 1 }, &[turned, turned]);
    let doubled = p.apply(Binary::Add, &[square, square]);
    for value in [lower, doubled, pair] {
        p.keep(value);
    }
    p
}

/// The gradient of a loss that sees its input through views only.
fn gradient_through_views() -> Program {
    let mut p = Program::new();
    let x = p.input(&[4, 64]);
    let flat = p.view(x, &[256], 0);
    let t = p.tanh(flat);
    let top = p.view(t, &[8, 8], 0);
    let odd = p.view(t, &[8, 8], 37);
    let product = p.apply(Matmul::new(Layout::Nn), &[top, odd]);
    let loss = p.apply(Sum { scale: 1.0, accumulate: false }, &[product]);
    let dx = differentiate(&mut p.graph, loss, &[x])[0].unwrap();
    p.keep(dx);
    p.keep(loss);
    p
}

fn programs() -> [Program; 7] {
    [
        two_views_and_one_in_place(),
        two_views_and_one_that_must_be_overwritten(),
        a_part_that_must_be_overwritten(),
        a_factor_that_is_a_view_of_what_is_added_to(),
        a_row_added_to_every_row(),
        views_of_views(),
        gradient_through_views(),
    ]
}

#[test]
fn what_is_seen_through_a_view_stays_right_on_the_host() {
    for program in programs() {
        for align in [4, 32, 256] {
            let plan = program.plan(align);
            plan.replay().unwrap();
            program.check(&mut Host::new(plan), 0.0);
        }
    }
}

#[test]
fn what_is_seen_through_a_view_stays_right_on_the_device() {
    let device = Device::open().unwrap();
    for program in programs() {
        let plan = program.plan_for(device.target());
        plan.replay().unwrap();
        // Sums of eight products and a tanh, in f32.
        program.check(&mut DeviceEngine::new(&device, plan).unwrap(), 4e-6);
    }
}

/// `tanh(x)` of something made, with or without other names for `x` on the way.
fn named_anew(views: bool) -> Program {
    let mut p = Program::new();
    let mut x = p.made(&[4, 64]);
    if views {
        x = p.view(x, &[256, 1], 0);
        x = p.apply(Transpose { axes: [0, 1] }, &[x]);
        x = p.apply(Concat { axis: 1 }, &[x]);
        x = p.view(x, &[4, 64], 0);
    }
    let y = p.tanh(x);
    let z = p.apply(Scale { factor: 0.5 }, &[y]);
    let z = p.apply(Scale { factor: 0.5 }, &[z]);
    p.keep(z);
    p
}

#[test]
fn a_reshape_costs_no_bytes_and_no_dispatch() {
    let [plain, viewed] = [named_anew(false), named_anew(true)].map(|p| p.plan(256));
    assert_eq!(viewed.dispatches("program"), plain.dispatches("program"));
    assert_eq!(viewed.planned_bytes(), plain.planned_bytes());
    // All of it in place: one tenant.
    assert_eq!(viewed.tenants.len(), 1);
    viewed.replay().unwrap();
}

/// Dispatches of two slices of the rows of `x (8, cols)` from `start` on, planned for `align`.
fn dispatches(cols: u32, start: u32, align: u32) -> usize {
    let mut p = Program::new();
    let x = p.made(&[8, cols]);
    let [a, b] = [start, start + 1].map(|start| p.apply(Slice { axis: 0, start, len: 2 }, &[x]));
    let sum = p.apply(Binary::Add, &[a, b]);
    p.keep(sum);
    let plan = p.plan(align);
    plan.replay().unwrap();
    p.check(&mut Host::new(plan.clone()), 0.0);
    plan.dispatches("program")
}

#[test]
fn a_slice_is_copied_only_where_no_binding_may_begin() {
    // To make it and to add: two. Each slice at an odd place is one more.
    assert_eq!(dispatches(64, 3, 256), 2);
    assert_eq!(dispatches(32, 4, 256), 3);
    assert_eq!(dispatches(33, 3, 256), 4);
    assert_eq!(dispatches(4, 3, 16), 2);
    // Kernels may read four numbers at once, so the device's own wish is not enough.
    assert_eq!(dispatches(2, 1, 4), 3);
}

#[test]
fn a_view_that_is_stored_is_a_copy_and_what_it_shows_is_left_alone() {
    let mut p = Program::new();
    let x = p.input(&[4, 64]);
    let whole = p.view(x, &[256], 0);
    p.keep(whole);
    p.keep(whole);
    let plan = p.plan(256);
    assert_eq!(plan.dispatches("program"), 2);
    plan.replay().unwrap();
    let mut host = Host::new(plan);
    p.check(&mut host, 0.0);
    let slot = p.graph[x].home.unwrap().slot;
    assert_eq!(decode(&host.download(slot, 0).unwrap(), &p.graph[x].ty), p.given[&x]);
}

#[test]
fn a_view_of_an_input_is_copied_before_it_is_overwritten() {
    let mut p = Program::new();
    let x = p.input(&[64]);
    let [a, b] = [p.input(&[8, 3]), p.input(&[3, 8])];
    let whole = p.view(x, &[8, 8], 0);
    let y = p.apply(Matmul { accumulate: true, ..Matmul::new(Layout::Nn) }, &[a, b, whole]);
    let doubled = p.apply(Binary::Add, &[y, y]);
    p.keep(doubled);
    let plan = p.plan(256);
    assert_eq!(plan.dispatches("program"), 3);
    plan.replay().unwrap();
    p.check(&mut Host::new(plan), 0.0);
}

#[test]
fn a_view_overwritten_without_protection_is_caught() {
    let unprotected = [
        two_views_and_one_that_must_be_overwritten(),
        a_part_that_must_be_overwritten(),
        a_factor_that_is_a_view_of_what_is_added_to(),
    ];
    for program in unprotected {
        let target = Target::profile("webgpu-default").unwrap();
        let plan = Plan::new(program.graph, &target, Staging::for_traffic(0, 0, 0, u64::MAX));
        assert!(plan.replay().is_err());
    }
}
