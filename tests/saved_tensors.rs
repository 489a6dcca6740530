//! The model of what PyTorch keeps for the way back, held against what it was seen to keep.
//!
//! `benches/peers/saved_tensors.py --json tests/data/saved_tensors.json` measures; see there.

use std::collections::BTreeMap;

use plimsoll::nn::{Cell, LayerKind, Recurrent, Task};
use plimsoll::ops::{Curve, Function};
use plimsoll::training::KeptByPytorch;
use plimsoll::{Model, Target, Training};
use serde_json::Value;

const MEASURED: &str = include_str!("data/saved_tensors.json");

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

#[allow(clippy::cast_possible_truncation, reason = "a share needs no more than 24 bits")]
fn share(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn recurrent(cell: Cell, settings: &[Value]) -> LayerKind {
    let mut spec = Recurrent::new(cell, number(&settings[1]));
    if let Some(options) = settings.get(2) {
        spec.layers = options.get("layers").map_or(1, number);
        spec.bidirectional = options.get("bidirectional").is_some_and(|b| b.as_bool().unwrap());
        spec.dropout = options.get("dropout").map_or(0.0, share);
    }
    LayerKind::Recurrent(spec)
}

/// The case's layers, named as the script names them.
fn model(case: &Value) -> Model {
    let mut model = Model::new();
    for settings in case["layers"].as_array().unwrap() {
        let settings = settings.as_array().unwrap();
        let name = settings[0].as_str().unwrap();
        let function = |function| LayerKind::Activation { function };
        let kind = match name {
            "embedding" => LayerKind::Embedding { size: number(&settings[1]), padding_idx: None },
            "lstm" => recurrent(Cell::Lstm, settings),
            "gru" => recurrent(Cell::Gru, settings),
            "rnn" => recurrent(Cell::Rnn(Function::Tanh), settings),
            "linear" => LayerKind::Linear {
                out_features: settings[1].as_u64().map(|_| number(&settings[1])),
                bias: true,
                tied: None,
            },
            "layer_norm" => LayerKind::LayerNorm { eps: 1e-5, affine: true, bias: true },
            "dropout" => LayerKind::Dropout { p: share(&settings[1]) },
            "tanh" => function(Function::Tanh),
            "relu" => function(Function::Relu),
            "sigmoid" => function(Function::Sigmoid),
            "gelu" => LayerKind::Curve { function: Curve::Gelu },
            "last" => LayerKind::Last,
            other => panic!("the script has a layer `{other}` that this test does not know"),
        };
        model = model.with(name, kind);
    }
    model
}

fn training(case: &Value) -> Training {
    let (model, batch) = (model(case), number(&case["batch"]));
    let whole = model.layers.iter().any(|layer| layer.kind == LayerKind::Last);
    let task = match (case["classes"].as_u64(), case["tokens"] == true) {
        (Some(_), true) => {
            let classes = number(&case["classes"]);
            if whole {
                Task::classification(1, classes).tokens(classes).whole_sequence()
            } else {
                Task::next_token(classes)
            }
        }
        (Some(_), false) => Task::classification(number(&case["features"]), number(&case["classes"])),
        (None, _) => Task::regression(number(&case["features"]), number(&case["numbers"])),
    };
    let training = Training::new(model, task, batch);
    Training { carry_state: false, sample: false, ..training }.window(number(&case["time"]).max(1))
}

fn cases() -> Vec<Value> {
    let measured: Value = serde_json::from_str(MEASURED).unwrap();
    assert_eq!(measured["torch"].as_str().unwrap().split('+').next(), Some("2.15.0"));
    measured["cases"].as_array().unwrap().clone()
}

#[test]
fn the_model_of_pytorch_is_what_pytorch_was_seen_to_keep_to_the_byte() {
    for case in cases() {
        let kept = training(&case).kept_by_pytorch().unwrap();
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for (layer, bytes) in case["saved"]["native"].as_object().unwrap() {
            seen.insert(layer.clone(), bytes.as_u64().unwrap());
        }
        // The batch lies in memory anyway, and is no layer's.
        seen.remove("batch");
        let kept: BTreeMap<String, u64> =
            kept.into_iter().map(|KeptByPytorch { layer, bytes }| (layer, bytes)).collect();
        assert_eq!(kept, seen, "{}", case["name"]);
    }
    assert!(cases().len() >= 12);
}

#[test]
fn what_is_kept_here_is_never_more_than_pytorch_was_seen_to_keep() {
    let target = Target::profile("webgpu-default").unwrap();
    for case in cases() {
        let training = training(&case);
        let pytorch: u64 = training.kept_by_pytorch().unwrap().iter().map(|kept| kept.bytes).sum();
        let ours: u64 = training.plan(&target).unwrap().plan.kept_for_backward().iter().map(|kept| kept.bytes).sum();
        assert!(ours <= pytorch, "{}: {ours} here and {pytorch} there", case["name"]);
    }
}

#[test]
fn a_tensor_that_two_layers_read_is_kept_once_and_what_is_put_side_by_side_anew() {
    let linear = |out| LayerKind::Linear { out_features: Some(out), bias: true, tied: None };
    let bytes = |model: Model| -> Vec<u64> {
        let kept = Training::new(model, Task::regression(3, 2), 10).kept_by_pytorch().unwrap();
        kept.iter().map(|kept| kept.bytes).collect()
    };
    // The first layer's input is the batch; its output is read by both of the next two, and kept by the first of them.
    let model = Model::new().linear(5).with("a", linear(4)).with("b", linear(4)).reading(&["linear"]);
    let both = model.clone().with("sum", LayerKind::Add).reading(&["a", "b"]).output();
    assert_eq!(bytes(both), [0, 200, 0, 0, 160, 80]);
    let beside = model.with("c", LayerKind::Concat).reading(&["a", "b"]).output();
    assert_eq!(bytes(beside), [0, 200, 0, 0, 320, 80]);
}

#[test]
fn what_torch_nn_does_not_have_is_not_modelled() {
    let gru = Recurrent::new(Cell::GruResetBefore, 8);
    let training = |model| Training::new(model, Task::next_token(5), 4).window(3);
    assert_eq!(training(Model::new().embedding(4).recurrent(gru).output()).kept_by_pytorch(), None);
    let known = training(Model::new().embedding(4).gru(8).output());
    assert!(known.kept_by_pytorch().is_some());
    assert_eq!(Training { lengths: true, ..known.clone() }.kept_by_pytorch(), None);
    assert_eq!(Training { learn: false, ..known }.kept_by_pytorch(), None);
}
