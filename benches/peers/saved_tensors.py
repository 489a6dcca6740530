"""What PyTorch's autograd keeps from the forward to the backward pass, layer by layer.

Every tensor that an operator saves goes through `torch.autograd.graph.saved_tensors_hooks`; a storage counts once,
for the layer that saves it first, and parameters do not count. What operators allocate beside that is not seen.

    python3 benches/peers/saved_tensors.py                  the table of README.md
    python3 benches/peers/saved_tensors.py --json FILE      every case, for tests/saved_tensors.rs
"""

import argparse
import collections
import json
import warnings

import torch
from torch import nn
from torch.nn import functional

# On CPUs PyTorch hands LSTMs to oneDNN unless told otherwise; "native" is what it does by itself.
PATHS = {"native": False, "onednn": True}

# The layers are Plimsoll's; sizes are odd so that no two products of them are the same by chance.
CASES = [
    {"name": "lstm", "time": 64, "batch": 32, "classes": 112, "tokens": True,
     "layers": [("embedding", 128), ("lstm", 256), ("linear", None)]},
    {"name": "gru", "time": 64, "batch": 32, "classes": 112, "tokens": True,
     "layers": [("embedding", 128), ("gru", 256), ("linear", None)]},
    {"name": "elman", "time": 64, "batch": 32, "classes": 112, "tokens": True,
     "layers": [("embedding", 128), ("rnn", 256), ("linear", None)]},
    {"name": "stacked_lstm", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("lstm", 11), ("lstm", 17), ("dropout", 0.3), ("linear", None)]},
    {"name": "stacked_gru", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("gru", 11), ("gru", 17), ("layer_norm",), ("linear", None)]},
    {"name": "stacked_elman", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("rnn", 11), ("rnn", 17), ("linear", None)]},
    {"name": "perceptron", "time": 0, "batch": 21, "classes": 7, "tokens": False, "features": 9,
     "layers": [("linear", 11), ("relu",), ("linear", 17), ("tanh",), ("layer_norm",), ("linear", 19), ("sigmoid",),
                ("dropout", 0.3), ("linear", 23), ("gelu",), ("linear", None)]},
    {"name": "deep_lstm", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("lstm", 11, {"layers": 3}), ("linear", None)]},
    {"name": "both_ways_lstm", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("lstm", 11, {"layers": 2, "bidirectional": True}), ("last",), ("linear", None)]},
    {"name": "both_ways_gru", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("gru", 11, {"layers": 2, "bidirectional": True}), ("last",), ("tanh",),
                ("linear", None)]},
    {"name": "both_ways_elman", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("rnn", 11, {"layers": 2, "bidirectional": True}), ("linear", None)]},
    {"name": "dropped_lstm", "time": 13, "batch": 5, "classes": 7, "tokens": True,
     "layers": [("embedding", 9), ("dropout", 0.5), ("lstm", 11, {"layers": 2, "dropout": 0.5}), ("linear", None)]},
    {"name": "regression", "time": 0, "batch": 21, "numbers": 3, "tokens": False, "features": 9,
     "layers": [("linear", 11), ("tanh",), ("linear", None)]},
]

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
FUNCTIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


class Last(nn.Module):
    """The last timestep, which is a view: whoever saves it keeps all of them."""

    def forward(self, x):
        return x[-1]


def network(case):
    """The case as modules by Plimsoll's names: the kind, numbered from the second of a kind on."""
    outputs = case.get("classes") or case["numbers"]
    width = outputs if case["tokens"] else case["features"]
    seen, modules = collections.Counter(), []
    for kind, *settings in case["layers"]:
        if kind == "embedding":
            module, width = nn.Embedding(width, settings[0]), settings[0]
        elif kind in RECURRENT:
            names = {"layers": "num_layers"}
            options = {names.get(key, key): value for key, value in (settings[1:] or [{}])[0].items()}
            module = RECURRENT[kind](width, settings[0], **options)
            width = settings[0] * (2 if module.bidirectional else 1)
        elif kind == "linear":
            out = settings[0] or outputs
            module, width = nn.Linear(width, out), out
        elif kind == "layer_norm":
            module = nn.LayerNorm(width)
        elif kind == "last":
            module = Last()
        elif kind == "dropout":
            module = nn.Dropout(settings[0])
        else:
            module = FUNCTIONS[kind]()
        seen[kind] += 1
        modules.append((kind if seen[kind] == 1 else f"{kind}_{seen[kind]}", module))
    return modules


def saved(case, onednn):
    """Bytes by layer, and those of the batch itself, which Plimsoll counts as inputs."""
    modules = network(case)
    rows = [n for n in (case["time"], case["batch"]) if n]
    if case["tokens"]:
        x = torch.randint(case["classes"], rows)
    else:
        x = torch.randn(*rows, case["features"])
    classes = case.get("classes")
    whole = ("last",) in case["layers"]
    y = torch.randint(classes, rows[1:] if whole else rows) if classes else torch.randn(*rows, case["numbers"])
    own = {p.untyped_storage().data_ptr() for _, module in modules for p in module.parameters()}
    given = {t.untyped_storage().data_ptr() for t in (x, y)}
    layers, held = collections.OrderedDict((name, 0) for name, _ in modules), []
    layers.update(loss=0, batch=0)
    at = modules[0][0]

    def pack(tensor):
        storage = tensor.untyped_storage()
        known = own | {t.untyped_storage().data_ptr() for t in held}
        if storage.nbytes() and storage.data_ptr() not in known:
            held.append(tensor)
            layers["batch" if storage.data_ptr() in given else at] += storage.nbytes()
        return tensor

    with torch.backends.mkldnn.flags(enabled=onednn):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            h = x
            for at, module in modules:
                h = module(h)
                h = h[0] if isinstance(h, tuple) else h
            at = "loss"
            if classes:
                functional.cross_entropy(h.flatten(0, -2), y.flatten())
            else:
                functional.mse_loss(h, y)
    return layers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="measure every case, and write what was found here")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    if asked.json:
        found = [{**case, "saved": {path: saved(case, on) for path, on in PATHS.items()}} for case in CASES]
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "device": "cpu", "cases": found}, file, indent=1)
            file.write("\n")
        return
    print(f"PyTorch {torch.__version__} on the CPU, saved_tensors_hooks, bytes")
    for case in CASES[:3]:
        both = {path: saved(case, on) for path, on in PATHS.items()}
        print(f"\n| {case['name']} | native | oneDNN |\n|---|--:|--:|")
        for layer in both["native"]:
            print(f"| {layer} | {both['native'][layer]:,} | {both['onednn'][layer]:,} |")
        print(f"| together | {sum(both['native'].values()):,} | {sum(both['onednn'].values()):,} |")


if __name__ == "__main__":
    main()
