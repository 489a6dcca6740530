"""The parts that run files are put together from. Every default that matters is written out."""

from cases.case import Case
from cases.data import BATCH, FEATURES, OUTPUTS, VOCABULARY, WINDOW

ADAM = {"type": "adam", "learning_rate": 0.02, "betas": [0.9, 0.99], "eps": 1e-4, "weight_decay": 0.0}
HIDDEN, EMBEDDING = 12, 10


def sgd(learning_rate, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
    return {
        "type": "sgd",
        "learning_rate": learning_rate,
        "momentum": momentum,
        "nesterov": nesterov,
        "dampening": dampening,
        "weight_decay": weight_decay,
    }


def embedding(size=EMBEDDING, **more):
    return {"type": "embedding", "name": "embedding", "size": size, **more}


def linear(name, out_features, **more):
    return {"type": "linear", "name": name, "out_features": out_features, "bias": True, **more}


def function(kind, **more):
    return {"type": kind, "name": kind, **more}


def cell(kind, hidden_size=HIDDEN, layers=1, bidirectional=False, bias=True, **more):
    return {
        "type": kind,
        "name": kind,
        "hidden_size": hidden_size,
        "layers": layers,
        "bidirectional": bidirectional,
        # PyTorch's mask is not ours, so there is nothing to compare with above 0.
        "dropout": 0.0,
        "bias": bias,
        **more,
    }


def norm(name="norm", bias=True):
    return {"type": "layer_norm", "name": name, "eps": 1e-5, "elementwise_affine": True, "bias": bias}


def perceptron(outputs=VOCABULARY):
    return [linear("hidden", HIDDEN), function("tanh"), linear("output", outputs)]


def arrays(name, target, lengths=False, **more):
    """`[data]` for arrays; the shapes in the golden file have the steps in front of them."""
    names = {"inputs": "inputs", "targets": "targets"} | ({"lengths": "lengths"} if lengths else {})
    return {"type": "arrays", "file": f"{name}.safetensors", **names, "target": target, **more}


def run(layers, optimizer, loss, data=None, batch=BATCH, **train):
    sections = {"data": data} if data else {}
    settings = {"batch": batch, **train, "steps": 20, "loss": loss, "optimizer": optimizer}
    # Inline tables come last, groups after them.
    for key in ("schedule", "group"):
        if key in settings:
            settings[key] = settings.pop(key)
    return {"seed": 1, **sections, "layer": layers, "train": settings}


TARGETS = {"class": "classes", "number": "numbers", "bit": "bits"}


def task(inputs, size, target, outputs, time):
    of = "vocabulary" if inputs == "tokens" else "features"
    return {"inputs": inputs, of: size, "targets": TARGETS[target], "outputs": outputs, "time": time}


def rows_case(
    name, note, data, layers, optimizer, seed, target="class", loss="cross_entropy", validation=None, **train
):
    """Rows of features, each by itself."""
    outputs = VOCABULARY if target == "class" else OUTPUTS
    more = {"validation": 0.1} if validation else {}
    batch, features = data["inputs"].shape[1:]
    described = run(layers, optimizer, loss, arrays(name, target, **more), batch, **train)
    return Case(
        name, note, described, task("features", features, target, outputs, "none"), data, seed, validation
    )


def tokens_case(name, note, data, layers, optimizer, seed, **train):
    """Sequences of ids with a class for each step or for the whole; streams where state is carried."""
    batch = data["inputs"].shape[-1]
    whole = data["targets"].dim() == 2
    train = {"window": WINDOW, **train}
    if "reset" in data:
        described = run(layers, optimizer, "cross_entropy", None, batch, carry_state=True, **train)
    else:
        predict = "last" if whole else "each"
        section = arrays(name, "class", "lengths" in data, predict=predict, vocabulary=VOCABULARY)
        described = run(layers, optimizer, "cross_entropy", section, batch, **train)
    kind = task("tokens", VOCABULARY, "class", VOCABULARY, "whole" if whole else "each")
    return Case(name, note, described, kind, data, seed)


def features_sequence_case(name, note, data, layers, optimizer, seed, target, loss, **train):
    """Sequences of features with a target for each step or for the whole."""
    whole = data["targets"].dim() == 2
    section = arrays(name, target, "lengths" in data, predict="last" if whole else "each")
    described = run(layers, optimizer, loss, section, BATCH, window=WINDOW, **train)
    outputs = VOCABULARY if target == "class" else OUTPUTS
    kind = task("features", FEATURES, target, outputs, "whole" if whole else "each")
    return Case(name, note, described, kind, data, seed)
