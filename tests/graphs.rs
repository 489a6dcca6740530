//! Random small graphs: gradients against central differences, plans against no plan, the device
//! against the host.

#![allow(clippy::cast_possible_truncation, reason = "small graphs")]

mod common;

use std::collections::HashMap;

use common::{Numbers, difference, run, run_stored};
use plimsoll::autodiff::differentiate;
use plimsoll::device::{Device, DeviceEngine};
use plimsoll::engine::{Engine, Held};
use plimsoll::graph::{Graph, Role};
use plimsoll::host::{Host, decode};
use plimsoll::ids::{NodeId, ValueId};
use plimsoll::narrow::narrow;
use plimsoll::ops::matmul::{Layout, Matmul};
use plimsoll::ops::{
    Activation, Binary, ColumnSum, Concat, Function, Op, Scale, ShapeError, Slice, Sum, Term, Transpose, View,
};
use plimsoll::plan::{Plan, Staging, ordered};
use plimsoll::random::{Purpose, Stream};
use plimsoll::target::Target;
use plimsoll::tensor::{DType, TensorType};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// What one node is made from: which kind of op, on which values, and two numbers for its fields.
type Choice = (u8, u16, u16, u8, u8);

/// Kinds of ops that [`Random::op`] knows.
const KINDS: u8 = 14;

/// No tensor has more elements than this, and no number is greater than that.
const MOST: (u64, f64) = (160, 30.0);

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    let choice = (0..KINDS, any::<u16>(), any::<u16>(), any::<u8>(), any::<u8>());
    prop::collection::vec(choice, 5..=15)
}

/// A graph in the making.
struct Random {
    graph: Graph,
    inputs: Vec<ValueId>,
    given: Numbers,
    /// What nodes may be applied to, and the greatest number it can hold.
    pool: Vec<(ValueId, f64)>,
    kept: Vec<ValueId>,
}

impl Random {
    fn input(&mut self, shape: &[u32]) -> ValueId {
        let ty = TensorType::f32(shape);
        let mut stream = Stream::new(5, Purpose::Data, self.inputs.len() as u64);
        let numbers = (0..ty.len()).map(|_| f64::from((stream.next_f64() * 2.0 - 1.0) as f32)).collect();
        let value = self.graph.held(&format!("input {}", self.inputs.len()), Role::Input, ty, 1);
        self.given.insert(value, numbers);
        self.inputs.push(value);
        value
    }

    fn shape(&self, value: ValueId) -> Vec<u32> {
        self.graph[value].ty.shape.clone()
    }

    /// The first of the pool from position `from` on that `op` takes beside `first`.
    fn partner(&self, op: &Op, first: ValueId, from: u16) -> (ValueId, f64) {
        let from = usize::from(from) % self.pool.len();
        let fits = |v: &ValueId| op.rule().outputs(&self.graph.types(&[first, *v])).is_ok();
        let around = self.pool[from..].iter().chain(&self.pool[..from]);
        around.copied().find(|(v, _)| fits(v)).unwrap_or((first, 1.0))
    }

    /// An op for this choice with its inputs and the greatest number it can make.
    fn op(&mut self, (kind, a, b, n, m): Choice) -> (Op, Vec<ValueId>, f64) {
        // Half of them follow on what was made last, so that chains grow and little is read twice.
        let reach = if a.is_multiple_of(2) { self.pool.len() } else { 3 };
        let (x, most) = self.pool[self.pool.len() - 1 - usize::from(a / 2) % reach];
        let shape = self.shape(x);
        let len = self.graph[x].ty.len();
        let axis = usize::from(m) % shape.len();
        let last = shape[shape.len() - 1];
        let below = |n: u8, limit: u64| u64::from(n) % limit;
        match kind {
            0 | 1 => {
                let layout = [Layout::Nn, Layout::Nt, Layout::Tn][usize::from(n) % 3];
                let function = [Function::Identity, Function::Tanh][usize::from(m) % 2];
                let op: Op = Matmul { function, ..Matmul::new(layout) }.into();
                let (y, other) = self.partner(&op, x, b);
                let depth = if layout == Layout::Tn { len / u64::from(last) } else { last.into() };
                let most = if function == Function::Tanh { 1.0 } else { most * other * depth as f64 };
                (op, vec![x, y], most)
            }
            2 | 3 => {
                let op = [Binary::Add, Binary::Sub, Binary::Mul][usize::from(n) % 3];
                let (y, other) = self.partner(&op.into(), x, b);
                (op.into(), vec![x, y], if op == Binary::Mul { most * other } else { most + other })
            }
            4 => {
                let function = [Function::Tanh, Function::Sigmoid][usize::from(n) % 2];
                (Activation { function }.into(), vec![x], 1.0)
            }
            5 => {
                let divisors: Vec<u32> = (1..=len as u32).filter(|d| len.is_multiple_of(u64::from(*d))).collect();
                let rows = divisors[usize::from(n) % divisors.len()];
                (View::reshape(&[rows, len as u32 / rows]).into(), vec![x], most)
            }
            6 => {
                // Half of them where a binding may begin.
                let offset =
                    below(n, len) / if m.is_multiple_of(2) { 4 } else { 1 } * if m.is_multiple_of(2) { 4 } else { 1 };
                let taken = 1 + below(m, len - offset);
                (View { shape: vec![taken as u32], offset }.into(), vec![x], most)
            }
            7 => {
                let start = below(n, shape[axis].into()) as u32;
                let len = 1 + below(m, u64::from(shape[axis] - start)) as u32;
                (Slice { axis, start, len }.into(), vec![x], most)
            }
            8 => {
                let op: Op = Concat { axis }.into();
                let (y, other) = self.partner(&op, x, b);
                let inputs = if n.is_multiple_of(2) { vec![x, y] } else { vec![y, x, y] };
                (op, inputs, most.max(other))
            }
            9 => (Transpose { axes: [axis, usize::from(n) % shape.len()] }.into(), vec![x], most),
            10 => {
                // Onto another, in place.
                let op: Op = ColumnSum { accumulate: true }.into();
                let (y, other) = self.partner(&op, x, b);
                (op, vec![x, y], most * (len / u64::from(last)) as f64 + other)
            }
            11 | 12 => {
                let depth = 1 + u32::from(n) % 3;
                let factors = [[&shape[..shape.len() - 1], &[depth]].concat(), vec![depth, last]];
                let [p, q] = factors.map(|shape| self.input(&shape));
                let op = Matmul { accumulate: true, ..Matmul::new(Layout::Nn) };
                (op.into(), vec![p, q, x], most + f64::from(depth))
            }
            _ => (Scale { factor: f32::from(n) / 256.0 - 0.5 }.into(), vec![x], most),
        }
    }

    fn grow(&mut self, choice: Choice) -> Result<(), ShapeError> {
        let (op, inputs, most) = self.op(choice);
        let types = op.rule().outputs(&self.graph.types(&inputs))?;
        if types[0].len() > MOST.0 || most > MOST.1 {
            return Ok(());
        }
        let made = self.graph.apply_one(op, &inputs)?;
        self.pool.push((made, most));
        Ok(())
    }

    /// Has `value` stay in memory, and be compared.
    fn keep(&mut self, value: ValueId) {
        let bytes = self.graph[value].ty.bytes();
        let slot = self.graph.slot(format!("result {}", self.kept.len()), Role::Result, bytes, 1);
        let stored = self.graph.store(value, slot, 0);
        self.kept.push(stored);
    }
}

/// A random program with its gradients.
struct Case {
    graph: Graph,
    given: Numbers,
    forward: Vec<NodeId>,
    loss: ValueId,
    gradients: Vec<(ValueId, ValueId)>,
    kept: Vec<ValueId>,
}

/// Inputs whose sizes are multiples of four, and inputs whose sizes are not, so that in halves two threads
/// share a word.
const SHAPES: [[&[u32]; 4]; 3] =
    [[&[4, 4], &[2, 3, 4], &[8, 8], &[4]], [&[3, 5], &[2, 3, 5], &[5, 5], &[5]], [&[2, 5], &[2, 2, 5], &[5, 4], &[5]]];

/// What the choices make of these inputs: each that fits is a node, every value no one reads is part of the loss,
/// and some stay in memory beside the gradients.
fn case(choices: &[Choice], shapes: [&[u32]; 4]) -> Case {
    case_with(choices, shapes, |_, _, _| ())
}

/// The same with what is done before anything stays in memory, given the loss and its gradients.
fn case_with(choices: &[Choice], shapes: [&[u32]; 4], then: impl FnOnce(&mut Random, ValueId, &[ValueId])) -> Case {
    let graph = Graph::default();
    let mut random = Random { graph, inputs: Vec::new(), given: Numbers::new(), pool: Vec::new(), kept: Vec::new() };
    random.graph.begin("program");
    for shape in shapes {
        let value = random.input(shape);
        random.pool.push((value, 1.0));
    }
    for &choice in choices {
        // A choice that fits nothing is none.
        let _ = random.grow(choice);
    }
    let nodes = random.graph.current_nodes().to_vec();
    let read = |v: ValueId| nodes.iter().any(|n| random.graph[*n].site.inputs.contains(&v));
    let leaves: Vec<ValueId> = random.pool.iter().map(|(v, _)| *v).filter(|v| !read(*v)).collect();
    let mut loss = None;
    for leaf in leaves {
        // Not a plain sum, whose gradient is the same everywhere.
        let square = random.graph.apply_one(Binary::Mul, &[leaf, leaf]).unwrap();
        let part = random.graph.apply_one(Sum { scale: 0.125, accumulate: false }, &[square]).unwrap();
        loss = Some(loss.map_or(part, |so_far| random.graph.apply_one(Binary::Add, &[so_far, part]).unwrap()));
    }
    let loss = loss.expect("a graph has a value that is not read");
    let forward = random.graph.current_nodes().to_vec();
    let inputs = random.inputs.clone();
    let found = differentiate(&mut random.graph, loss, &inputs);
    let gradients: Vec<(ValueId, ValueId)> =
        inputs.into_iter().zip(found).filter_map(|(x, gradient)| Some((x, gradient?))).collect();
    then(&mut random, loss, &gradients.iter().map(|(_, g)| *g).collect::<Vec<_>>());
    let some = random.pool.iter().map(|(v, _)| *v).step_by(3);
    let kept: Vec<ValueId> = some.chain([loss]).chain(gradients.iter().map(|(_, g)| *g)).collect();
    kept.into_iter().for_each(|value| random.keep(value));
    let Random { graph, given, kept, .. } = random;
    Case { graph, given, forward, loss, gradients, kept }
}

impl Case {
    fn plan(&self, target: &Target) -> Plan {
        self.plan_with(target, |_| ())
    }

    /// The same with whatever can be kept in halves so, results among them.
    fn plan_in_halves(&self, target: &Target) -> Plan {
        self.plan_with(target, |graph| narrow(graph, |graph, slot| graph[slot].role == Role::Result))
    }

    /// The same in at most so many `blocks`, all but the last made again on the way back.
    fn recomputed(&self, blocks: u32) -> Self {
        let mut graph = self.graph.clone();
        graph.recompute(0..self.forward.len(), blocks, &std::collections::HashSet::new());
        let (given, forward, gradients) = (self.given.clone(), self.forward.clone(), self.gradients.clone());
        Self { graph, given, forward, loss: self.loss, gradients, kept: self.kept.clone() }
    }

    fn plan_with(&self, target: &Target, change: impl Fn(&mut Graph)) -> Plan {
        let mut graph = self.graph.clone();
        graph.protect();
        change(&mut graph);
        Plan::new(graph, target, Staging::for_traffic(1 << 14, 1 << 14, 0, u64::MAX))
    }

    /// Each gradient against the loss a little to either side.
    fn gradients_agree(&self) -> Result<(), TestCaseError> {
        let all = run(&self.graph, self.graph.current_nodes(), &self.given);
        let mut given = self.given.clone();
        for &(x, gradient) in &self.gradients {
            let scale = all[&gradient].iter().fold(all[&self.loss][0].abs().max(1.0), |m, g| m.max(g.abs()));
            for i in (0..given[&x].len()).step_by(1 + given[&x].len() / 8) {
                let at = given[&x][i];
                let mut loss_at = |v| {
                    given.get_mut(&x).unwrap()[i] = v;
                    run(&self.graph, &self.forward, &given)[&self.loss][0]
                };
                let h = 1e-5;
                let slope = (loss_at(at + h) - loss_at(at - h)) / (2.0 * h);
                loss_at(at);
                let found = all[&gradient][i];
                // Truncation is of order h² times the third derivative of a product of many.
                prop_assert!((slope - found).abs() < 1e-6 * scale, "{x}[{i}]: {slope}, not {found}");
            }
        }
        Ok(())
    }

    /// What the program keeps after a run, and what it should keep.
    fn outcome(&self, engine: &mut dyn Engine) -> Vec<(Vec<f64>, Vec<f64>)> {
        let graph = engine.plan().graph.clone();
        let wanted = run_stored(&graph, graph.current_nodes(), &self.given);
        let slot_of = |v: ValueId| self.graph[v].home.unwrap().slot;
        for (&value, numbers) in &self.given {
            engine.upload(slot_of(value), 0, 0, &common::bytes_of(numbers, &self.graph[value].ty)).unwrap();
        }
        engine.run(0, 0).unwrap();
        let found = |v: &ValueId| {
            let mut numbers = decode(&engine.download(slot_of(*v), 0).unwrap(), &graph[*v].ty);
            // A slot of halves ends with a whole word.
            numbers.truncate(graph[*v].ty.len() as usize);
            numbers
        };
        self.kept.iter().map(found).zip(self.kept.iter().map(|v| wanted[v].clone())).collect()
    }
}

/// Devices that let bindings begin at multiples of these, so that more or fewer views are copies.
fn targets() -> [Target; 2] {
    [16, 256].map(|align| {
        let mut target = Target::profile("webgpu-default").unwrap();
        target.limits.min_storage_buffer_offset_alignment = align;
        target
    })
}

proptest! {
    #![proptest_config(Config { cases: 768, failure_persistence: None, ..Config::default() })]

    #[test]
    fn gradients_agree_with_central_differences(choices in choices()) {
        case(&choices, SHAPES[0]).gradients_agree()?;
    }

    #[test]
    fn a_planned_program_computes_what_its_nodes_compute_without_a_plan(choices in choices()) {
        let case = case(&choices, SHAPES[0]);
        for target in targets() {
            let plan = case.plan(&target);
            prop_assert_eq!(plan.replay(), Ok(()));
            for (found, wanted) in case.outcome(&mut Host::new(plan)) {
                prop_assert_eq!(found, wanted);
            }
        }
    }
}

/// What is made again is what it was: as values of one program with less in memory, in full and in halves.
#[test]
fn what_is_recomputed_on_the_way_back_is_the_same_to_the_bit() {
    let mut runner = TestRunner::deterministic();
    let mut again = 0;
    for round in 0..512 {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        let case = case(&choices, SHAPES[round % 3]);
        let recomputed = case.recomputed(2 + (round % 4) as u32);
        again += usize::from(recomputed.graph.current_nodes().len() > case.graph.current_nodes().len());
        let target = &targets()[round % 2];
        for halves in [false, true] {
            let plan = |case: &Case| if halves { case.plan_in_halves(target) } else { case.plan(target) };
            let plans = [plan(&case), plan(&recomputed)];
            plans[1].replay().unwrap();
            let [wanted, found] = plans.map(|plan| case.outcome(&mut Host::new(plan)));
            for ((wanted, _), (found, nodes)) in wanted.iter().zip(&found) {
                assert_eq!(found, wanted, "{choices:?}");
                assert_eq!(found, nodes, "{choices:?}");
            }
        }
    }
    assert!(again > 128, "something is made again in {again} of 512");
}

/// Gradients are no longer than what they are judged by before they are made, and to the bit what they are without that,
/// in this order and in one that takes less.
#[test]
fn gradients_that_are_judged_before_they_are_made_are_within_their_bound_and_the_same() {
    let mut runner = TestRunner::deterministic();
    let (mut late, mut bounded) = (0, 0);
    for round in 0..512 {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        let shapes = SHAPES[round % 3];
        let target = &targets()[round % 2];
        for halves in [false, true] {
            let plain = case(&choices, shapes);
            let mut all = Vec::new();
            let judged = case_with(&choices, shapes, |random, loss, gradients| {
                let scaler = random.graph.held("scaler", Role::Input, TensorType::f32(&[4]), 1);
                random.given.insert(scaler, vec![8.0, 0.0, 0.0, 0.0]);
                let judged = random.graph.judge(gradients, [loss, scaler], halves);
                all = gradients.to_vec();
                let sorted = |values: &[ValueId]| values.iter().copied().collect::<std::collections::BTreeSet<_>>();
                assert_eq!(sorted(&judged.order), sorted(gradients));
            });
            let nodes = judged.graph.current_nodes();
            let numbers = run(&judged.graph, nodes, &judged.given);
            let at = nodes.iter().position(|n| matches!(judged.graph[*n].op, Op::GradientBound(_))).unwrap();
            let node = &judged.graph[nodes[at]];
            let Op::GradientBound(op) = &node.op else { panic!("it is the judgement") };
            let square = |value: &ValueId| numbers[value].iter().map(|x| x * x).sum::<f64>();
            let term = |term: &Term| {
                let factors = term.factors.iter().map(|&i| square(&node.site.inputs[i])).product::<f64>();
                f64::from(term.times) * factors
            };
            let (most, found) = (op.terms.iter().map(term).sum::<f64>(), all.iter().map(square).sum::<f64>());
            assert!(found <= most * (1.0 + 1e-6), "{choices:?}: {found} of {most}");
            assert_eq!(numbers[&node.site.outputs[0]], [0.0, 0.125], "{choices:?}");
            let made = |g: &ValueId| judged.graph[*g].producer.and_then(|(n, _)| nodes.iter().position(|m| *m == n));
            late += usize::from(all.iter().any(|g| made(g).is_some_and(|made| made > at)));
            bounded += op.terms.iter().filter(|term| term.factors.len() == 2).count();
            let plan = |case: &Case| if halves { case.plan_in_halves(target) } else { case.plan(target) };
            let (wanted, found) = (plan(&plain), plan(&judged));
            let graph = ordered(found.graph.clone(), target, found.staging);
            let ordered = Plan::new(graph, target, found.staging);
            let [wanted, found, ordered] =
                [(wanted, &plain), (found, &judged), (ordered, &judged)].map(|(plan, case)| {
                    plan.replay().unwrap();
                    case.outcome(&mut Host::new(plan))
                });
            for ((wanted, found), ordered) in wanted.iter().zip(&found).zip(&ordered) {
                assert_eq!(found.0, wanted.0, "{choices:?}");
                assert_eq!(ordered.0, wanted.0, "{choices:?}");
            }
        }
    }
    println!("{late} with gradients behind the judgement, {bounded} products of lengths");
    assert!(late > 128 && bounded > 128, "{late} with gradients behind the judgement, {bounded} products of lengths");
}

/// Another order is another order and nothing else: no number changes, and no plan takes more.
#[test]
fn nodes_in_an_order_that_takes_less_compute_the_same_to_the_bit() {
    let mut runner = TestRunner::deterministic();
    let (mut reordered, mut lower) = (0, 0);
    for round in 0..512 {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        let case = case(&choices, SHAPES[round % 3]);
        let target = &targets()[round % 2];
        for halves in [false, true] {
            let written = if halves { case.plan_in_halves(target) } else { case.plan(target) };
            let mut graph = written.graph.clone();
            reordered += usize::from(graph.order_for_memory());
            let any_order = Plan::new(graph, target, written.staging);
            let graph = ordered(written.graph.clone(), target, written.staging);
            let taken = Plan::new(graph, target, written.staging);
            assert!(taken.planned_bytes() <= written.planned_bytes(), "{choices:?}");
            lower += usize::from(taken.planned_bytes() < written.planned_bytes());
            let [wanted, any, found] = [written, any_order, taken].map(|plan| {
                plan.replay().unwrap();
                case.outcome(&mut Host::new(plan))
            });
            for ((wanted, any), found) in wanted.iter().zip(&any).zip(&found) {
                assert_eq!(any.0, wanted.0, "{choices:?}");
                assert_eq!(found.0, wanted.0, "{choices:?}");
            }
        }
    }
    println!("{reordered} in another order, {lower} of them take less");
    assert!(reordered > 256 && lower > 128, "{reordered} in another order, {lower} of them take less");
}

#[test]
fn random_graphs_reach_every_kind_of_op_and_views_of_both_sorts() {
    let mut runner = TestRunner::deterministic();
    let mut met: HashMap<&str, usize> = HashMap::new();
    let (mut views, mut copies) = (0, 0);
    for _ in 0..64 {
        let case = case(&choices().new_tree(&mut runner).unwrap().current(), SHAPES[0]);
        for &node in &case.forward {
            *met.entry(case.graph[node].op.rule().name()).or_default() += 1;
        }
        let plan = case.plan(&targets()[0]);
        views += plan.schedule.views.len();
        let nodes = plan.schedule.steps.iter().map(|s| &plan.graph[s.node]);
        copies += nodes.filter(|n| n.op.rule().view(&plan.graph.types(&n.site.inputs)).is_some()).count();
    }
    let kinds = ["matmul", "add", "subtract", "multiply", "activation", "view", "slice", "concat", "transpose"];
    for kind in kinds.iter().chain(&["column sum", "scale", "sum"]) {
        assert!(met.get(kind).is_some_and(|n| *n >= 8), "{kind} is met too seldom: {met:?}");
    }
    assert!(views > 64 && copies > 64, "{views} views, {copies} copies");
}

#[test]
fn the_device_computes_what_the_host_does_in_the_bytes_the_plan_says() {
    let device = Device::open().unwrap();
    let mut runner = TestRunner::deterministic();
    for _ in 0..8 {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        let case = case(&choices, SHAPES[0]);
        let plan = case.plan(device.target());
        plan.replay().unwrap();
        let bytes = plan.planned_bytes();
        let mut engine = DeviceEngine::new(&device, plan).unwrap();
        for (found, wanted) in case.outcome(&mut engine) {
            let off = difference(&found, &wanted);
            // A dozen products and sums one after the other, each rounded to f32, and back again.
            assert!(off < 2e-5, "off by {off:.1e} in {choices:?}");
        }
        let held: Held = engine.held().expect("wgpu counts");
        assert_eq!(held.bytes, bytes);
    }
}

#[test]
fn in_halves_too_and_at_sizes_where_threads_share_a_word() {
    let device = Device::open().unwrap();
    let mut runner = TestRunner::deterministic();
    let (mut narrowed, mut all) = (0, 0);
    for round in 0..36 {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        let case = case(&choices, SHAPES[round % 3]);
        // Half by half, where the device can, in one of four.
        let shader_f16 = device.target().shader_f16 && round % 4 == 0;
        let plan = case.plan_in_halves(&Target { shader_f16, ..device.target().clone() });
        plan.replay().unwrap();
        all += plan.graph.value_ids().count();
        narrowed += plan.graph.value_ids().filter(|&v| plan.graph[v].ty.dtype == DType::F16).count();
        let mut host = Host::new(plan.clone());
        for (found, wanted) in case.outcome(&mut host) {
            assert_eq!(found, wanted, "{choices:?}");
        }
        for (found, wanted) in case.outcome(&mut DeviceEngine::new(&device, plan).unwrap()) {
            let off = difference(&found, &wanted);
            // Where a sum lies between two halves, one may be taken here and the other there.
            assert!(off < 2e-3, "off by {off:.1e} in {choices:?}");
        }
    }
    assert!(3 * narrowed > all, "{narrowed} of {all} values are halves");
}
