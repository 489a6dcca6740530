//! Each op's gradient rule against central differences, in `f64`, on every specimen.

#![allow(clippy::cast_possible_truncation, reason = "ids are given to references as floats")]

mod common;

use std::collections::HashMap;

use common::{inputs_of, one_op, run};
use plimsoll::autodiff::differentiate;
use plimsoll::graph::Graph;
use plimsoll::ids::ValueId;
use plimsoll::ops::{Binary, Fill, Op, Specimen, Sum};
use plimsoll::random::{Purpose, Stream};
use plimsoll::tensor::TensorType;

/// `loss = sum over the outputs asked for of weights * output`, the weights drawn once.
fn with_loss(
    graph: &mut Graph,
    specimen: &Specimen,
    outputs: &[ValueId],
    given: &mut HashMap<ValueId, Vec<f64>>,
) -> ValueId {
    let mut loss = None;
    for &i in &specimen.through {
        let ty = graph[outputs[i]].ty.clone();
        let weights = graph.held("weights", plimsoll::graph::Role::Input, ty.clone(), 1);
        let mut stream = Stream::new(11, Purpose::Data, i as u64);
        given.insert(weights, (0..ty.len()).map(|_| stream.next_f64() * 2.0 - 1.0).collect());
        let product = graph.apply_one(Binary::Mul, &[outputs[i], weights]).unwrap();
        let part = graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[product]).unwrap();
        loss = Some(loss.map_or(part, |so_far| graph.apply_one(Binary::Add, &[so_far, part]).unwrap()));
    }
    loss.expect("a specimen's loss flows through some output")
}

fn check(specimen: &Specimen) {
    let mut one = one_op(specimen);
    let mut given: HashMap<_, _> = one.inputs.iter().copied().zip(inputs_of(specimen)).collect();
    let loss = with_loss(&mut one.graph, specimen, &one.outputs, &mut given);
    let forward = one.graph.current_nodes().to_vec();
    let wanted: Vec<ValueId> = specimen.differentiable.iter().map(|&i| one.inputs[i]).collect();
    let gradients = differentiate(&mut one.graph, loss, &wanted);
    derive_inputs(&one.graph, &mut given);
    let all = run(&one.graph, one.graph.current_nodes(), &given);
    for (x, gradient) in wanted.into_iter().zip(gradients) {
        let gradient = gradient.unwrap_or_else(|| panic!("{specimen:?} has no gradient for {x}"));
        assert_eq!(one.graph[gradient].ty, one.graph[x].ty, "{specimen:?}: the gradient for {x}");
        let count = given[&x].len();
        // A few elements of large inputs, all of small ones.
        for i in (0..count).step_by(1 + count / 40) {
            let at = given[&x][i];
            let mut loss_at = |v| {
                given.get_mut(&x).unwrap()[i] = v;
                run(&one.graph, &forward, &given)[&loss][0]
            };
            let h = 1e-5;
            let slope = (loss_at(at + h) - loss_at(at - h)) / (2.0 * h);
            loss_at(at);
            let found = all[&gradient][i];
            // Truncation is of order h², cancellation of order 1e-16 / h.
            assert!((slope - found).abs() < 1e-7 * slope.abs().max(1.0), "{:?} {x}[{i}]: {slope} {found}", specimen.op);
        }
    }
}

/// What the host works out from ids, here from what the specimen's ids are.
fn derive_inputs(graph: &Graph, given: &mut HashMap<ValueId, Vec<f64>>) {
    for value in graph.value_ids() {
        let Some(home) = graph[value].home else { continue };
        let Some(derived) = &graph[home.slot].derived else { continue };
        let source = graph.value_ids().find(|v| graph[*v].home.is_some_and(|h| h.slot == derived.from)).unwrap();
        let ids: Vec<u32> = given[&source].iter().map(|&x| x as u32).collect();
        given.insert(value, derived.how.compute(&ids[derived.elements.clone()]).into_iter().map(f64::from).collect());
    }
}

#[test]
fn every_gradient_rule_agrees_with_central_differences() {
    let specimens = Op::specimens();
    let checked: Vec<&Specimen> = specimens.iter().filter(|s| !s.differentiable.is_empty()).collect();
    for specimen in &checked {
        check(specimen);
    }
    assert!(checked.len() > 40, "only {} specimens have gradients to check", checked.len());
}

#[test]
fn the_gradient_of_the_loss_itself_is_taken_without_a_multiplication() {
    let specimens = Op::specimens();
    let mut met = 0;
    for specimen in specimens.iter().filter(|s| matches!(s.op, Op::CrossEntropy(_) | Op::ElementwiseLoss(_))) {
        if specimen.differentiable.is_empty() {
            continue;
        }
        let mut one = one_op(specimen);
        let loss = one.outputs[0];
        let gradient = differentiate(&mut one.graph, loss, &[one.inputs[0]])[0];
        assert_eq!(gradient, Some(one.outputs[1]), "{specimen:?}");
        met += 1;
    }
    assert!(met > 2);
}

#[test]
fn a_value_used_twice_gets_both_gradients() {
    let mut graph = Graph::default();
    graph.begin("program");
    let x = graph.held("x", plimsoll::graph::Role::Input, TensorType::f32(&[3]), 1);
    let y = graph.apply_one(Binary::Mul, &[x, x]).unwrap();
    let z = graph.apply_one(Binary::Add, &[y, x]).unwrap();
    let loss = graph.apply_one(Sum { scale: 1.0, accumulate: false }, &[z]).unwrap();
    let dx = differentiate(&mut graph, loss, &[x])[0].unwrap();
    let given = HashMap::from([(x, vec![1.0, -2.0, 0.5])]);
    assert_eq!(run(&graph, graph.current_nodes(), &given)[&dx], [3.0, -3.0, 2.0]);
}

#[test]
fn what_the_loss_does_not_depend_on_has_no_gradient() {
    let mut graph = Graph::default();
    graph.begin("program");
    let x = graph.held("x", plimsoll::graph::Role::Input, TensorType::f32(&[1]), 1);
    let y = graph.held("y", plimsoll::graph::Role::Input, TensorType::f32(&[1]), 1);
    let z = graph.apply_one(Fill { value: 2.0, shape: vec![1] }, &[]).unwrap();
    let loss = graph.apply_one(Binary::Mul, &[x, z]).unwrap();
    assert_eq!(differentiate(&mut graph, loss, &[y]), [None]);
}
